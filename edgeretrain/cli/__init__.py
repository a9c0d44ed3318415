"""The command line: each command lives in a module of its own here, imported when it is called."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeretrain import __version__
from edgeretrain.console import Console
from edgeretrain.spec import TrainSpec

COMMANDS = {
    "train": "Photos in, a checked integer-only .tflite out.",
    "benchmark": "Latency, size and accuracy over the grid, or of any .tflite files.",
    "evaluate": "Accuracy of a .tflite on a folder of photos.",
    "predict": "Classify photos with a .tflite.",
    "inspect": "Print what a .tflite says about itself.",
    "verify": "Hold a .tflite against its own contract and golden vectors.",
    "distill": "Teach a small backbone what a larger one makes of your photos.",
    "deploy": "Put a .tflite into the Android demo app.",
    "modules": "List, show and fetch backbones.",
    "data": "Check a folder of photos, render a sample one, or fetch a public one.",
    "doctor": "Versions, cores, cache, and which module sources answer.",
}
"""Names and one-line help; here, so that `--help` imports no command."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"edgeretrain.cli.{name}"), name)
        return _with_verbosity(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _with_verbosity(command: click.Command) -> click.Command:
    """Give `command`, or each command of a group, the options -q and -v."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _with_verbosity(child)
    elif not any(param.name == "quiet" for param in command.params):
        command.params += [
            click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_set, help="Warnings only."),
            click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_set, help="More detail."),
        ]
    return command


def _set(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and param.name:
        setattr(console_of(ctx), param.name, True)


def console_of(ctx: click.Context | None = None) -> Console:
    """The Console of the running command."""
    ctx = ctx or click.get_current_context()
    found = ctx.find_object(Console)
    return found if found is not None else Console()


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),  # --image_dir, as the ancestor wrote it
        "max_content_width": 120,
        "show_default": True,
    },
    epilog="\b\nExamples:\n"
    "  edgeretrain train --width 050 --res 160\n"
    "  edgeretrain train --image-dir photos --width 025 --res 128\n"
    "  edgeretrain predict runs/mobilenet_v1_050_160-1/mobilenet_v1_050_160.tflite photo.jpg\n"
    "  edgeretrain data check photos\n",
)
@click.version_option(__version__, prog_name="edgeretrain")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """From a folder of photos to a checked, fully quantized image classifier on a phone."""
    ctx.obj = Console(log=ctx.obj if isinstance(ctx.obj, Path) else None)


def options_of(kind: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an option for every field of the spec `kind`, with its default, help, choices and old names."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for item in reversed(dataclasses.fields(kind)):
            meta = item.metadata
            type_ = click.Choice(meta["choices"]) if meta["choices"] else type(item.default)
            names = [f"--{item.name.replace('_', '-')}", *(f"--{alias}" for alias in meta["aliases"])]
            flag = type_ is bool
            function = click.option(
                *names, item.name, type=type_, is_flag=flag, default=item.default, help=meta["help"]
            )(function)
        return function

    return decorate


spec_options = options_of(TrainSpec)


def module_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --module, --width, --res, --offline and --timeout."""
    for decorate in (
        click.option(
            "--timeout", type=click.FloatRange(0.1, 600), default=10.0, help="Seconds to wait for the network."
        ),
        click.option("--offline", is_flag=True, help="Never touch the network."),
        click.option(
            "--res",
            help="Input size in pixels: 128, 160, 192 or 224; another one for float modules that take any.",
            show_default="160, or the module's",
        ),
        click.option("--width", help="Width: 025, 050, 075 or 100.", show_default="050, or the module's"),
        click.option(
            "--module",
            "--tfhub-module",
            default="auto",
            help="auto, starter, a TF1-Hub module or SavedModel folder, a .tar.gz (path or URL), a tfhub.dev handle, a hosted "
            ".tflite, or a Keras file.",
        ),
    ):
        function = decorate(function)
    return function


def load_module(
    module: str, width: str | None, res: str | None, offline: bool, timeout: float, retry: bool = False
) -> Any:
    """The Backbone or FloatModule that `module_options` name."""
    from edgeretrain.modules import load_module as load
    from edgeretrain.spec import parse_side, parse_width

    return load(
        module,
        parse_width(width) if width is not None else None,
        parse_side(res) if res is not None else None,
        offline=offline,
        timeout=timeout,
        retry=retry,
        console=console_of(),
    )


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout."""
    import json

    click.echo(json.dumps(document, indent=1, ensure_ascii=False))


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
jobs_option = click.option("--jobs", type=click.IntRange(1, 256), show_default="all cores", help="Threads for photos.")
model_argument = click.argument("model", type=click.Path(path_type=Path))
