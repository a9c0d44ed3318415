"""Step sizes of training that goes over to fake quantization on the way."""

from __future__ import annotations

from math import cos, pi

WARM_UP = 0.04
"""Share of a phase in which the step size rises from nearly 0."""


def step_size(step: int, float_steps: int, steps: int, largest: float) -> float:
    """Step size of step 0, 1, ...: a cosine to 0 with a short warm-up (Loshchilov & Hutter 2017, arXiv:1608.03983).

    Fake quantization, from `float_steps` on, has a cosine of its own that begins at a tenth: the weights are near their
    place.
    """
    begin, end = 0, float_steps
    if step >= float_steps:
        begin, end = float_steps, steps
        largest *= 0.1 if float_steps else 1.0
    warm_up = min(1.0, (step - begin + 1) / (1 + WARM_UP * (end - begin)))
    return largest * warm_up * 0.5 * (1 + cos(pi * (step - begin) / (end - begin)))
