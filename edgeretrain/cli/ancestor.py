"""Options of the ancestor retrain.py that are something else today: accepted, and said in one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeretrain.cli import console_of

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def ancestor_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add them; `function` gets `embeddings_dir`, the others are dealt with here."""

    @functools.wraps(function)
    def accepting(*, checkpoint_path: Path | None, logging_verbosity: str, **others: Any) -> Any:
        console = console_of()
        console.verbose |= logging_verbosity == "DEBUG"
        console.quiet |= logging_verbosity in ("WARN", "ERROR", "FATAL")
        if checkpoint_path is not None:
            console.say(
                "--checkpoint-path is accepted and not used: all that a run keeps lies in its own folder (--out)"
            )
        if others["embeddings_dir"] is not None:
            console.say(f"Embeddings (bottlenecks) are kept in {others['embeddings_dir']}/embeddings.sqlite")
        return function(**others)

    place = click.Path(path_type=Path)
    for decorate in (
        click.option(
            "--logging-verbosity",
            type=click.Choice(LEVELS, case_sensitive=False),
            default="INFO",
            help="DEBUG is --verbose; WARN and above are --quiet.",
        ),
        click.option("--checkpoint-path", type=place, help="Accepted for retrain.py's sake, not used."),
        click.option(
            "--embeddings-dir",
            "--bottleneck-dir",
            type=click.Path(path_type=Path, file_okay=False),
            show_default="the cache",
            help="Folder that keeps the photos' embeddings.",
        ),
    ):
        accepting = decorate(accepting)
    return accepting
