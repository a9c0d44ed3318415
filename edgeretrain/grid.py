"""The cells of the grid as models to measure: each written from its backbone, and retrained where there are photos."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgeretrain.artifact import versions
from edgeretrain.backbone import Backbone, quantize_per_channel
from edgeretrain.benchmark.result import Accuracy
from edgeretrain.benchmark.run import Subject
from edgeretrain.console import Console
from edgeretrain.embed import make_extractor
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.metadata import ENTRY
from edgeretrain.modules import TIMEOUT_S, load_backbone
from edgeretrain.pipeline import Result, metadata_of, run
from edgeretrain.reading import load_dataset
from edgeretrain.spec import RESOLUTIONS, WIDTHS, ModelSpec, TrainSpec
from edgeretrain.storage import cache_dir, sha256, write_file
from edgeretrain.write import Head, write_model

# Top-1 on ImageNet of the quantized networks, in %: TensorFlow's hosted models page (mobilenet_v1.md has the float ones).
_PUBLISHED = {
    "025": (39.5, 43.4, 46.0, 48.0),
    "050": (54.5, 57.7, 60.0, 60.7),
    "075": (55.8, 62.3, 66.1, 66.8),
    "100": (63.4, 67.2, 69.2, 70.1),
}
STAND_IN_CLASSES = 5
OFFICIAL = ("quantops", "hosted")
"""Kinds of sources that are Google's own networks, for which published figures exist."""


@dataclass(frozen=True)
class CellJob:
    """One cell to build: plain values, so that any process can do it. Without `image_dir` the head is a stand-in."""

    backbone: Backbone
    image_dir: Path | None
    spec: TrainSpec
    folder: Path
    instrumented: bool = False
    float_baseline: bool = False
    kept: Path | None = None
    """Where a finished cell is kept (a .tflite and a .json), so that a killed sweep goes on from there."""


