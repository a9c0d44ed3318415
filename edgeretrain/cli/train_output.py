"""What `edgeretrain train` prints on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeretrain.cli import print_json
from edgeretrain.console import print_table
from edgeretrain.report.networks import network_names

if TYPE_CHECKING:
    from edgeretrain.plan import Plan


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print `plan`, as a table or as JSON."""
    if as_json:
        print_json(plan.summary())
    else:
        print_table(("what", "how much"), plan.rows())


def show_report(report: dict[str, Any]) -> None:
    """Print what `train` found: files left out, classes, networks and the model."""
    names = network_names(report)
    rejected = report["data"]["rejected"]
    if rejected:
        print_table(
            ("file", "class", "reason"),
            [(item["name"], item["class_name"], item["reason"]) for item in rejected],
            title=f"{len(rejected)} files are not used",
        )
    classes = [
        (
            row["class_name"],
            row["train"],
            row["validation"],
            row["test"],
            _percent(score["recall"]),
            _percent(score["precision"]),
        )
        for row, score in zip(report["data"]["classes"], report["per_class"], strict=True)
    ]
    headers = ("class", "training", "validation", "test", "recall", "precision")
    print_table(headers, classes, right=range(1, 6))
    rows = [
        (
            names[name],
            _percent(score["top1"]),
            f"{100 * score['low']:.1f} to {100 * score['high']:.1f}",
            score["n"],
            _percent(score.get("agreement")),
        )
        for name, score in report["accuracy"].items()
    ]
    print_table(("network", "top-1 %", "95 % interval", "N", "agreement %"), rows, right=(1, 2, 3, 4))
    if report["quantization"]:
        cost = report["quantization"]
        click.echo(
            f"Route: {report['route']} quantization, calibrated on {cost['calibration_photos']} training photos; it cost "
            f"{cost['cost_points']:.1f} points, {_percent(cost['agreement'])} % of answers are the float module's"
        )
    model = report["model"]
    click.echo(f"{model['name']}: {model['size_bytes'] / 1000:.0f} kB, {model['input']['dtype']} input")


def show_misclassified(rows: list[dict[str, Any]]) -> None:
    columns = ("path", "truth", "predicted")
    print_table(
        (*columns, "confidence %"),
        [(*(row[key] for key in columns), _percent(row["confidence"])) for row in rows],
        title=f"{len(rows)} misclassified test photos",
        right=(3,),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
