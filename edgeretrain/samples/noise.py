"""Random fields: what makes a rendered surface look used."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Array: TypeAlias = npt.NDArray[Any]
"""A float32 array; shapes are given where they matter. (What numpy's stubs infer is float64 or unknown.)"""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Which of some points are meant."""

_LATTICE = 32
"""Side of the repeating cube of random numbers behind `noise3`."""


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with `probability`."""
    return rng.random() < probability


def smoothstep(low: float, high: float, x: Array) -> Array:
    """Return 0 below `low`, 1 above `high` and a smooth rise between them, element by element."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def wave(x: Array) -> Array:
    """Return a triangle wave of period 1: 0 at whole numbers, 1 half way between."""
    triangle: Array = 2.0 * np.abs(x - np.floor(x + 0.5))
    return triangle


def resize(field: Array, width: int, height: int, resample: Image.Resampling = Image.Resampling.BICUBIC) -> Array:
    """Resample a float32 [h, w] field to [height, width]; when shrinking, Pillow averages over what it drops."""
    return np.asarray(Image.fromarray(field).resize((width, height), resample))


def field(
    rng: np.random.Generator, px: int, cells_x: float, cells_y: float, octaves: int = 1, gain: float = 0.5
) -> Array:
    """Return smooth noise [px, px], mean about 0 and deviation about 1, with `cells_x` x `cells_y` bumps per side.

    Each further octave doubles the cells and multiplies the strength by `gain`; those finer than a pixel are left out.
    """
    total = np.zeros((px, px), np.float32)
    strength, power = 1.0, 0.0
    for _ in range(octaves):
        across, along = (max(2, min(px, round(cells))) for cells in (cells_x, cells_y))
        grid = rng.random((along, across), dtype=np.float32) * np.float32(12**0.5) - np.float32(3**0.5)
        total += np.float32(strength) * (grid if across == along == px else resize(grid, px, px))
        power += strength**2 * 0.55  # bicubic interpolation keeps a bit more than half of the variance
        strength *= gain
        cells_x, cells_y = cells_x * 2, cells_y * 2
        if min(cells_x, cells_y) > px:
            break
    normalized: Array = total / np.float32(power**0.5)
    return normalized


def noise3(rng: np.random.Generator, x: Array, y: Array, z: Array) -> Array:
    """Return value noise in 0..1 at the points (x, y, z), any equal shape; one cell of it is one unit wide."""
    table = rng.random(_LATTICE**3, dtype=np.float32)
    cells, weights = [], []
    for axis in (x, y, z):
        whole = np.floor(axis)
        part = axis - whole
        index = whole.astype(np.int32)
        cells.append((index & (_LATTICE - 1), (index + 1) & (_LATTICE - 1)))
        weights.append(part * part * (3.0 - 2.0 * part))
    value = np.zeros_like(x)
    for corner in range(8):
        i, j, k = (corner >> 2) & 1, (corner >> 1) & 1, corner & 1
        weight = np.ones_like(x)
        for bit, part in zip((i, j, k), weights, strict=True):
            weight = weight * (part if bit else 1.0 - part)
        value += weight * table[(cells[0][i] * _LATTICE + cells[1][j]) * _LATTICE + cells[2][k]]
    return value
