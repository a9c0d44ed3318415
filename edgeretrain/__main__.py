"""The command's entry: one place for threads, signals, exit codes and errors in one line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from edgeretrain.errors import INTERRUPTED, EdgeRetrainError

# Before numpy is imported. One thread: the head's products are small, and the bytes must not depend on the number of cores.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_variable, "1")


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments`; return the exit code. Errors are printed to stderr, one line each."""
    import click

    from edgeretrain.cli import cli
    from edgeretrain.console import native_log

    with native_log() as (stderr, log):
        try:
            code = cli.main(list(arguments), prog_name="edgeretrain", standalone_mode=False, obj=log)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except click.ClickException as error:
            if isinstance(error, click.UsageError):
                error.show(file=stderr)
            else:
                print(f"Error: {error.format_message()}", file=stderr)
            return error.exit_code
        except EdgeRetrainError as error:
            print(f"Error: {error}", file=stderr)
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            print("Interrupted; files that were written are whole, a new run goes on from the cache.", file=stderr)
            return INTERRUPTED
        except BrokenPipeError:  # `edgeretrain ... | head`: nobody listens any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            print(
                f"Error: {type(error).__name__}: {error} (a bug of edgeretrain; details in {_save(log)})", file=stderr
            )
            return 1


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _save(log: Path) -> str:
    """Keep the traceback and what native code said for the report of a bug."""
    text = traceback.format_exc()
    with contextlib.suppress(OSError):
        text = f"{log.read_text(errors='replace')}\n{text}"
    try:
        handle, name = tempfile.mkstemp(prefix="edgeretrain-bug-", suffix=".txt")
        with os.fdopen(handle, "w") as file:
            file.write(text)
    except OSError:
        return "no file, as none could be written"
    return name


if __name__ == "__main__":
    main()
