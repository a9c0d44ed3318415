"""`edgeretrain predict`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeretrain.cli import console_of, jobs_option, json_option, model_argument, print_json
from edgeretrain.errors import DataError

EXAMPLES = """\b
Examples:
  edgeretrain predict model.tflite photo.jpg
  edgeretrain predict model.tflite new_photos/*.jpg --top 1 --json
"""


@click.command(epilog=EXAMPLES)
@model_argument
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1, 1000), default=3, help="Classes per photo.")
@jobs_option
@json_option
def predict(model: Path, images: tuple[Path, ...], top: int, jobs: int | None, as_json: bool) -> None:
    """Classify IMAGES with MODEL. Exits with 3 if a picture cannot be used; the others are still classified."""
    from edgeretrain.artifact import load_model
    from edgeretrain.console import print_table
    from edgeretrain.evaluate import predict_photos

    console = console_of()
    classifier = load_model(model)
    with console.progress("Classifying photos", len(images)) as advance:
        answers = predict_photos(classifier, images, jobs=jobs, advance=advance)
    failed = [(path, answer) for path, answer in zip(images, answers, strict=True) if isinstance(answer, str)]
    results = []
    for path, answer in zip(images, answers, strict=True):
        if not isinstance(answer, str):
            best = sorted(range(len(answer)), key=lambda i: (-float(answer[i]), i))[:top]
            results.append((path, [(classifier.labels[i], float(answer[i])) for i in best]))
    if as_json:
        photos = [
            {"path": str(path), "classes": [{"class_name": name, "probability": p} for name, p in classes]}
            for path, classes in results
        ]
        bad = [{"path": str(path), "reason": reason} for path, reason in failed]
        print_json({"edgeretrain": "predict", "version": 1, "model": str(model), "photos": photos, "failed": bad})
    else:
        rows = [
            (path if place == 0 else "", name, f"{100 * probability:.1f}")
            for path, classes in results
            for place, (name, probability) in enumerate(classes)
        ]
        if rows:
            print_table(("photo", "class", "%"), rows, right=(2,))
    for path, reason in failed:
        console.warn(f"{path}: {reason}")
    if failed:
        raise DataError(
            f"{len(failed)} of {len(images)} pictures cannot be used, the first is {failed[0][0]}: {failed[0][1]}"
        )
