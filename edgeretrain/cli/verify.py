"""`edgeretrain verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgeretrain.cli import json_option, model_argument, print_json
from edgeretrain.errors import QualityError

EXAMPLES = """\b
Examples:
  edgeretrain verify model.tflite
  edgeretrain verify model.tflite --json
  edgeretrain verify model.tflite --arm64
"""


@click.command(epilog=EXAMPLES)
@model_argument
@click.option("--arm64", is_flag=True, help="Also on emulated phone processors (Debian's qemu-user-static).")
@json_option
def verify(model: Path, arm64: bool, as_json: bool) -> None:
    """Hold MODEL against its own contract: bytes, labels, tensors, golden vectors. Exits with 4 if something differs."""
    from edgeretrain.artifact import load_model
    from edgeretrain.artifact import verify as verify_model
    from edgeretrain.console import print_table

    loaded = load_model(model)
    checks = verify_model(loaded)
    if arm64:
        from edgeretrain.arm64 import check_arm64

        checks += check_arm64([loaded], [[]])[0]
    if as_json:
        document = {"edgeretrain": "verify", "version": 1, "model": str(model), "checks": [asdict(c) for c in checks]}
        print_json({**document, "ok": all(check.ok for check in checks)})
    else:
        rows = [(check.subject, "ok" if check.ok else "DIFFERS", check.seen) for check in checks]
        print_table(("checked", "", "seen"), rows)
    failed = [check for check in checks if not check.ok]
    if failed:
        raise QualityError(f"{model} is not what it says it is: {failed[0].subject}: {failed[0].seen}")
