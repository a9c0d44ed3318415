"""`resize` is the algorithm that docs/contract.md describes, whatever the version of Pillow; the demo app has the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgeretrain.images import resize


def across(pixels: NDArray[np.int64], res: int) -> NDArray[np.int64]:
    """Squeeze the columns of [height, width, 3] to `res` by the triangle filter in 22-bit fixed point."""
    width = pixels.shape[1]
    scale = width / res
    stretch = max(scale, 1.0)
    out = np.empty((pixels.shape[0], res, 3), np.int64)
    for i in range(res):
        center = (i + 0.5) * scale
        first, last = max(int(center - stretch + 0.5), 0), min(int(center + stretch + 0.5), width)
        weights = np.maximum(0.0, 1 - np.abs((np.arange(first, last) - center + 0.5) * (1 / stretch)))
        codes = (weights / sum(weights) * (1 << 22) + 0.5).astype(np.int64)
        out[:, i] = np.clip((np.einsum("hwc,w->hc", pixels[:, first:last], codes) + (1 << 21)) >> 22, 0, 255)
    return out


@pytest.mark.parametrize(("width", "height"), [(31, 640), (640, 31), (200, 150), (64, 300), (20, 20)])
def test_resize_goes_across_and_then_down(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = across(across(pixels.astype(np.int64), 64).transpose(1, 0, 2), 64).transpose(1, 0, 2)
    np.testing.assert_array_equal(resize(Image.fromarray(pixels), 64), expected)
