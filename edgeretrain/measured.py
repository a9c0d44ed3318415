"""What training shows to those who look on: TensorBoard, intermediate exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import Backbone
from edgeretrain.write import Head

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """One evaluation while training, of the layer that validation prefers at this step.

    The losses are mean cross entropies, `train_*` of the last batch. What is a function costs time and shows the network as
    it is now: call it while it is observed, not later.
    """

    phase: str
    """`head` or `fine-tune`."""
    step: int
    """From 1, within the phase."""
    train_loss: float
    train_top1: float
    validation_loss: float
    validation_top1: float
    layer: Callable[[], tuple[Floats, Floats]]
    """Unquantized weights [features, classes] and bias [classes] for embeddings as they are."""
    logits: Callable[[], tuple[Floats, Floats]]
    """[N, classes] of the last batch, and of the validation photos."""
    head: Callable[[], Head]
    """The integer head that would ship now."""
    backbone: Callable[[], Backbone] | None = None
    """The backbone that would ship now; None: the one that training began with."""


Observer = Callable[[Measured], None]
