"""The steps of `edgeretrain train`, in order: photos -> dataset -> backbone -> embeddings -> head -> file -> report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.artifact import Model, model_from_bytes, seal, verify
from edgeretrain.backbone import Backbone
from edgeretrain.calibrated import Calibrated
from edgeretrain.check import check_answers, check_integers
from edgeretrain.console import Console
from edgeretrain.copies import with_copies
from edgeretrain.dataset import Dataset, Photo
from edgeretrain.embed import CHECK, as_matrix, make_extractor
from edgeretrain.errors import DataError, QualityError, UsageError
from edgeretrain.evaluate import Evaluation, agreement, predict_photos
from edgeretrain.finetune.run import FineTuned, fine_tune
from edgeretrain.intermediate import exporter
from edgeretrain.measured import Measured, Observer
from edgeretrain.metadata import ENTRY, classifier_metadata
from edgeretrain.reading import load_dataset
from edgeretrain.run_report import facts_of, report_of
from edgeretrain.sitting import Sitting
from edgeretrain.spec import TrainSpec
from edgeretrain.storage import write_file
from edgeretrain.train import TrainedHead, head_logits, train_head
from edgeretrain.write import Head, check_scheme, write_model

if TYPE_CHECKING:
    from edgeretrain.modules.generic import FloatModule

SMOKE_PHOTOS = 200
LEAST_AGREEMENT = 0.8
"""A quantized float module that agrees less with itself in float is worth a warning."""


@dataclass
class Stages:
    """Seconds per stage, in the order of their first appearance."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Result:
    """A finished run: the sealed model and everything that is known about it.

    `backbone` and `head` are what it was written of, after fine-tuning; `trained` is the head before it. `stopped` says that
    training was ended early, with the best so far.
    """

    model: Model
    dataset: Dataset
    backbone: Backbone | Calibrated
    head: Head
    trained: TrainedHead
    evaluation: Evaluation
    report: dict[str, Any]
    stopped: bool


