"""Golden vectors: pictures that anybody can make again from a number, and the exact bytes that a model answers.

The picture `blobs-1` of a seed, uint8 [res, res, 3], in integers only, so that any language makes the same:

    mix(x)   = murmur3's 32-bit finalizer: x ^= x >> 16; x *= 0x85ebca6b; x ^= x >> 13; x *= 0xc2b2ae35; x ^= x >> 16
    h(n)     = mix((seed * 0x9e3779b9 + n) mod 2^32)
    corner   = h((row * 6 + column) * 3 + channel) >> 24, a 6 x 6 grid of colours
    position = i * 5 * 256 // (res - 1) for pixel i of a side; cell = min(position >> 8, 4), part = position - 256 * cell
    smooth   = bilinear of the 4 corners with weights part and 256 - part, >> 16
    pixel    = clamp(smooth + (h(0x10000 + (y * res + x) * 3 + channel) >> 26) - 32, 0, 255)
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.images import Pixels
from edgeretrain.runtime import KERNELS, load_interpreter

GENERATOR = "blobs-1"
COUNT = 3
_GRID = 6
_CANDIDATES = 24


@dataclass(frozen=True)
class Vector:
    """A golden vector: the seed of its picture and the output bytes under each kind of kernels."""

    seed: int
    outputs: dict[str, bytes]


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x85EBCA6B)
    x = x ^ (x >> np.uint32(13))
    x = x * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def golden_picture(seed: int, res: int) -> Pixels:
    """The picture `blobs-1` of `seed`, uint8 [res, res, 3]."""
    start = np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    grid = (_mix(start + np.arange(_GRID * _GRID * 3, dtype=np.uint32)) >> np.uint32(24)).astype(np.int64)
    grid = grid.reshape(_GRID, _GRID, 3)
    position = np.arange(res) * (_GRID - 1) * 256 // (res - 1)
    cell = np.minimum(position >> 8, _GRID - 2)
    part = (position - 256 * cell)[:, None]
    across = grid[:, cell] * (256 - part) + grid[:, cell + 1] * part
    smooth = (across[cell] * (256 - part[..., None]) + across[cell + 1] * part[..., None]) >> 16
    index = np.uint32(0x10000) + np.arange(res * res * 3, dtype=np.uint32)
    noise = (_mix(start + index) >> np.uint32(26)).astype(np.int64).reshape(res, res, 3) - 32
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def as_input(pixels: Pixels, dtype: Any, mean: float = 128.0, std: float = 128.0) -> NDArray[Any]:
    """Pictures uint8 [..., res, res, 3] as an input tensor of `dtype`.

    uint8: the pixels. int8: pixel - 128. float32: (pixel - mean) / std.
    """
    kind = np.dtype(dtype)
    if kind == np.uint8:
        return pixels
    if kind == np.int8:
        return (pixels ^ np.uint8(0x80)).view(np.int8)
    return (pixels.astype(np.float32) - np.float32(mean)) / np.float32(std)


def run(interpreter: Any, pixels: Pixels, mean: float = 128.0, std: float = 128.0) -> NDArray[Any]:
    """The raw output [classes] for one picture uint8 [res, res, 3]."""
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], as_input(pixels, detail["dtype"], mean, std)[None])
    interpreter.invoke()
    output: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output.reshape(-1)


def make_vectors(model: bytes, res: int) -> list[Vector]:
    """Choose `COUNT` pictures of different answers that are least sure (they tell most), and record all kernels' bytes."""
    interpreter = load_interpreter(model)
    answers = [run(interpreter, golden_picture(seed, res)).astype(np.float64) for seed in range(_CANDIDATES)]
    order = sorted(range(_CANDIDATES), key=lambda seed: (float(answers[seed].max()), seed))
    chosen: list[int] = []
    for distinct in (True, False):
        for seed in order:
            fresh = int(answers[seed].argmax()) not in {int(answers[other].argmax()) for other in chosen}
            if len(chosen) < COUNT and seed not in chosen and (fresh or not distinct):
                chosen.append(seed)
    outputs = {kernels: replay(model, res, chosen, kernels) for kernels in KERNELS}
    return [Vector(seed, {k: outputs[k][i] for k in KERNELS}) for i, seed in enumerate(chosen)]


def replay(model: bytes, res: int, seeds: Sequence[int], kernels: str) -> list[bytes]:
    """The output bytes of the pictures `seeds`; in parallel, as the reference kernels are slow."""

    def one(seed: int) -> bytes:
        return run(load_interpreter(model, kernels=kernels), golden_picture(seed, res)).tobytes()

    with ThreadPoolExecutor(max(len(seeds), 1)) as pool:
        return list(pool.map(one, seeds))
