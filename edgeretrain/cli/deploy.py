"""`edgeretrain deploy`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeretrain.cli import console_of, json_option, model_argument, print_json

DEFAULT_APP = Path("android_demo")

EXAMPLES = """\b
Examples:
  edgeretrain deploy model.tflite
  edgeretrain deploy model.tflite --app ~/projects/android_demo
  edgeretrain deploy model.tflite --adb
"""


@click.command(epilog=EXAMPLES)
@model_argument
@click.option(
    "--app", type=click.Path(path_type=Path), show_default=str(DEFAULT_APP), help="Folder of the demo app's project."
)
@click.option("--adb", "to_phone", is_flag=True, help="Push it to a phone that has the app, and start the app.")
@click.option("--serial", help="Which phone, where adb sees several.")
@json_option
def deploy(model: Path, app: Path | None, to_phone: bool, serial: str | None, as_json: bool) -> None:
    """Put MODEL where the Android demo app finds it, after `verify`: into the project, or with --adb onto a phone.

    With --adb the project is left alone unless --app names it.
    """
    from edgeretrain.android import Phone, file_name, install, load_verified

    verified, name, console = load_verified(model), file_name(model), console_of()
    installed = None if to_phone and app is None else install(verified, name, app or DEFAULT_APP)
    if to_phone:
        phone = Phone.find(serial)
        phone.push(model, name)
        phone.start(name)
    if as_json:
        document = {"edgeretrain": "deploy", "version": 1, "model": str(model), "name": name}
        print_json({**document, "installed": str(installed) if installed else None, "pushed": to_phone})
        return
    if installed:
        console.say(f"Written: {installed}. Run the project from Android Studio.")
    if to_phone:
        console.say(f"Pushed {name} and started the app.")
