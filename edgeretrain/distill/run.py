"""The steps of `edgeretrain distill`, in order: photos -> teacher's embeddings -> student -> backbone -> report."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeretrain import checkpoint
from edgeretrain.artifact import versions
from edgeretrain.backbone import Backbone, Source, layer_table, pack, quantize_per_channel
from edgeretrain.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from edgeretrain.console import Console, duration
from edgeretrain.distill.card import card
from edgeretrain.distill.pool import Pool, View, open_pool, view_of
from edgeretrain.distill.quality import Floats, linear_probe, regression, similarity, spread_of
from edgeretrain.distill.spec import DistillSpec
from edgeretrain.distill.teacher import Teacher
from edgeretrain.embed import as_matrix, cache_file, embed_photos, make_extractor, run_extractor
from edgeretrain.errors import DataError, QualityError, UsageError
from edgeretrain.images import Pixels
from edgeretrain.interrupt import postponed
from edgeretrain.modules import load_backbone
from edgeretrain.modules.starter import INPUT_RANGE
from edgeretrain.spec import ModelSpec
from edgeretrain.storage import cache_dir, explained, output_folder, sha256, write_file

if TYPE_CHECKING:
    from edgeretrain.distill.student import Student

REPORT = "distill.json"
REPORT_VERSION = 1
FIT_PHOTOS = 2000
"""At most so many training photos fit the linear layer that quality is measured with."""
NORM_PHOTOS = 64
"""Photos that set the batch norms up."""
SAY_SECONDS = 10.0
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Distilled:
    """A finished distillation: the student and what is known about it (`distill.json`)."""

    backbone: Backbone
    report: dict[str, Any]


def open_folder(out: Path | None, name: str, *, resume: bool, force: bool) -> Path:
    """The folder for the results. Raises UsageError for one that holds something, unless `resume` finds a run to go on with."""
    if resume:
        if out is None:
            raise UsageError("--resume needs --out: the folder of the run that was interrupted")
        if (out / REPORT).exists():
            raise UsageError(f"{out} holds a finished distillation: there is nothing to resume")
        if not out.is_dir():
            raise UsageError(f"{out} does not exist: there is nothing to resume")
        return out
    if out is not None and (out / checkpoint.NAME).exists() and not force:
        raise UsageError(f"{out} holds an unfinished distillation: add --resume to go on, or --force to begin again")
    folder = output_folder(out, f"distilled-{name}", force=force)
    with explained(f"clear {folder}"):
        for old in (REPORT, checkpoint.NAME):  # of the run that --force replaces
            (folder / old).unlink(missing_ok=True)
    write_file(folder / checkpoint.NAME, b"")  # a folder that cannot be written is found out before training
    return folder


def discard_if_empty(folder: Path) -> None:
    """Remove what `open_folder` made of a run that ended before its first checkpoint; leave anything else."""
    path = folder / checkpoint.NAME
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()
            folder.rmdir()  # only if it is empty


def load_start(
    start: str, spec: ModelSpec, seed: int, *, offline: bool, timeout: float, console: Console | None = None
) -> Backbone:
    """What the student begins as: `random` weights of `seed`, or the module `start`, which must have the width of `spec`.

    A module's own input size does not matter. Raises UsageError for another width.
    """
    if start == "random":
        return random_backbone(spec, seed)
    res = spec.res if start == "auto" else None
    found = load_backbone(start, spec.width, res, offline=offline, timeout=timeout, console=console)
    return found.at(spec.res)


def random_backbone(spec: ModelSpec, seed: int) -> Backbone:
    """A network with random weights (He et al. 2015, arXiv:1502.01852) and no bias."""
    random = np.random.default_rng(seed)
    layers = []
    for shape in layer_table(spec.width):
        deviation = (2 / np.prod(shape.weights[: 2 if shape.kind == "depthwise" else 3])) ** 0.5
        weights = random.normal(0, deviation, shape.weights).astype(np.float32)
        layers.append(quantize_per_channel(weights, np.zeros(shape.channels, np.float32)))
    return Backbone(spec, tuple(layers), INPUT_RANGE, Source("random", f"random weights of seed {seed}", "0" * 64))


def distill(
    teacher: Teacher,
    start: Backbone,
    images: Path,
    spec: DistillSpec,
    folder: Path,
    *,
    labelled: Path | None = None,
    jobs: int | None = None,
    console: Console | None = None,
) -> Distilled:
    """Teach a student that begins as `start` what `teacher` makes of the photos in `images`.

    Goes on from a checkpoint in `folder` and writes it, nothing else. Raises DataError for photos or a checkpoint that
    cannot be used, UsageError for a checkpoint of another recipe, QualityError when training diverges, and
    KeyboardInterrupt after a Ctrl-C, state saved.
    """
    console = console or Console(quiet=True)
    pool = open_pool(images, max(teacher.backbone.spec.res, start.spec.res), jobs=jobs, console=console)
    for name, reason in pool.rejected:
        console.detail(f"Not used: {name}: {reason}")
    if pool.rejected:
        name, reason = pool.rejected[0]
        console.warn(f"{len(pool.rejected)} files are not used, the first is {name}: {reason} (all of them: {REPORT})")
    recipe = _recipe(teacher, start, pool, spec)
    path = folder / checkpoint.NAME
    saved = read_checkpoint(path, recipe) if path.exists() and path.stat().st_size else None
    console.say(f"{pool.training} photos to learn from, {pool.held_back} held back to measure")
    before, targets = _nearness(start, teacher, pool, jobs, console)
    probe = _probe(labelled, {"start": start, "teacher": teacher.backbone}, jobs, spec.seed)
    student = _new_student(start, teacher, pool, targets, spec)
    done = saved or Checkpoint(0, 0.0, recipe, [], [])
    if saved:
        student.restore(saved.step, saved.arrays)
        console.say(f"Going on after step {saved.step} of {spec.steps}")
    seconds = _train(student, teacher, pool, spread_of(targets[1]), spec, done, path, jobs, console)
    backbone = _named(student.backbone(), teacher)
    after, _ = _nearness(backbone, teacher, pool, jobs, console)
    if after["cosine"] <= before["cosine"]:
        console.warn("the student is no nearer to its teacher than at its start: train longer, or with more photos")
    probe |= _probe(labelled, {"student": backbone}, jobs, spec.seed)
    report = {
        "edgeretrain": "distill",
        "version": REPORT_VERSION,
        "student": {"name": backbone.spec.name, **asdict(backbone.source), "parameter_bytes": backbone.parameter_bytes},
        "start": asdict(start.source),
        "teacher": {
            "name": teacher.backbone.spec.name,
            "source": asdict(teacher.backbone.source),
            "logits": 0 if teacher.head is None else len(teacher.head[1]),
        },
        "photos": {
            "sha256": pool.digest,
            "used": len(pool.paths),
            "held_back": pool.held_back,
            "rejected": [{"name": name, "reason": reason} for name, reason in pool.rejected],
        },
        "recipe": asdict(spec),
        "training": {
            "seconds": seconds,
            "views": spec.steps * spec.batch_size,
            "views_per_s": spec.steps * spec.batch_size / max(seconds, 1e-9),
            "curve": done.curve,
        },
        "quality": {"start": before, "student": after},
        "probe": probe,
        "versions": {**versions(), "python": platform.python_version()},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
    }
    return Distilled(backbone, report)


def save(result: Distilled, folder: Path) -> Path:
    """Write the packed backbone, CARD.md and, last, distill.json; remove the checkpoint; return the backbone's path."""
    path = folder / f"{result.backbone.spec.name}.backbone"
    write_file(path, pack(result.backbone))
    write_file(folder / "CARD.md", card(result.report))
    write_file(folder / REPORT, json.dumps(result.report, indent=1, ensure_ascii=False) + "\n")
    with contextlib.suppress(OSError):  # it is of no use any more, and of no harm
        for left in (folder / checkpoint.NAME, *folder.glob(f".{checkpoint.NAME}.*.partial")):  # kill -9 leaves those
            left.unlink()
    return path


