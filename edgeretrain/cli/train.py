"""`edgeretrain train`."""

from __future__ import annotations

import contextlib
import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeretrain.cli import console_of, jobs_option, json_option, load_module, module_options, print_json, spec_options
from edgeretrain.cli.ancestor import ancestor_options
from edgeretrain.cli.export_options import export_options
from edgeretrain.cli.resume import (
    CHECKPOINTS,
    check_no_others,
    discard_if_empty,
    forget_request,
    keep_request,
    resume_option,
)
from edgeretrain.cli.train_output import show_misclassified, show_plan, show_report
from edgeretrain.console import Console
from edgeretrain.exports.spec import ExportSpec
from edgeretrain.spec import TrainSpec

SAMPLES_PER_CLASS = 100

EXAMPLES = """\b
Examples:
  edgeretrain train --width 050 --res 160
  edgeretrain train --image-dir photos --width 050 --res 160
  edgeretrain train --image-dir photos --fine-tune 20
  edgeretrain train --image_dir photos --tfhub_module MODULE --how_many_training_steps 4000
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--image-dir",
    type=click.Path(path_type=Path),
    help="Folder with one sub-folder of photos per class; without it, rendered sample photos of machine parts.",
    show_default="sample photos",
)
@module_options
@click.option("--out", type=click.Path(path_type=Path), show_default="runs/<model>-<n>", help="Folder for the results.")
@click.option("--force", is_flag=True, help="Replace results in --out.")
@resume_option
@click.option("--max-minutes", type=click.FloatRange(min=0), help="Stop training then, with the best so far.")
@click.option("--plan", is_flag=True, help="Print what the run would take, and stop.")
@click.option(
    "--summaries-dir",
    type=click.Path(path_type=Path),
    show_default="summaries in --out",
    help="Where TensorBoard finds this run.",
)
@click.option(
    "--intermediate-output-graphs-dir",
    type=click.Path(path_type=Path),
    show_default="intermediate in --out",
    help="Where exports on the way go.",
)
@click.option("--instrumented", is_flag=True, help="Evaluate the fake-quant network (TensorFlow) beside the .tflite.")
@click.option(
    "--print-misclassified-test-images", is_flag=True, help="List the test photos that were answered wrongly."
)
@export_options
@spec_options
@ancestor_options
@jobs_option
@json_option
def train(
    image_dir: Path | None,
    module: str,
    width: str | None,
    res: str | None,
    offline: bool,
    timeout: float,
    out: Path | None,
    force: bool,
    resume: Path | None,
    max_minutes: float | None,
    plan: bool,
    summaries_dir: Path | None,
    intermediate_output_graphs_dir: Path | None,
    instrumented: bool,
    print_misclassified_test_images: bool,
    exports: ExportSpec,
    embeddings_dir: Path | None,
    jobs: int | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Train a classifier on your photos and write it as a checked, integer-only .tflite.

    The backbone stays as it is; a softmax layer is trained on what it makes of the photos, with the quantization that
    ships. --fine-tune goes on from there and trains the whole network. The accuracy reported is that of the .tflite
    itself on test photos it never saw. Ctrl-C ends training after a step and exports the best so far; a second one aborts.
    """
    from edgeretrain.backbone import Backbone
    from edgeretrain.dataset import list_photos
    from edgeretrain.errors import INTERRUPTED, UsageError
    from edgeretrain.interrupt import postponed
    from edgeretrain.pipeline import Stages, run, save
    from edgeretrain.plan import plan_run
    from edgeretrain.report.html import render_training
    from edgeretrain.report.training_data import page_values
    from edgeretrain.storage import check_free, output_folder, write_file
    from edgeretrain.summaries import Summaries, layer_interval

    ctx = click.get_current_context()
    if resume is not None:
        check_no_others(ctx)
    console, stages, spec = console_of(), Stages(), TrainSpec(**options)
    check_free(summaries_dir, "--summaries-dir", force=force)
    check_free(intermediate_output_graphs_dir, "--intermediate-output-graphs-dir", force=force)
    if image_dir is None:
        with stages("samples"):
            image_dir = _samples(console, jobs)
    list_photos(image_dir)  # what is wrong with the folder is said before anything is fetched
    exports.check_targets(force=force)
    with stages("backbone"):
        backbone = load_module(module, width, res, offline, timeout)
    if not isinstance(backbone, Backbone):
        wrong = f"--export {', '.join(exports.float_types)}" if exports.float_types else "--plan" if plan else None
        if wrong:
            raise UsageError(f"{wrong} is for MobileNet V1 networks; leave it out for {backbone.spec.name}")
    if plan:
        show_plan(plan_run(image_dir, backbone, spec, jobs=jobs), as_json=as_json)
        return 0
    folder = output_folder(out, backbone.spec.name, force=force)
    began = time.monotonic() - _since_start()
    summaries_dir = summaries_dir or folder / "summaries"
    every = layer_interval(spec.steps, spec.eval_step_interval)
    came: list[Callable[[], bool]] = []  # tells whether Ctrl-C came, once training has begun
    limit = math.inf if max_minutes is None else 60 * max_minutes
    try:
        with contextlib.ExitStack() as stack, Summaries(summaries_dir, every=every, append=bool(resume)) as summaries:

            def postpone() -> Callable[[], bool]:
                came.append(stack.enter_context(postponed()))
                return lambda: came[0]() or time.monotonic() - began > limit

            keep_request(ctx, folder)
            result = run(
                image_dir,
                backbone,
                spec,
                instrumented=instrumented,
                embeddings=embeddings_dir,
                jobs=jobs,
                stages=stages,
                console=console,
                observers=[summaries.observe],
                intermediate=intermediate_output_graphs_dir or folder / "intermediate",
                checkpoints=folder / CHECKPOINTS,
                postpone=postpone,
            )
            result.report["command"] = shlex.join(["edgeretrain", *sys.argv[1:]])
            with stages("summaries"):
                summaries.finish(result.report)
            try:
                if exports.wanted:
                    from edgeretrain.exports.result import export_result

                    with stages("export"):
                        result.report["exports"] = export_result(result, exports, folder, jobs=jobs)
            finally:  # an export that is refused must not cost the run its result
                result.report["seconds"] = {**stages.seconds, "total": _since_start()}
                path = save(result, folder)
                if not result.stopped:
                    forget_request(folder)
            write_file(folder / "report.html", render_training(page_values(result.report, image_dir)))
            _keep_log(console.log, folder / "log.txt")
    except BaseException:
        if resume is None:
            discard_if_empty(folder)
        raise
    if as_json:
        print_json(result.report)
    else:
        show_report(result.report)
        if print_misclassified_test_images:
            show_misclassified(result.report["misclassified"])
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in result.report["seconds"].items())
    console.say(f"Seconds: {seconds}")
    for entry in result.report.get("exports", ()):
        console.say(f"Exported: {entry['path']} ({entry['kind']}, {entry['size_bytes'] / 1000:.0f} kB)")
    console.say(
        f"Written: {path}, labels.txt, report.json and {folder / 'report.html'}; tensorboard --logdir {summaries_dir}"
    )
    if result.stopped:
        console.say(f"Training was stopped early, this is the best so far; edgeretrain train --resume {folder} goes on")
    return INTERRUPTED if came[0]() else 0


def _samples(console: Console, jobs: int | None) -> Path:
    """The rendered sample photos, made once and kept in the cache."""
    from edgeretrain.samples import CLASSES, sample_folder
    from edgeretrain.storage import cache_dir

    with console.progress("Rendering sample photos", SAMPLES_PER_CLASS * len(CLASSES)) as advance:
        folder = sample_folder(cache_dir(), SAMPLES_PER_CLASS, jobs=jobs, progress=advance)
    console.say(f"Photos: rendered samples of machine parts in {folder}; use --image-dir for your own")
    return folder


def _since_start() -> float:
    """Seconds since this process began, interpreter start included."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def _keep_log(log: Path | None, target: Path) -> None:
    if log is not None and log.is_file() and log.stat().st_size:
        shutil.copyfile(log, target)
