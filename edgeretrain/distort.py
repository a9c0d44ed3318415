"""Distorted copies of training photos: the ancestor retrain.py's four distortions, in its order.

It resizes the whole picture (squeezed to a square, as everywhere here) to a margin of `1 + random_crop / 100` times a
uniform scale in `[1, 1 + random_scale / 100]`, crops the input size out of it at random, mirrors it or not, and multiplies
by a uniform brightness in `1 +- random_brightness / 100`. Only training photos are ever distorted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeretrain.images import Pixels, resize_box

if TYPE_CHECKING:
    from edgeretrain.spec import TrainSpec

DISTORTION = "retrain-distortions-1"
"""Name and version of what happens here; part of the cache key of distorted copies."""


@dataclass(frozen=True)
class Distortions:
    """What may be drawn, in percent where it is a number; false when all is off. `TrainSpec` checks the ranges."""

    flip_left_right: bool = False
    random_crop: float = 0.0
    random_scale: float = 0.0
    random_brightness: float = 0.0

    def __bool__(self) -> bool:
        return self.flip_left_right or any((self.random_crop, self.random_scale, self.random_brightness))

    def __str__(self) -> str:
        """`flip, crop 10 %, scale 10 %`; `none` when all is off."""
        percents = {"crop": self.random_crop, "scale": self.random_scale, "brightness": self.random_brightness}
        parts = ["flip"] if self.flip_left_right else []
        return ", ".join(parts + [f"{name} {value:g} %" for name, value in percents.items() if value]) or "none"

    @classmethod
    def of(cls, spec: TrainSpec) -> Distortions:
        """What the options of `spec` ask for."""
        return cls(spec.flip_left_right, spec.random_crop, spec.random_scale, spec.random_brightness)


def distort(image: Image.Image, res: int, distortions: Distortions, random: np.random.Generator) -> Pixels:
    """Draw a distorted copy of an RGB image, uint8 [res, res, 3]; with all off, what `images.resize` makes of it.

    Always takes five numbers from `random`, so that turning one distortion on leaves what the others draw as it was. The
    resized picture is never made: its crop is one resize of the box that ends up in it.
    """
    scale, left, top, mirror, brightness = random.random(5)
    margin = (1 + distortions.random_crop / 100) * (1 + distortions.random_scale / 100 * scale)
    side = int(res * margin)  # px of the resized picture, of which res are kept; rounded down by the ancestor too
    x, y = int(left * (side - res + 1)), int(top * (side - res + 1))
    across, down = image.width / side, image.height / side
    pixels = resize_box(image, res, (x * across, y * down, (x + res) * across, (y + res) * down))
    if distortions.flip_left_right and mirror < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if distortions.random_brightness:
        factor = 1 + distortions.random_brightness / 100 * (2 * brightness - 1)
        pixels = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)[pixels]
    return pixels


def copy_random(seed: int, digest: bytes, copy: int) -> np.random.Generator:
    """The generator of copy number `copy` (from 1) of the photo with SHA-256 `digest`: other photos do not change it."""
    name = hashlib.sha256(f"{DISTORTION}/{seed}/{digest.hex()}/{copy}".encode()).digest()
    return np.random.default_rng(int.from_bytes(name, "big"))