def _recipe(teacher: Teacher, start: Backbone, pool: Pool, spec: DistillSpec) -> dict[str, Any]:
    """What must be the same for a run to go on; how often it is saved need not be."""
    options = {name: value for name, value in asdict(spec).items() if name != "checkpoint_steps"}
    return {
        "teacher": sha256(pack(teacher.backbone))[:16],
        "start": f"{start.spec.name} {sha256(pack(start))[:16]}",
        "set of photos": pool.digest[:16],
        **options,
    }


def _nearness(
    backbone: Backbone, teacher: Teacher, pool: Pool, jobs: int | None, console: Console
) -> tuple[dict[str, float], tuple[Floats, Floats]]:
    """The similarity of two int8 networks on undistorted photos, and (own, teacher's) embeddings of the training photos."""
    extractors = [make_extractor(backbone), make_extractor(teacher.backbone)]
    paths = pool.paths[: pool.held_back + FIT_PHOTOS]
    with console.progress("Embedding photos", len(paths)) as advance:
        embedded = embed_photos(paths, extractors, cache=cache_file(cache_dir()), jobs=jobs, advance=advance)
    for path, item in zip(paths, embedded, strict=True):
        if item.reason is not None:
            raise DataError(f"{path} was usable a moment ago, now it is not ({item.reason}): is the folder changing?")
    own, wanted = (as_matrix(embedded, range(len(paths)), extractor, i) for i, extractor in enumerate(extractors))
    held, fit = slice(0, pool.held_back), slice(pool.held_back, None)
    return similarity((own[fit], wanted[fit]), (own[held], wanted[held])), (own[fit], wanted[fit])


