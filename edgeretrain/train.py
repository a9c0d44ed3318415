"""The head: a softmax layer on the embeddings, trained in numpy with the quantization that ships.

First a regularization path: one layer per strength of weight decay, all trained in the same matrix products (a convex
problem each; Adam, Kingma & Ba 2015, with a cosine to 0). Validation picks the strength and the step. From there training
goes on with fake-quantized weights and logits, gradients passed straight through (Jacob et al. 2018, arXiv:1712.05877).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import quantize_per_channel
from edgeretrain.measured import Measured, Observer
from edgeretrain.spec import TrainSpec
from edgeretrain.write import Head

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

DECAYS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Strengths of weight decay on the mean loss; scikit-learn's C is 1 / (decay * photos)."""
_MANY = 600  # outputs of all path layers together; above it the path is thinned, so that time stays in seconds
_MARGIN = 0.05  # of the logits' range, on both sides, for photos that are more extreme than those of training


@dataclass
class Curve:
    """What was measured on the way; one entry per evaluation."""

    step: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_top1: list[float] = field(default_factory=list)
    train_top1: list[float] = field(default_factory=list)


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
) -> TrainedHead:
    """Train on (embeddings float32 [N, features], labels int64 [N]); deterministic for a seed, data and numpy build.

    `observe` is called at each evaluation and each step of `--intermediate-store-frequency`; it changes nothing.
    """
    mean = train[0].mean(axis=0)
    spread = np.float32(train[0].std() or 1)
    x, y = (train[0] - mean) / spread, train[1]
    held_x, held_y = _some((validation[0] - mean) / spread, validation[1], spec.validation_batch_size, spec.seed)
    curve = Curve()

    def real(weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
        weights = (weights / spread).astype(np.float32)
        return weights, (bias - mean @ weights).astype(np.float32)

    def ship(weights: Floats, bias: Floats) -> Head:
        layer = quantize_per_channel(weights[None, None], bias)
        return Head(layer, *logit_range(train[0] @ layer.weights[0, 0] + bias))

    def show(path: _Path, k: int, rows: NDArray[np.int64] | slice, quantized: bool) -> None:
        assert observe is not None
        observe(
            Measured(
                "head",
                curve.step[-1],
                curve.train_loss[-1],
                curve.train_top1[-1],
                curve.validation_loss[-1],
                curve.validation_top1[-1],
                layer=lambda: real(*path.layer(k)),
                logits=lambda: (path.logits(x[rows], quantized)[:, k], path.logits(held_x, quantized)[:, k]),
                head=lambda: ship(*real(*path.layer(k))),
            )
        )

    shown = show if observe is not None else None
    tuning_steps = spec.steps // 5
    balance = class_weights(y, classes) if spec.class_weights == "auto" else np.ones(classes, np.float32)
    decays = DECAYS if len(DECAYS) * classes <= _MANY else DECAYS[2::2]
    path = _Path(x.shape[1], classes, np.array(decays, np.float32), balance)
    best, step, decay = path.run(x, y, held_x, held_y, spec, spec.steps - tuning_steps, curve, shown)
    tuner = _Path(x.shape[1], classes, np.array([decay], np.float32), balance, start=best)
    if tuning_steps:
        best, tuned, _ = tuner.run(x, y, held_x, held_y, spec, tuning_steps, curve, shown, quantized=True)
        step = spec.steps - tuning_steps + tuned if tuned else step
    weights, bias = real(*best)
    return TrainedHead(ship(weights, bias), weights, bias, curve, float(decay), step)


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


def logit_range(logits: Floats) -> tuple[np.float32, int]:
    """Scale and int8 zero point that cover `logits` and 0."""
    low, high = min(float(logits.min()), 0.0), max(float(logits.max()), 0.0)
    margin = _MARGIN * (high - low) or 1.0
    scale = np.float32((high - low + 2 * margin) / 255)
    return scale, int(np.clip(round(-128 - (low - margin) / float(scale)), -128, 127))


def _batches(count: int, size: int, seed: int) -> Iterator[NDArray[np.int64] | slice]:
    """Endless batches of row numbers, every row once before any row again."""
    if not 0 < size < count:
        while True:
            yield slice(None)
    random = np.random.default_rng(seed)
    order = random.permutation(count)
    while True:
        if len(order) < size:
            order = np.concatenate([order, random.permutation(count)])
        yield order[:size]
        order = order[size:]


class _Path:
    """Softmax layers for several decays side by side: weights [features, decays * classes]."""

    def __init__(
        self,
        features: int,
        classes: int,
        decays: Floats,
        class_weights: Floats,
        start: tuple[Floats, Floats] | None = None,
    ) -> None:
        self.classes, self.decays, self.class_weights = classes, decays, class_weights
        shape = (features, len(decays) * classes)
        weights, bias = start or (np.zeros(shape, np.float32), np.zeros(shape[1], np.float32))
        self.parameters = [weights.copy(), bias.copy()]
        self.first = [np.zeros_like(p) for p in self.parameters]
        self.second = [np.zeros_like(p) for p in self.parameters]

    def run(
        self,
        x: Floats,
        y: Labels,
        held_x: Floats,
        held_y: Labels,
        spec: TrainSpec,
        steps: int,
        curve: Curve,
        show: Callable[[_Path, int, NDArray[np.int64] | slice, bool], None] | None = None,
        *,
        quantized: bool = False,
    ) -> tuple[tuple[Floats, Floats], int, float]:
        """Train `steps` steps; return the layer of the best validation loss, its step (0: the start), its decay."""
        rate = spec.learning_rate * (0.1 if quantized else 1.0)
        before = curve.step[-1] if curve.step else 0
        best_loss = np.inf
        best, best_step, best_decay = (self.parameters[0], self.parameters[1]), 0, float(self.decays[0])
        if quantized:
            best_loss = float(self.losses(held_x, held_y, quantized)[0][0])
            best = (self.parameters[0].copy(), self.parameters[1].copy())
        for step, rows in zip(range(1, steps + 1), _batches(len(y), spec.train_batch_size, spec.seed), strict=False):
            warm_up = min(1.0, step / 20)
            self.step(
                x[rows], y[rows], step, rate * warm_up * 0.5 * (1 + np.cos(np.pi * (step - 1) / steps)), quantized
            )
            due = step % spec.eval_step_interval == 0 or step == steps
            if not due and (
                not spec.intermediate_store_frequency or (before + step) % spec.intermediate_store_frequency
            ):
                continue
            losses, top1 = self.losses(held_x, held_y, quantized)
            k = int(losses.argmin())
            curve.step.append(before + step)
            train_losses, train_top1 = self.losses(x[rows], y[rows], quantized)
            curve.train_loss.append(float(train_losses[k]))
            curve.train_top1.append(float(train_top1[k]))
            curve.validation_loss.append(float(losses[k]))
            curve.validation_top1.append(float(top1[k]))
            if show is not None:
                show(self, k, rows, quantized)
            if due and losses[k] < best_loss:  # exports on the way change nothing, so they do not choose
                best_loss, best_step, best_decay = float(losses[k]), step, float(self.decays[k])
                weights, bias = self.layer(k)
                best = (weights.copy(), bias.copy())
        return best, best_step, best_decay

    def layer(self, k: int) -> tuple[Floats, Floats]:
        """Views of the k-th layer: weights [features, classes], bias [classes]."""
        part = slice(k * self.classes, (k + 1) * self.classes)
        return self.parameters[0][:, part], self.parameters[1][part]

    def logits(self, x: Floats, quantized: bool) -> Floats:
        """float32 [N, decays, classes]."""
        weights, bias = self.parameters
        if quantized:
            step = np.maximum(np.abs(weights).max(axis=0), 1e-8) / 127
            weights = np.rint(weights / step) * step
        logits = x @ weights + bias
        if quantized:
            scale, zero_point = logit_range(logits)
            logits = (np.clip(np.rint(logits / scale) + zero_point, -128, 127) - zero_point) * scale
        result: Floats = logits.reshape(len(x), len(self.decays), self.classes)
        return result

    def losses(self, x: Floats, y: Labels, quantized: bool) -> tuple[Floats, Floats]:
        """Mean cross entropy and top-1 per decay.

        Validation too is weighted by class: what it chooses (decay, step) must not bring the common classes' favour back.
        """
        logits = self.logits(x, quantized)
        log = logits - logits.max(axis=2, keepdims=True)
        log -= np.log(np.exp(log).sum(axis=2, keepdims=True))
        rows = np.arange(len(y))
        entropy = -(log[rows, :, y] * self.class_weights[y][:, None]).mean(axis=0)
        return entropy, (logits.argmax(axis=2) == y[:, None]).mean(axis=0).astype(np.float32)

    def step(self, x: Floats, y: Labels, number: int, rate: float, quantized: bool) -> None:
        """One step of Adam (beta 0.9, 0.99) on cross entropy + decay/2 * |weights|^2."""
        logits = self.logits(x, quantized)
        error = np.exp(logits - logits.max(axis=2, keepdims=True))
        error /= error.sum(axis=2, keepdims=True)
        error[np.arange(len(y)), :, y] -= 1
        error = (error * self.class_weights[y][:, None, None]).reshape(len(x), -1) / np.float32(len(x))
        decay = np.repeat(self.decays, self.classes)
        gradients: Sequence[Floats] = (x.T @ error + decay * self.parameters[0], error.sum(axis=0))
        for p, g, m, v in zip(self.parameters, gradients, self.first, self.second, strict=True):
            m += np.float32(0.1) * (g - m)
            v += np.float32(0.01) * (g * g - v)
            p -= (
                np.float32(rate)
                * (m / np.float32(1 - 0.9**number))
                / (np.sqrt(v / np.float32(1 - 0.99**number)) + np.float32(1e-8))
            )
