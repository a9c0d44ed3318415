"""What a solid is to the renderer: a signed distance in centimetres, and how it may lie on the bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgeretrain.samples.noise import Array, Mask

Distance: TypeAlias = Callable[[Array, Array, Array], Array]
"""Signed distance (negative inside, never more than the true one) of points x, y, z in a solid's own frame, cm."""


@dataclass(frozen=True)
class Solid:
    """One thing that can be laid on the bench; its axis is z of its own frame.

    `rims` are the circles (radius, z) whose hull it rests on; `lying` is the elevation of the axis in radians when it
    has fallen on its side; `standing` the probability that the axis is vertical, and `upright` that it then points up;
    `sides` the number of flats (0: round). `second` marks points made of the second material; `seat` is the z that is
    level with the bench when the solid is planted in a hole. `stride` is the share of a distance that the renderer may
    step: below 1 where it is a guess.
    """

    distance: Distance
    radius: float
    rims: tuple[tuple[float, float], ...]
    lying: float = 0.0
    standing: float = 1.0
    upright: float = 0.5
    sides: int = 0
    second: Callable[[Array, Array, Array], Mask] | None = None
    seat: float | None = None
    stride: float = 0.9


def length(x: Array, y: Array) -> Array:
    """Return the length of the vectors (x, y); several times faster than np.hypot."""
    norm: Array = np.sqrt(x * x + y * y)
    return norm


def chamfer(a: Array, b: Array, width: float) -> Array:
    """Intersect two distances and cut the edge where they meet at 45 degrees, `width` deep; edges catch the light."""
    return np.maximum(np.maximum(a, b), (a + b + width) * 0.7071)


def hexagon(x: Array, y: Array, apothem: float) -> Array:
    """Distance to a hexagon with a flat at x = `apothem`."""
    slope = 0.8660254 * np.abs(y) + 0.5 * np.abs(x)
    return np.maximum(np.abs(x), slope) - apothem


def square(x: Array, y: Array, half: float) -> Array:
    """Distance to a square with half side `half`."""
    return np.maximum(np.abs(x), np.abs(y)) - half


def box(x: Array, y: Array, z: Array, half: tuple[float, float, float], rounding: float = 0.0) -> Array:
    """Distance to a box with half sides `half` and rounded edges."""
    qx, qy, qz = np.abs(x) - (half[0] - rounding), np.abs(y) - (half[1] - rounding), np.abs(z) - (half[2] - rounding)
    outside = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2 + np.maximum(qz, 0) ** 2)
    signed: Array = outside + np.minimum(np.maximum(np.maximum(qx, qy), qz), 0) - rounding
    return signed


def tilt_between(low: tuple[float, float], high: tuple[float, float]) -> float:
    """Return the axis elevation (radians) at which two rims, each (radius, z), both touch the bench."""
    return float(np.arctan2(high[0] - low[0], high[1] - low[1]))