def _new_student(
    start: Backbone, teacher: Teacher, pool: Pool, targets: tuple[Floats, Floats], spec: DistillSpec
) -> Student:
    from edgeretrain.distill.student import Student

    mean, spread = spread_of(targets[1])
    readout = regression(targets[0], (targets[1] - mean) / spread)
    rows = range(pool.held_back, min(pool.held_back + NORM_PHOTOS, len(pool.paths)))
    pictures = np.stack([pool.pixels(View(row, _WHOLE, False), [start.spec.res])[0] for row in rows])
    return Student(start, readout, 0 if teacher.head is None else len(teacher.head[1]), spec, pictures)


def _train(
    student: Student,
    teacher: Teacher,
    pool: Pool,
    scaling: tuple[Floats, Floats],
    spec: DistillSpec,
    done: Checkpoint,
    path: Path,
    jobs: int | None,
    console: Console,
) -> float:
    """Train to the end, saving on the way; appends to the curve of `done` and returns the seconds of all sittings."""
    mean, spread = scaling
    began = said = time.monotonic()
    said_step, losses = done.step, []
    every = max(1, spec.steps // 100)
    seconds = done.seconds
    with (
        postponed() as interrupted,
        contextlib.closing(_batches(teacher, pool, student.start.spec.res, spec, done.step, jobs)) as views,
    ):
        for step, (pixels, embeddings) in enumerate(views, start=done.step + 1):
            loss = student.train(pixels, (embeddings - mean) / spread, teacher.logits(embeddings))
            if not math.isfinite(loss):
                raise QualityError(f"the loss is {loss} after step {step}: choose a smaller --learning-rate")
            losses.append(loss)
            if step % every == 0 or step == spec.steps:
                done.curve.append([step, round(loss, 6)])
            now = time.monotonic()
            seconds = done.seconds + now - began
            if now - said >= SAY_SECONDS or step == spec.steps:
                pace = (step - said_step) / max(now - said, 1e-9)
                console.say(
                    f"Step {step} of {spec.steps}: loss {np.mean(losses):.4f}, {pace * spec.batch_size:.0f} photos/s, "
                    f"{duration((spec.steps - step) / pace)} left"
                )
                said, said_step, losses = now, step, []
            if step < spec.steps and (interrupted() or step % spec.checkpoint_steps == 0):
                write_checkpoint(path, replace(done, step=step, seconds=seconds, arrays=student.state()))
                if interrupted():
                    console.say(f"Saved after step {step}: the same command with --resume --out {path.parent} goes on")
                    raise KeyboardInterrupt
    return seconds


def _batches(
    teacher: Teacher, pool: Pool, res: int, spec: DistillSpec, first: int, jobs: int | None
) -> Generator[tuple[Pixels, Floats], None, None]:
    """Views uint8 [N, res, res, 3] and the teacher's embeddings [N, features] for the steps from `first` on.

    The next step's are made on all cores while this one's are trained on.
    """
    extractor = make_extractor(teacher.backbone)

    def look(number: int) -> tuple[Pixels, bytes]:
        view = view_of(number, pool, spec.seed, spec.crop_area)
        own, teachers = pool.pixels(view, (res, extractor.res))
        return own, run_extractor(extractor, teachers)

    threads = ThreadPoolExecutor(jobs or os.cpu_count() or 1)

    def ask(step: int) -> list[Future[tuple[Pixels, bytes]]]:
        if step == spec.steps:
            return []
        return [threads.submit(look, n) for n in range(step * spec.batch_size, (step + 1) * spec.batch_size)]

    try:
        ahead = ask(first)
        for step in range(first, spec.steps):
            asked, ahead = ahead, ask(step + 1)
            found = [future.result() for future in asked]
            codes = np.stack([np.frombuffer(codes, np.uint8) for _, codes in found])
            yield np.stack([pixels for pixels, _ in found]), codes.astype(np.float32) * np.float32(extractor.scale)
    finally:
        threads.shutdown(cancel_futures=True)


def _named(backbone: Backbone, teacher: Teacher) -> Backbone:
    """The student with a source of its own; its SHA-256 is that of the packed integers."""
    source = Source("distilled", f"{backbone.spec.name} distilled from {teacher.backbone.source.name}", "")
    backbone = replace(backbone, source=source)
    return replace(backbone, source=replace(source, sha256=sha256(pack(backbone))))


def _probe(labelled: Path | None, networks: dict[str, Backbone], jobs: int | None, seed: int) -> dict[str, Any]:
    if labelled is None:
        return {}
    results = linear_probe(labelled, [make_extractor(network) for network in networks.values()], jobs=jobs, seed=seed)
    return dict(zip(networks, results, strict=True))
