"""`edgeretrain distill`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from edgeretrain.cli import console_of, jobs_option, json_option, options_of, print_json
from edgeretrain.distill.spec import DistillSpec

EXAMPLES = """\b
Examples:
  edgeretrain distill --teacher auto --images photos --width 025 --res 128 --out small
  edgeretrain distill --teacher runs/mobilenet_v1_100_224-1 --images photos --width 050 --res 160 --steps 10000
  edgeretrain distill --teacher auto --images photos --width 025 --res 128 --out small --resume
  edgeretrain train --image-dir labelled --module small
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--teacher", required=True, help="Whatever --module takes, a .tflite of ours or a hosted one, or a run folder."
)
@click.option(
    "--images", type=click.Path(path_type=Path), required=True, help="Folder of photos, sub-folders too; no labels."
)
@click.option("--width", default="025", help="Width of the student: 025, 050, 075 or 100.")
@click.option("--res", default="128", help="Its input size in pixels: 128, 160, 192 or 224.")
@click.option("--start", default="starter", help="Where the student begins: starter, random, or a module of its width.")
@click.option("--labelled", type=click.Path(path_type=Path), help="Folder with a sub-folder per class: adds a probe.")
@click.option("--out", type=click.Path(path_type=Path), show_default="runs/distilled-<model>-<n>", help="Results.")
@click.option("--resume", is_flag=True, help="Go on with the interrupted run in --out.")
@click.option("--force", is_flag=True, help="Replace results in --out.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, help="Seconds to wait for the network.")
@options_of(DistillSpec)
@jobs_option
@json_option
def distill(
    teacher: str,
    images: Path,
    width: str,
    res: str,
    start: str,
    labelled: Path | None,
    out: Path | None,
    resume: bool,
    force: bool,
    offline: bool,
    timeout: float,
    jobs: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Teach a small backbone what a larger one makes of your photos; no labels are needed.

    The result is a folder that `train --module` takes, with a card that says how near the student came to its teacher on
    photos it never saw. Ctrl-C saves; --resume goes on, also after a crash.
    """
    from edgeretrain.dataset import list_photos
    from edgeretrain.distill import run
    from edgeretrain.distill.teacher import load_teacher
    from edgeretrain.errors import DataError
    from edgeretrain.spec import ModelSpec, parse_res

    console, recipe = console_of(), DistillSpec(**options)
    spec = ModelSpec(width, parse_res(res))
    if not images.is_dir():  # what is wrong with the folders is said before anything is fetched
        raise DataError(f"{images} is not a folder: expected a folder of photos")
    if labelled is not None:
        list_photos(labelled)
    loaded = load_teacher(teacher, offline=offline, timeout=timeout, console=console)
    begin = run.load_start(start, spec, recipe.seed, offline=offline, timeout=timeout, console=console)
    folder = run.open_folder(out, spec.name, resume=resume, force=force)
    try:
        result = run.distill(loaded, begin, images, recipe, folder, labelled=labelled, jobs=jobs, console=console)
        result.report["command"] = shlex.join(["edgeretrain", *sys.argv[1:]])
        path = run.save(result, folder)
    except BaseException:
        run.discard_if_empty(folder)
        raise
    if as_json:
        print_json(result.report)
    else:
        _show(result.report)
    console.say(f"Written: {path}, CARD.md and distill.json")
    console.say(f"Use it: edgeretrain train --image-dir DIR --module {folder}")


def _show(report: dict[str, Any]) -> None:
    from edgeretrain.console import print_table

    rows = [
        (
            name,
            f"{row['explained_variance']:.3f}",
            f"{row['cosine']:.3f}",
            f"{row['cosine_low']:.3f} to {row['cosine_high']:.3f}",
            row["n"],
        )
        for name, row in report["quality"].items()
    ]
    headers = ("network", "explained variance", "cosine", "95 % interval", "N")
    print_table(headers, rows, right=(1, 2, 3, 4), title="Near to the teacher, on photos held back")
    if report["probe"]:
        scores = [
            (name, f"{100 * row['top1']:.1f}", f"{100 * row['low']:.1f} to {100 * row['high']:.1f}", row["n"])
            for name, row in report["probe"].items()
        ]
        print_table(("network", "top-1 %", "95 % interval", "N"), scores, right=(1, 2, 3), title="Linear probe")
