"""`edgeretrain evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeretrain.cli import console_of, jobs_option, json_option, model_argument, print_json
from edgeretrain.console import print_table

EXAMPLES = """\b
Examples:
  edgeretrain evaluate model.tflite photos
  edgeretrain evaluate model.tflite new_photos --json
"""


@click.command(epilog=EXAMPLES)
@model_argument
@click.argument("image_dir", type=click.Path(path_type=Path))
@click.option(
    "--photos",
    "which",
    type=click.Choice(["auto", "test", "all"]),
    default="auto",
    help="All photos, or the test photos of the model's own split; auto: test if the model was trained on this folder.",
)
@jobs_option
@json_option
def evaluate(model: Path, image_dir: Path, which: str, jobs: int | None, as_json: bool) -> None:
    """Measure the accuracy of MODEL on the photos in IMAGE_DIR, one sub-folder per class."""
    from edgeretrain.artifact import load_model
    from edgeretrain.evaluate import evaluate_folder

    console = console_of()
    classifier = load_model(model)
    result = evaluate_folder(classifier, image_dir, which, jobs=jobs, console=console)
    evaluation = result.evaluation
    if as_json:
        document = {
            "edgeretrain": "evaluate",
            "version": 1,
            "model": str(model),
            "photos": result.which,
            "accuracy": evaluation.summary(),
            "per_class": evaluation.per_class(),
            "confusion": evaluation.confusion.tolist(),
            "misclassified": result.misclassified(),
            "rejected": [{"name": name, "reason": reason} for name, reason in result.rejected],
        }
        print_json(document)
        return
    if result.rejected:
        print_table(("file", "reason"), result.rejected, title=f"{len(result.rejected)} files are not used")
    rows = [
        (
            row["class_name"],
            row["support"],
            *(f"{100 * row[k]:.1f}" if row[k] is not None else "-" for k in ("recall", "precision")),
        )
        for row in evaluation.per_class()
        if row["support"] or len(evaluation.class_names) <= 50
    ]
    print_table(("class", "photos", "recall %", "precision %"), rows, right=(1, 2, 3))
    click.echo(f"top-1 on {result.which} photos: {evaluation.text()}")
