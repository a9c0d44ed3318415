"""The loop of a fine-tuning: views -> steps -> evaluations -> the best network as integers."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import Backbone
from edgeretrain.checkpoint import Checkpoint
from edgeretrain.console import Console, duration
from edgeretrain.dataset import Dataset, Photo
from edgeretrain.errors import DataError, QualityError, UsageError
from edgeretrain.finetune.cost import measure
from edgeretrain.finetune.course import Course
from edgeretrain.finetune.views import Length, Views, views_of
from edgeretrain.images import Pixels, load_pixels
from edgeretrain.measured import Measured, Observer
from edgeretrain.parallel import ordered_map
from edgeretrain.schedule import step_size
from edgeretrain.sitting import Sitting
from edgeretrain.softmax_path import Curve
from edgeretrain.spec import TrainSpec
from edgeretrain.train import TrainedHead, class_weights
from edgeretrain.write import Head

if TYPE_CHECKING:
    from edgeretrain.finetune.tuner import Tuner

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

NORM_PHOTOS = 128
"""Photos, spread over the classes, that set the batch norms up."""
SAY_SECONDS = 10.0
CHECKPOINT = "fine-tuning"
"""Name of the checkpoint of a sitting."""


@dataclass(frozen=True)
class FineTuned:
    """The classifier as integers, and how it went: `done` steps of `length.steps`, of which validation chose `best_step`.

    `distortions` says what the views were distorted by; `photos_per_s` is over all sittings, evaluations included.
    """

    backbone: Backbone
    head: Head
    curve: Curve
    length: Length
    float_steps: int
    done: int
    best_step: int
    distortions: str
    seconds: float
    photos_per_s: float

    def summary(self) -> dict[str, Any]:
        """For reports."""
        return {
            "steps": self.length.steps,
            "float_steps": self.float_steps,
            "batch": self.length.batch,
            "done": self.done,
            "best_step": self.best_step,
            "distortions": self.distortions,
            "seconds": self.seconds,
            "photos_per_s": self.photos_per_s,
            "curve": asdict(self.curve),
        }


def first_layer(backbone: Backbone, name: str) -> int:
    """The number of the convolution called `name` (such as Conv2d_5_depthwise), 0 for no name. Raises UsageError."""
    names = [shape.name for shape in backbone.table]
    if name and name not in names:
        raise UsageError(f"--fine-tune-from must be a layer, {', '.join(names[:3])} ... {names[-1]}, not {name!r}")
    return names.index(name) if name else 0


def new_tuner(backbone: Backbone, trained: TrainedHead, photos: tuple[Photo, ...], spec: TrainSpec) -> Tuner:
    """The network that is about to be trained on `photos`. Imports TensorFlow."""
    first = first_layer(backbone, spec.fine_tune_from)
    from edgeretrain.finetune.tuner import Tuner

    spread = photos[:: max(1, len(photos) // NORM_PHOTOS)][:NORM_PHOTOS]
    pictures = np.stack([load_pixels(photo.path, [backbone.spec.res])[0] for photo in spread])
    classes = trained.head.classes
    weights = np.ones(classes, np.float32)
    if spec.class_weights == "auto":
        weights = class_weights(np.array([photo.label for photo in photos]), classes)
    return Tuner(
        backbone, trained, pictures, weights, first=first, smoothing=spec.label_smoothing, mixed=spec.mixed_precision
    )


def fine_tune(
    backbone: Backbone,
    trained: TrainedHead,
    dataset: Dataset,
    spec: TrainSpec,
    *,
    sitting: Sitting | None = None,
    jobs: int | None = None,
    observe: Observer | None = None,
    console: Console | None = None,
) -> FineTuned:
    """Train `backbone` and the head of `trained` for `spec.fine_tune` epochs of the training photos of `dataset`.

    `sitting` says when to stop, after a step and with the best network so far, and keeps the state that the next one goes on
    from. Of the evaluations with fake quantization the one with the least validation loss counts. Cost: photos x epochs, less
    where validation ends it early; memory: see `cost`. Raises DataError for a damaged checkpoint, UsageError for one of
    another run and for an unknown layer, QualityError when training diverges.
    """
    sitting, console = sitting or Sitting(), console or Console(quiet=True)
    length, views = Length.of(len(dataset.train), spec), views_of(dataset.train, backbone.spec.res, spec)
    tuner = new_tuner(backbone, trained, dataset.train, spec)
    done = sitting.load(CHECKPOINT)
    loop = _Loop(tuner, length, spec, _held(dataset.validation, views.res, spec, jobs), observe, done)
    if done.step:
        if loop.course.quantized(done.step):
            tuner.quantize()
        tuner.restore(done.arrays)
        console.say(f"Going on after step {done.step} of {loop.course.steps}")
    console.say(measure(tuner, views, length).text(length, done.step))
    loop.run(views, sitting, jobs, console)
    backbone, head = tuner.classifier()
    return FineTuned(
        backbone,
        head,
        loop.curve,
        length,
        loop.course.float_steps,
        loop.step,
        loop.course.best_step,
        str(views.distortions),
        loop.seconds,
        round(loop.step * length.batch / max(loop.seconds, 1e-9), 1),
    )


class _Loop:
    """Training in progress: `step` is the last one done."""

    def __init__(
        self,
        tuner: Tuner,
        length: Length,
        spec: TrainSpec,
        held: tuple[Pixels, Labels],
        observe: Observer | None,
        done: Checkpoint,
    ) -> None:
        self.tuner, self.length, self.spec, self.held, self.observe = tuner, length, spec, held, observe
        self.step, self.seconds, self.curve = done.step, done.seconds, Curve.of(done.curve)
        self.course = Course(length, spec.fine_tune_patience)
        for step, loss in zip(self.curve.step, self.curve.validation_loss, strict=True):
            self.course.see(step, loss, self.course.quantized(step))

    def run(self, views: Views, sitting: Sitting, jobs: int | None, console: Console) -> None:
        """Train to the end, or until `sitting` says stop; save on the way."""
        length, course = self.length, self.course
        said = time.monotonic()
        began, said_step = said - self.seconds, self.step
        with contextlib.closing(_batches(views, length, self.step, jobs)) as batches:
            for pixels, labels in batches:
                if course.quantized(self.step + 1):
                    self.tuner.quantize()
                size = step_size(self.step, course.float_steps, course.steps, self.spec.fine_tune_rate)
                loss, logits = self.tuner.train(pixels, labels, size)
                self.step += 1
                if not math.isfinite(loss):
                    raise QualityError(f"the loss is {loss} after step {self.step}: choose a smaller --fine-tune-rate")
                if self.step == course.steps or self.step % length.every == 0:
                    self._evaluate(loss, logits, labels)
                last = self.step == course.steps
                now = time.monotonic()
                self.seconds = now - began
                if last or now - said >= SAY_SECONDS:
                    self._say(console, loss, (self.step - said_step) / max(now - said, 1e-9))
                    said, said_step = now, self.step
                stopping = not last and sitting.stop()
                if stopping or sitting.due():
                    sitting.save(CHECKPOINT, self.step, self.seconds, self.curve.rows(), self.tuner.state())
                if stopping or last:
                    break
        if not course.best_step:  # stopped before an evaluation with fake quantization: what there is, folded
            self.tuner.quantize()
            self._evaluate(loss, logits, labels)

    def _evaluate(self, loss: float, logits: Floats, labels: Labels) -> None:
        """Measure the network of now on the validation photos; `loss` and `logits` are those of the last batch."""
        pixels, truth = self.held
        found = self.tuner.logits(pixels)
        held_loss = self.tuner.cross_entropy(found, truth)
        if self.course.see(self.step, held_loss, self.tuner.quantized) and self.tuner.quantized:
            self.tuner.keep()
        self.curve.append(self.step, loss, held_loss, _top1(found, truth), _top1(logits, labels))
        if self.observe is not None:
            self.observe(
                Measured(
                    "fine-tune",
                    self.step,
                    loss,
                    _top1(logits, labels),
                    held_loss,
                    _top1(found, truth),
                    layer=self.tuner.layer,
                    logits=lambda: (logits, found),
                    head=lambda: self.tuner.now()[1],
                    backbone=lambda: self.tuner.now()[0],
                )
            )

    def _say(self, console: Console, loss: float, steps_per_s: float) -> None:
        validation = f", validation top-1 {self.curve.validation_top1[-1]:.1%}" if self.curve.step else ""
        console.say(
            f"Step {self.step} of {self.course.steps}: loss {loss:.3f}{validation}, "
            f"{steps_per_s * self.length.batch:.0f} photos/s, {duration((self.course.steps - self.step) / steps_per_s)} left"
        )


def _top1(logits: Floats, labels: Labels) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _held(photos: tuple[Photo, ...], res: int, spec: TrainSpec, jobs: int | None) -> tuple[Pixels, Labels]:
    """The validation photos, undistorted, and their labels: all, or `spec.validation_batch_size` of them."""
    count = spec.validation_batch_size
    if 0 < count < len(photos):
        chosen = np.random.default_rng(spec.seed).choice(len(photos), count, replace=False)
        photos = tuple(photos[i] for i in chosen)
    pixels = ordered_map(lambda photo: load_pixels(photo.path, [res])[0], photos, jobs=jobs)
    return np.stack(pixels), np.array([photo.label for photo in photos], np.int64)


def _batches(
    views: Views, length: Length, first: int, jobs: int | None
) -> Generator[tuple[Pixels, Labels], None, None]:
    """Pictures uint8 [N, res, res, 3] and labels int64 [N] for the steps from `first` on, made by tf.data on all cores."""
    from edgeretrain._tensorflow import load_tensorflow

    tf = load_tensorflow()
    failed: list[DataError] = []

    def look(number: Any) -> tuple[Pixels, NDArray[np.int64]]:
        try:
            pixels, label = views.look(int(number))
        except DataError as error:
            failed.append(error)  # tf.data would make one long line of it
            raise
        return pixels, np.int64(label)

    numbers = tf.data.Dataset.range(first * length.batch, length.steps * length.batch)
    drawn = numbers.map(
        lambda number: tf.numpy_function(look, [number], (tf.uint8, tf.int64)),
        num_parallel_calls=jobs or os.cpu_count() or 1,
        deterministic=True,
    )
    try:
        yield from drawn.batch(length.batch).prefetch(2).as_numpy_iterator()
    except tf.errors.OpError:
        if failed:
            raise failed[0] from None
        raise