def run(
    image_dir: Path,
    backbone: Backbone | Calibrated | FloatModule,
    spec: TrainSpec,
    *,
    instrumented: bool = False,
    embeddings: Path | None = None,
    jobs: int | None = None,
    stages: Stages | None = None,
    console: Console | None = None,
    observers: Sequence[Observer] = (),
    intermediate: Path | None = None,
    checkpoints: Path | None = None,
    postpone: Callable[[], Callable[[], bool]] = lambda: _never,
) -> Result:
    """Train a head for `backbone` on the photos in `image_dir`, fine-tune if `spec` asks for it, write, check and evaluate
    the .tflite; touch no disk but the cache, the folder `checkpoints`, which a killed run goes on from, and, where
    `spec` asks for intermediate exports, the folder `intermediate`. `observers` see each evaluation. `postpone` is called
    before training and returns what tells, after each step, whether to end with the best so far.

    A FloatModule is quantized first, by calibration on the training photos alone. Raises DataError for photos that cannot be
    used, QualityError when the file does not hold what it promises, UsageError for options that make no sense for `backbone`.
    """
    if spec.intermediate_store_frequency and intermediate is None:
        raise UsageError("--intermediate-store-frequency needs a folder for what it exports: pass `intermediate`")
    console, stages = console or Console(quiet=True), stages or Stages()
    real: NDArray[np.float32] | None = None
    if not isinstance(backbone, Backbone | Calibrated):
        with stages("calibrate"):
            backbone, real = _quantized(image_dir, backbone, spec, jobs, console)
    elif spec.input_range != "auto":
        raise UsageError(f"--input-range is for float modules; leave it out for {backbone.spec.name}")
    extractor = make_extractor(backbone)
    with stages("embed"):
        dataset, embedded = load_dataset(
            image_dir, [extractor], spec, embeddings=embeddings, jobs=jobs, console=console
        )
    for warning in dataset.warnings:
        console.warn(warning)

    def part(photos: Sequence[Photo]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return as_matrix(embedded, [p.row for p in photos], extractor), np.array([p.label for p in photos], np.int64)

    def write(head: Head, at: Backbone | Calibrated = backbone) -> bytes:
        metadata = {ENTRY: metadata_of(at, dataset.class_names, spec.io_type)}
        return write_model(at, head, scheme=spec.scheme, io_type=spec.io_type, metadata=metadata)

    def export(measured: Measured) -> bytes:
        at = measured.backbone() if measured.backbone else backbone
        facts = facts_of(backbone, dataset, spec) | {"step": measured.step}
        return seal(write(measured.head(), at), dataset.class_names, facts)

    if intermediate is not None and spec.intermediate_store_frequency:
        store = exporter(intermediate, backbone.spec.name, spec.intermediate_store_frequency, export)
        observers = (*observers, store)

    def observe(measured: Measured) -> None:
        for look in observers:
            look(measured)

    with stages("embed"):
        train = with_copies(
            part(dataset.train), dataset.train, extractor, spec, embeddings=embeddings, jobs=jobs, console=console
        )
    recipe = {"module": extractor.key, "set of photos": dataset.digest, **spec.training_options()}
    sitting = Sitting(checkpoints, recipe, postpone())
    with stages("train"):
        seen = observe if observers else None
        trained = train_head(train, part(dataset.validation), len(dataset.class_names), spec, seen, sitting)
    tuned: FineTuned | None = None
    head = trained.head
    shipped: Backbone | Calibrated = backbone
    if spec.fine_tune and isinstance(backbone, Backbone) and not sitting.stop():
        with stages("fine-tune"):
            tuned = fine_tune(
                backbone,
                trained,
                dataset,
                spec,
                sitting=sitting,
                jobs=jobs,
                observe=seen,
                console=console,
            )
        shipped, head = tuned.backbone, tuned.head
    with stages("write"):
        flatbuffer = write(head, shipped)
        check_integers(flatbuffer, spec.io_type)
    tested = _some(dataset.test, spec)
    smoke = dataset.validation[:SMOKE_PHOTOS]
    photos = (*tested, *smoke)
    with stages("evaluate"):
        draft = model_from_bytes(flatbuffer, backbone.spec.name)
        evaluation, confidence = _evaluate(draft, tested, dataset.class_names, jobs)
        answers, _ = _evaluate(draft, smoke, dataset.class_names, jobs)
        x, truth = part(tested)
        unquantized = Evaluation(dataset.class_names, truth, trained.logits(x).argmax(axis=1))
        expected = head_logits(head, part(photos)[0]).argmax(axis=1)
    others = {"head": unquantized}
    if real is not None:
        others["float"] = Evaluation(dataset.class_names, truth, trained.logits(real).argmax(axis=1))
        if (same := agreement(others["float"], evaluation)) < LEAST_AGREEMENT:
            console.warn(f"the .tflite and the float module agree on {same:.0%} of test photos: it quantizes badly")
    if isinstance(shipped, Backbone) and (instrumented or tuned):
        with stages("instrumented"):
            from edgeretrain.network import evaluate_instrumented

            found = evaluate_instrumented(shipped, head, photos, dataset.class_names)
            others["instrumented"] = Evaluation(found.class_names, truth, found.predicted[: len(tested)])
            if tuned:  # the embeddings are those of the network before
                expected = found.predicted
    predicted = np.concatenate([evaluation.predicted, answers.predicted])
    check_answers([p.name for p in photos], predicted, expected, dataset.class_names, spec.scheme)
    with stages("seal"):
        facts = facts_of(backbone, dataset, spec, evaluation)
        if tuned:
            facts["fine_tuned"] = {"epochs": spec.fine_tune, "steps": tuned.best_step}
        model = model_from_bytes(seal(flatbuffer, dataset.class_names, facts), f"{backbone.spec.name}.tflite")
        failed = [check for check in verify(model) if not check.ok]
        if failed:
            raise QualityError(f"{failed[0].subject}: {failed[0].seen}; nothing was exported")
    report = report_of(model, shipped, dataset, trained, evaluation, confidence, others, tested, spec)
    if tuned:
        report["fine_tuning"] = tuned.summary()
    return Result(model, dataset, shipped, head, trained, evaluation, report, sitting.stopped)


def _quantized(
    image_dir: Path, module: FloatModule, spec: TrainSpec, jobs: int | None, console: Console
) -> tuple[Calibrated, NDArray[np.float32]]:
    """The module calibrated on training photos, and what its float network makes of the test photos.

    The split follows from the photos' contents, so it is known before anything is embedded.
    """
    from edgeretrain.modules.generic import quantize_module

    check_scheme(module.spec.name, spec.scheme)
    if spec.fine_tune:
        raise UsageError(f"--fine-tune is for MobileNet V1 networks; leave it out for {module.spec.name}")
    module.input_range(spec.input_range)  # said before photos are read
    dataset, _ = load_dataset(image_dir, [CHECK], spec, jobs=jobs, console=console)
    return quantize_module(module, dataset.train, _some(dataset.test, spec), spec.input_range, console=console)


def save(result: Result, folder: Path) -> Path:
    """Write model, labels.txt and report.json into `folder`; return the model's path. Each file is whole or absent."""
    path = folder / result.model.name
    write_file(path, result.model.data)
    write_file(folder / "labels.txt", "".join(f"{name}\n" for name in result.dataset.class_names))
    write_file(folder / "report.json", json.dumps(result.report, indent=1, ensure_ascii=False) + "\n")
    return path


def metadata_of(
    backbone: Backbone | Calibrated, class_names: Sequence[str], io_type: str, numbers: str = "integer only"
) -> bytes:
    """TFLite metadata for a classifier on `backbone`; `numbers` says what it computes with."""
    scale, zero_point = backbone.input_quantization
    low, high = backbone.input_range
    limits = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0), "float32": (low, high)}[io_type]
    text = f"{len(class_names)} classes, {numbers}, by edgeretrain"
    return classifier_metadata(backbone.spec.name, text, float(zero_point), 1 / scale, limits)


def _never() -> bool:
    return False


def _some(photos: Sequence[Photo], spec: TrainSpec) -> tuple[Photo, ...]:
    if not 0 < spec.test_batch_size < len(photos):
        return tuple(photos)
    chosen = np.random.default_rng(spec.seed).choice(len(photos), spec.test_batch_size, replace=False)
    return tuple(photos[i] for i in sorted(chosen))


def _evaluate(
    model: Model, photos: Sequence[Photo], class_names: tuple[str, ...], jobs: int | None
) -> tuple[Evaluation, list[float]]:
    """The file's answers on photos, with its confidence in each."""
    answers = []
    for photo, answer in zip(photos, predict_photos(model, [p.path for p in photos], jobs=jobs), strict=True):
        if isinstance(answer, str):
            raise DataError(f"{photo.name} was usable a moment ago, now it is not ({answer}): is the folder changing?")
        answers.append(answer)
    predicted = np.array([int(answer.argmax()) for answer in answers], np.int64)
    truth = np.array([photo.label for photo in photos], np.int64)
    return Evaluation(class_names, truth, predicted), [float(answer.max()) for answer in answers]
