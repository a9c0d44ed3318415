"""`edgeretrain data`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from edgeretrain.cli import console_of, jobs_option, json_option, print_json
from edgeretrain.spec import TrainSpec


@click.group(epilog="\b\nExamples:\n  edgeretrain data check photos\n  edgeretrain data sample parts\n")
def data() -> None:
    """Check a folder of photos, render a sample one, or fetch a public one."""


@data.command(epilog="\b\nExamples:\n  edgeretrain data check photos\n  edgeretrain data check photos --on-bad fail\n")
@click.argument("image_dir", type=click.Path(path_type=Path))
@click.option(
    "--on-bad", type=click.Choice(["skip", "fail"]), default="skip", help="fail: exit with 3 for any bad file."
)
@click.option("--split-seed", type=click.IntRange(0), default=0, help="Another number draws another split.")
@jobs_option
@json_option
def check(image_dir: Path, on_bad: str, split_seed: int, jobs: int | None, as_json: bool) -> None:
    """Decode every file in IMAGE_DIR and say what `train` would make of the folder. Nothing in it is changed."""
    from edgeretrain.console import print_table
    from edgeretrain.reading import load_dataset

    console = console_of()
    spec = TrainSpec(on_bad=on_bad, split_seed=split_seed)
    dataset, _ = load_dataset(image_dir, [], spec, jobs=jobs, console=console)
    if as_json:
        document: dict[str, Any] = {"edgeretrain": "data check", "version": 1, "sha256": dataset.digest}
        document["classes"] = [
            dict(zip(("class_name", "train", "validation", "test"), row, strict=True)) for row in dataset.counts()
        ]
        document["rejected"] = [dataclasses.asdict(item) for item in dataset.rejected]
        print_json({**document, "warnings": list(dataset.warnings)})
        return
    for warning in dataset.warnings:
        console.warn(warning)
    if dataset.rejected:
        rows = [(item.name, item.class_name, item.reason) for item in dataset.rejected]
        print_table(("file", "class", "reason"), rows, title=f"{len(rows)} files cannot be used")
    print_table(("class", "training", "validation", "test"), dataset.counts(), right=(1, 2, 3))
    count = len(dataset.train) + len(dataset.validation) + len(dataset.test)
    click.echo(f"{count} usable photos in {len(dataset.class_names)} classes; data set SHA-256 {dataset.digest}")


@data.command(
    epilog="\b\nExamples:\n  edgeretrain data sample parts\n  edgeretrain data sample parts --per-class 200 --seed 1\n"
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--per-class", type=click.IntRange(3, 100_000), default=60, help="Photos per class.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another number renders other photos.")
@jobs_option
def sample(folder: Path, per_class: int, seed: int, jobs: int | None) -> None:
    """Render a labelled set of machine parts into FOLDER: what `train` uses when no --image-dir is given."""
    from edgeretrain.samples import CLASSES, write_samples

    with console_of().progress("Rendering photos", per_class * len(CLASSES)) as advance:
        write_samples(folder, per_class, seed, jobs=jobs, progress=advance)
    click.echo(f"{per_class * len(CLASSES)} photos of {', '.join(CLASSES)} in {folder}")


@data.command(
    epilog="\b\nExamples:\n  edgeretrain data fetch flower_photos\n  edgeretrain data fetch flower_photos --out flowers\n"
)
@click.argument("name", type=click.Choice(["flower_photos"]))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make.", show_default="the set's name")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, help="Seconds to wait for the network.")
def fetch(name: str, out: Path | None, timeout: float) -> None:
    """Fetch the public data set NAME from its home and check its digest."""
    from edgeretrain.public_data import fetch_public_data

    folder = out or Path(name)
    found = fetch_public_data(name, folder, timeout=timeout, console=console_of())
    click.echo(f"{folder}: {found.terms}")
