"""The phone: focus, shake, exposure, white balance, noise, tone and JPEG."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgeretrain.samples.light import Surroundings
from edgeretrain.samples.noise import Array, chance, resize


def _shrink(image: Array, size: int) -> Array:
    """Resample a float32 [h, w, channels] picture to size x size."""
    return np.stack(
        [
            resize(np.ascontiguousarray(plane), size, size, Image.Resampling.BILINEAR)
            for plane in np.moveaxis(image, -1, 0)
        ],
        -1,
    )


def _blur(image: Array, sigma: float) -> Array:
    """Blur a float32 [h, w, 3] picture by a Gaussian of `sigma` pixels, edges repeated."""
    reach = max(1, int(np.ceil(2.5 * sigma)))
    taps = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2).astype(np.float32)
    taps /= 2 * taps.sum() - taps[0]
    height, width = image.shape[:2]
    for rows, columns in ((1, 0), (0, 1)):
        padded = np.pad(image, ((reach * rows,) * 2, (reach * columns,) * 2, (0, 0)), mode="edge")
        image = taps[0] * padded[reach * rows :, reach * columns :][:height, :width]
        for at in range(1, reach + 1):
            before = padded[(reach - at) * rows :, (reach - at) * columns :][:height, :width]
            after = padded[(reach + at) * rows :, (reach + at) * columns :][:height, :width]
            image += taps[at] * (before + after)
    return image


def _glare(image: Array, share: float) -> Array:
    """Spread a `share` of the light far and wide, as an unclean lens does."""
    size = image.shape[0]
    wide = _shrink(_blur(_shrink(image, max(4, size // 4)), 1.3), size)
    veiled: Array = image * np.float32(1 - share) + wide * np.float32(share)
    return veiled


def _focus(rng: np.random.Generator, image: Array, depth: Array, focus: float) -> Array:
    """Blur what is nearer or farther than the focus, and everything a little when the focus is missed."""
    size = image.shape[0]
    missed = rng.uniform(0.08, 0.3) * (1 if chance(rng, 0.5) else -1) if chance(rng, 0.08) else rng.normal(0, 0.015)
    strength = size / 256 * rng.uniform(2, 14)
    circle = np.abs(1 - focus * (1 + missed) / depth) * np.float32(strength)
    levels = (0.0, 0.9, 2.0, 3.6)
    result = image
    for low, high in pairwise(levels):
        share = np.clip((circle - low) / (high - low), 0, 1)[..., None]
        if share.max() < 0.05:
            break
        result = result + (_blur(image, high * size / 256) - result) * share
    return result


def _shake(rng: np.random.Generator, image: Array) -> Array:
    """Smear along a short straight path."""
    reach = rng.uniform(1.5, 6.0) * image.shape[0] / 256
    angle = rng.uniform(0, np.pi)
    steps = max(2, int(np.ceil(reach)))
    pad = steps
    padded = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], mode="edge")
    total = np.zeros_like(image)
    for at in np.linspace(-0.5, 0.5, steps + 1):
        dy, dx = round(at * reach * np.sin(angle)), round(at * reach * np.cos(angle))
        total += padded[pad + dy : pad + dy + image.shape[0], pad + dx : pad + dx + image.shape[1]]
    smeared: Array = total / np.float32(steps + 1)
    return smeared


def _expose(rng: np.random.Generator, image: Array, around: Surroundings, dark: bool) -> Array:
    """Scale to a phone's automatic exposure and white balance, both of which miss a little; darken the corners."""
    key = np.asarray(around.key, np.float32)
    gains = (key.mean() / np.maximum(key, 0.05)) ** np.float32(rng.uniform(0.35, 1.0))
    gains *= np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
    aim = rng.uniform(0.06, 0.12) if dark else 0.25 * np.exp(rng.normal(0, 0.28))
    image = image * gains
    image *= np.float32(aim / (0.7 * image.mean() + 0.3 * np.percentile(image[::4, ::4], 75) + 1e-4))
    line = np.linspace(-1, 1, image.shape[0], dtype=np.float32) ** 2
    vignetted: Array = image * (1 - np.float32(rng.uniform(0.02, 0.22)) * (line[:, None] + line))[..., None]
    return vignetted


def _grain(rng: np.random.Generator, image: Array, dark: bool) -> Array:
    """Add photon and read noise, and the coloured blotches that a phone's denoiser leaves."""
    size = image.shape[0]
    shot, read = (rng.uniform(0.02, 0.04), rng.uniform(0.004, 0.01)) if dark else (rng.uniform(0.004, 0.02), 0.002)
    white = rng.standard_normal(image.shape, dtype=np.float32)
    luma = rng.standard_normal((size, size, 1), dtype=np.float32)
    coarse = max(2, size // 3)
    chroma = _shrink(rng.standard_normal((coarse, coarse, 3), dtype=np.float32), size)
    noise = 0.45 * white + 0.75 * luma + 0.7 * chroma
    grainy: Array = image + noise * np.sqrt(np.maximum(image, 0) * np.float32(shot**2 * 2) + np.float32(read**2))
    return grainy


def _tone(rng: np.random.Generator, image: Array) -> Array:
    """Linear light to sRGB 0..1 with a shoulder, contrast, saturation, and the sharpening phones are fond of."""
    image = np.maximum(image, 0)
    image = np.where(image > 0.7, 1 - 0.3 * np.exp(-(image - 0.7) / 0.3), image)
    code = np.where(image < 0.0031308, image * 12.92, 1.055 * np.maximum(image, 1e-6) ** (1 / 2.4) - 0.055)
    code += np.float32(rng.uniform(0.0, 0.4)) * code * (1 - code) * (2 * code - 1) * 2
    grey = code.mean(-1, keepdims=True)
    code = grey + (code - grey) * np.float32(rng.uniform(0.75, 1.2))
    sharpened: Array = code + (code - _blur(code, 0.9 * max(1.0, image.shape[0] / 256))) * np.float32(
        rng.uniform(0.1, 0.9)
    )
    return sharpened


def develop(
    rng: np.random.Generator, image: Array, depth: Array, focus: float, around: Surroundings, size: int
) -> npt.NDArray[np.uint8]:
    """Take the photo: float32 [h, w, 3] linear light and [h, w] depth (cm) -> uint8 [size, size, 3] sRGB.

    `focus` is the distance (cm) the lens should be set to.
    """
    image = _shrink(np.minimum(image, 6.0), size)
    depth = _shrink(depth[..., None], size)[..., 0]
    image = _focus(rng, image, depth, focus)
    image = _glare(image, rng.uniform(0.02, 0.1))
    if chance(rng, 0.08):
        image = _shake(rng, image)
    dark = chance(rng, 0.07)
    image = _tone(rng, _grain(rng, _expose(rng, image, around, dark), dark))
    photo = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    if chance(rng, 0.08):  # digital zoom
        small = round(size * rng.uniform(0.5, 0.75))
        photo = photo.resize((small, small), Image.Resampling.BILINEAR).resize((size, size), Image.Resampling.BICUBIC)
    if chance(rng, 0.35):  # sent through a messenger, which compresses again
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=int(rng.integers(45, 85)))
        photo = Image.open(buffer)
    return np.asarray(photo)
