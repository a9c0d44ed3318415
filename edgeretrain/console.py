"""What the user sees: results on stdout, commentary on stderr, native libraries' chatter in a log file."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole


@dataclass
class Console:
    """Where text goes. `quiet` keeps only warnings; `verbose` adds detail; NO_COLOR and pipes are respected by rich."""

    quiet: bool = False
    verbose: bool = False
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    log: Path | None = None  # where native code's output goes

    def say(self, text: str) -> None:
        """Commentary: a plain line on stderr."""
        if not self.quiet:
            print(text, file=self.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Commentary for `--verbose`."""
        if self.verbose:
            print(text, file=self.stderr, flush=True)

    def warn(self, text: str) -> None:
        """A warning, also shown with `--quiet`."""
        print(f"Warning: {text}", file=self.stderr, flush=True)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yield `advance(n)`: a bar on a terminal, else a line every 10 seconds while it lasts."""
        if self.quiet:
            yield lambda n: None
        elif self.stderr.isatty():
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Progress(*columns, console=RichConsole(file=self.stderr), transient=True) as bar:
                task = bar.add_task(label, total=total)
                yield lambda n: bar.update(task, advance=n)
        else:
            done, last = 0, time.monotonic()

            def advance(n: int) -> None:
                nonlocal done, last
                done += n
                if time.monotonic() - last >= 10:
                    last = time.monotonic()
                    self.say(f"{label}: {done} of {total}")

            yield advance


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str | None = None,
    file: TextIO | None = None,
    right: Sequence[int] = (),
) -> None:
    """Print `rows` as a table on stdout (or `file`), columns `right` aligned right; wide tables are never truncated."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    target = file or sys.stdout
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if any(headers) else None,
        pad_edge=False,
        show_header=any(headers),
    )
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index in right else "left", no_wrap=index in right)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    rich_console(target).print(table)


def rich_console(target: TextIO) -> RichConsole:
    """A rich console on `target`; on a pipe it does not fold lines at 80 columns."""
    from rich.console import Console as RichConsole

    return RichConsole(file=target, width=None if target.isatty() else 160, highlight=False)


@contextlib.contextmanager
def native_log() -> Iterator[tuple[TextIO, Path]]:
    """Send everything that native code writes to file descriptor 2 into a temporary log; yield (real stderr, log).

    TensorFlow and LiteRT print to the descriptor itself, past `sys.stderr`. Python's own `sys.stderr` keeps reaching
    the user. The log is removed on leaving; read or move it before.
    """
    sys.stderr.flush()
    handle, name = tempfile.mkstemp(prefix="edgeretrain-", suffix=".log")
    previous = sys.stderr
    try:
        saved = os.dup(2)
    except OSError:  # started with stderr closed
        os.close(handle)
        Path(name).unlink()
        yield previous, Path(os.devnull)
        return
    os.dup2(handle, 2)
    os.close(handle)
    redirect = previous is sys.__stderr__  # a test runner's replacement is not descriptor 2
    user = os.fdopen(os.dup(saved), "w", encoding="utf-8", errors="replace", buffering=1) if redirect else previous
    sys.stderr = user
    try:
        yield user, Path(name)
    finally:
        sys.stderr = previous
        os.dup2(saved, 2)
        os.close(saved)
        if redirect:
            user.close()
        with contextlib.suppress(OSError):
            Path(name).unlink()


def duration(seconds: float) -> str:
    """`5 min`, or `40 s` below 100 seconds."""
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
