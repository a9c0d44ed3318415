"""Softmax layers for several strengths of weight decay, trained side by side in the same matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.errors import DataError

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64] | slice

STATE = 9
"""Arrays in `SoftmaxPath.state`."""
_MARGIN = 0.05  # of the logits' range, on both sides, for photos that are more extreme than those of training


@dataclass
class Curve:
    """What was measured on the way; one entry per evaluation."""

    step: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_top1: list[float] = field(default_factory=list)
    train_top1: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> Curve:
        """The curve with these `rows`."""
        curve = cls()
        for row in rows:
            curve.append(int(row[0]), *row[1:])
        return curve

    def append(self, *row: float) -> None:
        """Add an evaluation: the values in the order of the fields."""
        for column, value in zip(vars(self).values(), row, strict=True):
            column.append(value)

    def rows(self) -> list[list[float]]:
        """[step, train_loss, validation_loss, validation_top1, train_top1] per evaluation."""
        return [list(row) for row in zip(*vars(self).values(), strict=True)]


def logit_range(logits: Floats) -> tuple[np.float32, int]:
    """Scale and int8 zero point that cover `logits` and 0."""
    low, high = min(float(logits.min()), 0.0), max(float(logits.max()), 0.0)
    margin = _MARGIN * (high - low) or 1.0
    scale = np.float32((high - low + 2 * margin) / 255)
    return scale, int(np.clip(round(-128 - (low - margin) / float(scale)), -128, 127))


def batches(count: int, size: int, seed: int) -> Iterator[Rows]:
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


class SoftmaxPath:
    """Layers in training, weights [features, decays * classes]: `done` of `steps` steps, the largest of size `rate`.

    `quantized` trains with fake quantization. `best` (weights, bias) is the layer of the least validation loss, of step
    `best_step` (0: the start) and decay `best_decay`.
    """

    def __init__(
        self,
        start: tuple[Floats, Floats],
        decays: Sequence[float],
        class_weights: Floats,
        *,
        steps: int,
        rate: float,
        quantized: bool = False,
    ) -> None:
        self.classes, self.decays, self.class_weights = start[1].size, np.array(decays, np.float32), class_weights
        self.steps, self.rate, self.quantized = steps, rate, quantized
        self.parameters = [np.tile(start[0], (1, len(decays))), np.tile(start[1], len(decays))]
        self.first = [np.zeros_like(p) for p in self.parameters]
        self.second = [np.zeros_like(p) for p in self.parameters]
        self.done = 0
        self.best, self.best_loss, self.best_step, self.best_decay = start, np.inf, 0, float(self.decays[0])

    def run(
        self,
        train: tuple[Floats, Labels],
        validation: tuple[Floats, Labels],
        order: Iterator[Rows],
        due: Callable[[int], tuple[bool, bool]],
        show: Callable[[SoftmaxPath, int, Rows, list[float]], None],
        stop: Callable[[SoftmaxPath], bool],
    ) -> None:
        """Train to the last step, or until `stop`, asked after each, says so.

        `due(step)` tells whether to evaluate, and whether that may choose the best; `show` gets the layer that validation
        prefers, the batch, and the values of `Curve` but for the step.
        """
        x, y = train
        if self.quantized and not self.done:  # the layer it starts from is what it must beat
            self.best_loss = float(self.losses(*validation)[0][0])

        def evaluate(choose: bool) -> None:
            losses, top1 = self.losses(*validation)
            k = int(losses.argmin())
            train_losses, train_top1 = self.losses(x[rows], y[rows])
            show(self, k, rows, [float(v[k]) for v in (train_losses, losses, top1, train_top1)])
            if choose and losses[k] < self.best_loss:
                weights, bias = self.layer(k)
                self.best = (weights.copy(), bias.copy())
                self.best_loss, self.best_step, self.best_decay = float(losses[k]), self.done, float(self.decays[k])

        for rows in islice(order, self.done, self.steps):
            self.done += 1
            cosine = 0.5 * (1 + np.cos(np.pi * (self.done - 1) / self.steps))
            self.step(x[rows], y[rows], self.done, self.rate * min(1.0, self.done / 20) * cosine)
            look, choose = due(self.done)
            if look or self.done == self.steps:
                evaluate(choose or self.done == self.steps)
            if self.done < self.steps and stop(self):
                evaluate(choose=True)  # what is gone on with is saved by now, without this evaluation
                return

    def state(self) -> list[NDArray[Any]]:
        """Everything that training goes on from, as arrays; `restore` takes them."""
        numbers = np.array([self.done, self.best_loss, self.best_step, self.best_decay], np.float64)
        return [*self.parameters, *self.first, *self.second, *self.best, numbers]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Go on with what `state` gave. Raises DataError if the arrays do not fit."""
        if [a.shape for a in self.state()] != [a.shape for a in arrays]:
            raise DataError("the checkpoint's arrays are not those of this head: delete it to begin again")
        parts = [[array.copy() for array in arrays[i : i + 2]] for i in range(0, 8, 2)]
        self.parameters, self.first, self.second = parts[:3]
        self.best = (parts[3][0], parts[3][1])
        done, self.best_loss, best_step, self.best_decay = arrays[8].tolist()
        self.done, self.best_step = int(done), int(best_step)

    def layer(self, k: int) -> tuple[Floats, Floats]:
        """Views of the k-th layer: weights [features, classes], bias [classes]."""
        part = slice(k * self.classes, (k + 1) * self.classes)
        return self.parameters[0][:, part], self.parameters[1][part]

    def logits(self, x: Floats) -> Floats:
        """float32 [N, decays, classes]."""
        weights, bias = self.parameters
        if self.quantized:
            step = np.maximum(np.abs(weights).max(axis=0), 1e-8) / 127
            weights = np.rint(weights / step) * step
        logits = x @ weights + bias
        if self.quantized:
            scale, zero_point = logit_range(logits)
            logits = (np.clip(np.rint(logits / scale) + zero_point, -128, 127) - zero_point) * scale
        result: Floats = logits.reshape(len(x), len(self.decays), self.classes)
        return result

    def losses(self, x: Floats, y: Labels) -> tuple[Floats, Floats]:
        """Mean cross entropy and top-1 per decay.

        Validation too is weighted by class: what it chooses (decay, step) must not bring the common classes' favour back.
        """
        logits = self.logits(x)
        log = logits - logits.max(axis=2, keepdims=True)
        log -= np.log(np.exp(log).sum(axis=2, keepdims=True))
        rows = np.arange(len(y))
        entropy = -(log[rows, :, y] * self.class_weights[y][:, None]).mean(axis=0)
        return entropy, (logits.argmax(axis=2) == y[:, None]).mean(axis=0).astype(np.float32)

    def step(self, x: Floats, y: Labels, number: int, rate: float) -> None:
        """One step of Adam (beta 0.9, 0.99) on cross entropy + decay/2 * |weights|^2."""
        logits = self.logits(x)
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
