"""The head: a softmax layer on the embeddings, trained in numpy with the quantization that ships.

First a regularization path: one layer per strength of weight decay, all trained in the same matrix products (a convex
problem each; Adam, Kingma & Ba 2015, with a cosine to 0). Validation picks the strength and the step. From there training
goes on with fake-quantized weights and logits, gradients passed straight through (Jacob et al. 2018, arXiv:1712.05877).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import quantize_per_channel
from edgeretrain.measured import Measured, Observer
from edgeretrain.sitting import Sitting
from edgeretrain.softmax_path import STATE, Curve, Rows, SoftmaxPath, batches, logit_range
from edgeretrain.spec import TrainSpec
from edgeretrain.write import Head

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

DECAYS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Strengths of weight decay on the mean loss; scikit-learn's C is 1 / (decay * photos)."""
CHECKPOINT = "head"
"""Name of the checkpoint of a sitting."""
_MANY = 600  # outputs of all path layers together; above it the path is thinned, so that time stays in seconds


@dataclass(frozen=True)
class TrainedHead:
    """`head` is what ships; `weights` float32 [features, classes] and `bias` [classes] the same layer unquantized.

    `decay` and `best_step` are what validation chose.
    """

    head: Head
    weights: Floats
    bias: Floats
    curve: Curve
    decay: float
    best_step: int

    def logits(self, embeddings: Floats) -> Floats:
        """Unquantized logits, float32 [N, classes], of embeddings [N, features]."""
        result: Floats = embeddings @ self.weights + self.bias
        return result


def head_logits(head: Head, embeddings: Floats) -> NDArray[np.int8]:
    """The integer head in numpy: int8 logit codes [N, classes] of embeddings [N, features] (real values)."""
    codes, scale, _ = head.layer.per_channel
    real = embeddings @ (codes[0, 0] * scale) + head.layer.bias
    return np.clip(np.rint(real / head.logit_scale) + head.logit_zero_point, -128, 127).astype(np.int8)


def train_head(
    train: tuple[Floats, Labels],
    validation: tuple[Floats, Labels],
    classes: int,
    spec: TrainSpec,
    observe: Observer | None = None,
    sitting: Sitting | None = None,
) -> TrainedHead:
    """Train on (embeddings float32 [N, features], labels int64 [N]); deterministic for a seed, data and numpy build.

    `observe` is called at each evaluation and each step of `--intermediate-store-frequency`; it changes nothing. `sitting`
    says when to stop, with the best layer so far, and keeps the state that the next one goes on from. Raises DataError and
    UsageError for a checkpoint that cannot be used.
    """
    sitting = sitting or Sitting()
    mean = train[0].mean(axis=0)
    spread = np.float32(train[0].std() or 1)
    x, y = (train[0] - mean) / spread, train[1]
    held = _some((validation[0] - mean) / spread, validation[1], spec.validation_batch_size, spec.seed)
    weights = class_weights(y, classes) if spec.class_weights == "auto" else np.ones(classes, np.float32)
    saved = sitting.load(CHECKPOINT)
    curve = Curve.of(saved.curve)
    tuning_steps = spec.steps // 5
    path_steps = spec.steps - tuning_steps
    phases: list[SoftmaxPath] = []

    def real(layer: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        weights = (layer[0] / spread).astype(np.float32)
        return weights, (layer[1] - mean @ weights).astype(np.float32)

    def ship(weights: Floats, bias: Floats) -> Head:
        layer = quantize_per_channel(weights[None, None], bias)
        return Head(layer, *logit_range(train[0] @ layer.weights[0, 0] + bias))

    def show(path: SoftmaxPath, k: int, rows: Rows, values: list[float]) -> None:
        curve.append(path.done + path_steps * path.quantized, *values)
        if observe is not None:
            train_loss, validation_loss, validation_top1, train_top1 = values
            observe(
                Measured(
                    "head",
                    curve.step[-1],
                    train_loss,
                    train_top1,
                    validation_loss,
                    validation_top1,
                    layer=lambda: real(path.layer(k)),
                    logits=lambda: (path.logits(x[rows])[:, k], path.logits(held[0])[:, k]),
                    head=lambda: ship(*real(path.layer(k))),
                )
            )

    def stop(path: SoftmaxPath) -> bool:
        stopping = sitting.stop()
        if stopping or sitting.due():
            arrays = [array for phase in phases for array in phase.state()]
            sitting.save(CHECKPOINT, path.done + path_steps * path.quantized, 0.0, curve.rows(), arrays)
        return stopping

    def run(phase: SoftmaxPath) -> None:
        phases.append(phase)
        if mine := saved.arrays[STATE * (len(phases) - 1) : STATE * len(phases)]:
            phase.restore(mine)
        before = path_steps * phase.quantized

        def due(step: int) -> tuple[bool, bool]:
            choose, export = step % spec.eval_step_interval == 0, spec.intermediate_store_frequency
            return choose or bool(export and (before + step) % export == 0), choose

        phase.run((x, y), held, batches(len(y), spec.train_batch_size, spec.seed), due, show, stop)

    decays = DECAYS if len(DECAYS) * classes <= _MANY else DECAYS[2::2]
    start = (np.zeros((x.shape[1], classes), np.float32), np.zeros(classes, np.float32))
    path = SoftmaxPath(start, decays, weights, steps=path_steps, rate=spec.learning_rate)
    run(path)
    best, step = path.best, path.best_step
    if tuning_steps and path.done == path_steps:
        rate = 0.1 * spec.learning_rate
        tuner = SoftmaxPath(best, [path.best_decay], weights, steps=tuning_steps, rate=rate, quantized=True)
        run(tuner)
        best, step = tuner.best, path_steps + tuner.best_step if tuner.best_step else step
    layer = real(best)
    return TrainedHead(ship(*layer), *layer, curve, path.best_decay, step)


def class_weights(labels: Labels, classes: int) -> Floats:
    """Weight of each class in the loss, float32 [classes]: inverse to its count in `labels`, mean 1 over `labels`.

    What scikit-learn calls `balanced`; a class that `labels` do not have gets 0.
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / np.maximum(counts, 1) / np.count_nonzero(counts), 0).astype(np.float32)


def _some(x: Floats, y: Labels, count: int, seed: int) -> tuple[Floats, Labels]:
    if not 0 < count < len(y):
        return x, y
    chosen = np.random.default_rng(seed).choice(len(y), count, replace=False)
    return x[chosen], y[chosen]