def find_backbones(
    specs: Sequence[ModelSpec],
    modules: Sequence[str],
    *,
    offline: bool = False,
    timeout: float = TIMEOUT_S,
    console: Console | None = None,
) -> list[Backbone]:
    """The backbone of each of `specs`: from the first of `modules` that has it.

    An entry is what `load_backbone` takes, or a folder of modules laid out like the hub's paths. Where none has a cell, it
    is found as by `auto`. Raises EnvironmentFailure for an entry that is no module.
    """
    console, quiet = console or Console(quiet=True), Console(quiet=True)
    own: dict[ModelSpec, str] = {}
    general = "auto"
    for module in modules:
        if module in ("auto", "starter"):
            general = module
        else:
            for spec, path in _modules_in(module, offline, timeout).items():
                own.setdefault(spec, path)
    found = [
        load_backbone(own.get(spec, general), spec.width, spec.res, offline=offline, timeout=timeout, console=quiet)
        for spec in specs
    ]
    kinds = Counter(backbone.source.kind for backbone in found)
    console.say("Backbones: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    return found


def _modules_in(module: str, offline: bool, timeout: float) -> dict[ModelSpec, str]:
    path = Path(module).expanduser()
    if path.is_dir() and not (path / "saved_model.pb").exists():
        inside = [graph.parent for graph in sorted(path.rglob("saved_model.pb"))] + sorted(path.rglob("*.tflite"))
        named = {spec: str(entry) for entry in inside if (spec := ModelSpec.parse(str(entry.relative_to(path))))}
        if not named:
            raise EnvironmentFailure(f"{module} holds no module named like mobilenet_v1_050_160")
        return named
    return {load_backbone(module, offline=offline, timeout=timeout).spec: module}


def build_grid(
    backbones: Sequence[Backbone],
    image_dir: Path | None,
    spec: TrainSpec,
    folder: Path,
    *,
    instrumented: bool = False,
    float_baseline: bool = False,
    jobs: int | None = None,
    console: Console | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Subject]:
    """Write the model of every cell into `folder`; with `image_dir`, retrained on its photos and evaluated.

    Photos are decoded once for all cells. Embeddings and finished cells are kept in the cache, so a sweep that was killed
    goes on where it was. `jobs` worker processes build cells; costs grow with photos x cells. `advance(1)` is called per cell.
    """
    kept: list[Path | None] = [None] * len(backbones)
    if image_dir is not None:
        extractors = [make_extractor(backbone) for backbone in backbones]
        dataset, _ = load_dataset(image_dir, extractors, spec, jobs=jobs, console=console)
        facts = f"{dataset.digest} {spec} {instrumented} {versions()}"
        kept = [cache_dir() / "cells" / sha256(f"{e.key} {facts}".encode()) for e in extractors]
    cells = [
        CellJob(backbone, image_dir, spec, folder, instrumented, float_baseline, place)
        for backbone, place in zip(backbones, kept, strict=True)
    ]
    built: dict[int, list[Subject]] = {}
    if image_dir is None or len(cells) == 1 or jobs == 1:
        for index, cell in enumerate(cells):
            built[index] = build_cell(cell)
            advance(1)
    else:
        pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
        try:
            futures = {pool.submit(build_cell, cell): index for index, cell in enumerate(cells)}
            for future in as_completed(futures):
                built[futures[future]] = future.result()
                advance(1)
        finally:
            pool.shutdown(cancel_futures=True)
    return [subject for index in sorted(built) for subject in built[index]]


def build_cell(cell: CellJob) -> list[Subject]:
    """Write one cell's .tflite, and its float32 twin if asked for; the unit of work of a sweep."""
    spec = cell.backbone.spec
    finished = None if cell.float_baseline else _read_kept(cell.kept)
    head: Head | None = None
    if finished is not None:
        data, accuracy, classes = finished
    elif cell.image_dir is None:
        head, accuracy, classes = _stand_in(spec.features), None, STAND_IN_CLASSES
        metadata = {ENTRY: metadata_of(cell.backbone, [f"class {i}" for i in range(classes)], cell.spec.io_type)}
        data = write_model(cell.backbone, head, scheme=cell.spec.scheme, io_type=cell.spec.io_type, metadata=metadata)
    else:
        result = run(cell.image_dir, cell.backbone, cell.spec, instrumented=cell.instrumented, jobs=1)
        head, data, accuracy = result.trained.head, result.model.data, accuracy_of(result)
        classes = head.classes
        _keep(cell.kept, data, accuracy, classes)
    path = cell.folder / f"{spec.name}.tflite"
    write_file(path, data)
    official = cell.backbone.source.kind in OFFICIAL
    published = _PUBLISHED[spec.width][RESOLUTIONS.index(spec.res)] / 100 if official else None
    macs = count_macs(cell.backbone, classes)
    subjects = [Subject(path, spec.name, accuracy, published, macs, cell.spec.scheme)]
    if cell.float_baseline and head is not None:
        twin = cell.folder / f"{spec.name}_float32.tflite"
        write_file(twin, write_model(cell.backbone, head, scheme="float32"))
        subjects.append(Subject(twin, f"{spec.name}_float32", None, None, macs, "float32"))
    return subjects


def _keep(place: Path | None, data: bytes, accuracy: Accuracy, classes: int) -> None:
    """Keep a finished cell; the .json, written last, says that both are there. A cache that fails only costs time."""
    if place is not None:
        with contextlib.suppress(EnvironmentFailure):
            write_file(place.with_suffix(".tflite"), data)
            facts = {"accuracy": asdict(accuracy), "classes": classes, "sha256": sha256(data)}
            write_file(place.with_suffix(".json"), json.dumps(facts))


def _read_kept(place: Path | None) -> tuple[bytes, Accuracy, int] | None:
    """What `_keep` kept at `place`, None if it is not there or not whole."""
    if place is None:
        return None
    try:
        facts = json.loads(place.with_suffix(".json").read_text())
        data = place.with_suffix(".tflite").read_bytes()
        if sha256(data) != facts["sha256"]:
            return None
        return data, Accuracy(**facts["accuracy"]), int(facts["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def accuracy_of(result: Result) -> Accuracy:
    """What the benchmark keeps of a run's evaluation."""
    evaluation, scores = result.evaluation, result.report["accuracy"]
    worst = min(
        (row for row in evaluation.per_class() if row["recall"] is not None), key=lambda row: float(row["recall"])
    )
    answers = (evaluation.truth == evaluation.predicted).tolist()
    return Accuracy.of_answers(
        "".join("1" if right else "0" for right in answers),
        sha256(b"".join(photo.digest for photo in result.dataset.test))[:16],
        head_top1=scores["head"]["top1"],
        instrumented_top1=scores["instrumented"]["top1"] if "instrumented" in scores else None,
        agreement=scores["head"]["agreement"],
        worst_class=worst["class_name"],
        worst_recall=worst["recall"],
    )


def count_macs(backbone: Backbone, classes: int) -> int:
    """Multiply-accumulates of one inference, head included."""
    side, total = backbone.spec.res, backbone.spec.features * classes
    for shape in backbone.table:
        side = -(-side // shape.stride)
        total += side * side * int(np.prod(shape.weights))
    return total


def parse_cells(widths: Sequence[str], resolutions: Sequence[int]) -> list[ModelSpec]:
    """The cells of `widths` x `resolutions`, all where empty; narrow to wide, small to large."""
    return [ModelSpec(width, res) for width in widths or WIDTHS for res in resolutions or RESOLUTIONS]


def _stand_in(features: int) -> Head:
    """A head that costs what a trained one costs; its answers mean nothing."""
    weights = np.random.default_rng(0).normal(0, 0.05, (1, 1, features, STAND_IN_CLASSES)).astype(np.float32)
    return Head(quantize_per_channel(weights, np.zeros(STAND_IN_CLASSES, np.float32)), np.float32(0.05), 0)
