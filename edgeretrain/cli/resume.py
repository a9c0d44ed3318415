"""`edgeretrain train --resume`: a run folder remembers what was asked for until the run is finished."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import click

from edgeretrain.errors import DataError, UsageError
from edgeretrain.storage import explained, write_file

REQUEST = "run.json"
CHECKPOINTS = "checkpoints"
_FREE = frozenset(
    ("resume", "jobs", "as_json", "max_minutes", "offline", "timeout", "quiet", "verbose", "instrumented")
)
"""Options that a resumed run may be given anew: they do not change what it computes."""
_KEPT_OUT = _FREE | {"force", "plan"}


def resume_option(function: Any) -> Any:
    """Add --resume: options of the run that is gone on with become the defaults."""
    return click.option(
        "--resume",
        type=click.Path(path_type=Path),
        is_eager=True,
        callback=_defaults_of_run,
        help="Go on with the unfinished run in this folder, with its options.",
    )(function)


def _defaults_of_run(ctx: click.Context, parameter: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None:
        ctx.default_map = {**_read(folder), "out": str(folder), "force": True}
    return folder


def _read(folder: Path) -> dict[str, Any]:
    path = folder / REQUEST
    if not path.exists():
        found = "a finished run" if (folder / "report.json").exists() else "no run of this version"
        raise UsageError(f"--resume {folder}: expected an unfinished run, found {found}; start one with --out")
    with explained(f"read {path}"):
        text = path.read_text()
    try:
        return dict(json.loads(text)["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): start the run again with --force") from None


def keep_request(ctx: click.Context, folder: Path) -> None:
    """Write what was asked for into `folder`, paths made absolute. Raises EnvironmentFailure."""
    options = {name: _plain(name, value) for name, value in ctx.params.items() if name not in _KEPT_OUT}
    write_file(folder / REQUEST, json.dumps({"options": {n: v for n, v in options.items() if v is not None}}) + "\n")


def _plain(name: str, value: Any) -> Any:
    local = isinstance(value, Path) or (name == "module" and Path(value).expanduser().exists())
    return str(Path(value).expanduser().absolute()) if local else value


def check_no_others(ctx: click.Context) -> None:
    """Raise UsageError for an option beside --resume that the run has already decided."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in _FREE and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{parameter.opts[0]} cannot be changed by --resume, which goes on with the run's own options: leave it out"
            )


def forget_request(folder: Path) -> None:
    """The run in `folder` is finished: nothing is left to go on with."""
    from edgeretrain.sitting import clear

    clear(folder / CHECKPOINTS)
    with explained(f"remove {folder / REQUEST}"):
        (folder / REQUEST).unlink(missing_ok=True)


def discard_if_empty(folder: Path) -> None:
    """Remove the folder of a new run that left nothing but its request."""
    with contextlib.suppress(OSError):
        if [entry.name for entry in folder.iterdir()] == [REQUEST]:
            (folder / REQUEST).unlink()
        folder.rmdir()  # only if it is empty
