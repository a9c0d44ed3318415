"""The course of a fine-tuning: when each phase ends, and which evaluation was the best."""

from __future__ import annotations

import math

from edgeretrain.finetune.views import Length


class Course:
    """Float training to `float_steps`, then fake quantization to `steps`: as `length` plans it, or sooner.

    A phase ends when `patience` evaluations in a row brought no smaller validation loss (0: never); the next one keeps its
    length. All follows from the losses, so a resumed run that shows them again is where it was.
    """

    def __init__(self, length: Length, patience: int) -> None:
        self.float_steps, self.steps = length.float_steps, length.steps
        self.best_step = 0
        """Of the best evaluation with fake quantization; 0: there is none yet."""
        self._least = {False: math.inf, True: math.inf}
        self._since = {False: 0, True: 0}
        self._patience = patience

    def quantized(self, step: int) -> bool:
        """Whether the network after `step` steps of training has fake quantization."""
        return step > self.float_steps

    def see(self, step: int, loss: float, quantized: bool) -> bool:
        """Note the validation `loss` after `step`; return whether it is the least of this kind of network."""
        better = loss < self._least[quantized]
        self._since[quantized] = 0 if better else self._since[quantized] + 1
        if better:
            self._least[quantized] = loss
            self.best_step = step if quantized else self.best_step
        elif self._patience and self._since[quantized] >= self._patience:
            if quantized:
                self.steps = step
            else:
                self.steps -= self.float_steps - step
                self.float_steps = step
        return better
