"""What a fine-tuning will take, measured with the network and the photos themselves before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeretrain import pictures
from edgeretrain.console import duration
from edgeretrain.finetune.views import Length, Views, picture_bytes

if TYPE_CHECKING:
    from edgeretrain.finetune.tuner import Tuner

_STEPS = 3  # timed, after one that builds the graph


@dataclass(frozen=True)
class Cost:
    """Photos trained on per second, and the most memory of this process in bytes: now, and with all photos kept."""

    layers: int
    photos: int
    photos_per_s: float
    memory_bytes: int

    def seconds(self, length: Length, done: int = 0) -> float:
        """How long the steps after `done` will take."""
        return (length.steps - done) * length.batch / self.photos_per_s

    def text(self, length: Length, done: int = 0) -> str:
        """One line for the user."""
        epochs = length.steps * length.batch / self.photos
        return (
            f"Fine-tuning {self.layers} layers: {epochs:.0f} x {self.photos} photos, {length.steps - done} steps of "
            f"{length.batch}, about {duration(self.seconds(length, done))} at {self.photos_per_s:.0f} photos/s, "
            f"{self.memory_bytes / 1e9:.1f} GB of memory"
        )


def measure(tuner: Tuner, views: Views, length: Length) -> Cost:
    """Time a few steps of `tuner` on the first views and take them back. Needs a second or two beside building the graph."""
    import psutil

    looked = [views.look(number) for number in range(length.batch)]
    pixels, labels = np.stack([pixels for pixels, _ in looked]), np.array([label for _, label in looked], np.int64)
    state = tuner.state()
    tuner.train(pixels, labels, 0.0)
    begin = time.perf_counter()
    for _ in range(_STEPS):
        tuner.train(pixels, labels, 0.0)
        views.look(0)
    pace = _STEPS * length.batch / (time.perf_counter() - begin)
    tuner.restore(state)
    to_come = min(pictures.MEMORY_BYTES, (len(views.photos) - length.batch) * picture_bytes(views.res))
    return Cost(tuner.trained_layers, len(views.photos), pace, psutil.Process().memory_info().rss + max(0, to_come))
