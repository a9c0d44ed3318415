"""`edgeretrain doctor`."""

from __future__ import annotations

import click

from edgeretrain.cli import json_option, print_json


@click.command(epilog="\b\nExamples:\n  edgeretrain doctor\n  edgeretrain doctor --offline --json\n")
@click.option("--offline", is_flag=True, help="Do not try the network.")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, help="Seconds to wait for each source.")
@json_option
def doctor(offline: bool, timeout: float, as_json: bool) -> None:
    """Print versions, cores, the cache, and which sources of modules answer."""
    from edgeretrain.console import print_table
    from edgeretrain.doctor import examine

    facts = examine(offline=offline, timeout=timeout)
    if as_json:
        print_json({"edgeretrain": "doctor", "version": 1, **facts})
    else:
        print_table(("", ""), [(name.replace("_", " "), value) for name, value in facts.items()])
