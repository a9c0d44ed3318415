"""Unlabelled photos, squeezed and kept in bounded memory, and the distorted views of them that training asks for.

Which photo, crop and flip view number n is follows from n and the seed alone, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeretrain.console import Console
from edgeretrain.errors import DataError
from edgeretrain.images import Pixels, decode, read_picture, resize
from edgeretrain.parallel import ordered_map

MEMORY_BYTES = 1 << 30
"""So many bytes of pixels are kept; photos beyond that are decoded again whenever a view of them is due."""
MIN_PHOTOS = 20
"""Fewer photos than this teach nothing that a held-back photo could confirm."""
HELD_BACK = 0.1
"""Share of photos that only measure, at most `MAX_HELD_BACK`."""
MAX_HELD_BACK = 500
_ASPECT = 4 / 3  # crops are between 3:4 and 4:3, as in Szegedy et al. 2014 (arXiv:1409.4842)


@dataclass(frozen=True)
class View:
    """A distorted view: photo `row`, crop `box` (left, top, right, bottom as fractions), mirrored or not."""

    row: int
    box: tuple[float, float, float, float]
    flip: bool


@dataclass(frozen=True)
class Pool:
    """Usable photos in the order of their contents' SHA-256; the first `held_back` of them are never trained on.

    `side` px is the largest side kept. `rejected` are (name, reason).
    """

    paths: tuple[Path, ...]
    held_back: int
    digest: str
    rejected: tuple[tuple[str, str], ...]
    side: int
    _kept: dict[int, Pixels] = field(repr=False)

    @property
    def training(self) -> int:
        """Photos to train on: rows `held_back` to the end."""
        return len(self.paths) - self.held_back

    def pixels(self, view: View, resolutions: Sequence[int]) -> list[Pixels]:
        """The view as uint8 [res, res, 3] for each of `resolutions`. Raises DataError if its file is gone by now."""
        kept = self._kept.get(view.row)
        if kept is None:
            path = self.paths[view.row]
            try:
                kept = _squeeze(read_picture(path), self.side)
            except DataError as error:
                raise DataError(
                    f"{path} was usable a moment ago, now it is not ({error}): is the folder changing?"
                ) from None
        image, side = Image.fromarray(kept), len(kept)
        left, top, right, bottom = view.box
        box = (side * left, side * top, side * right, side * bottom)
        found = [np.asarray(image.resize((res, res), Image.Resampling.BILINEAR, box)) for res in resolutions]
        return [np.ascontiguousarray(pixels[:, ::-1]) for pixels in found] if view.flip else found


def _squeeze(data: bytes, side: int) -> Pixels:
    """A decoded photo as a square of at most `side` px; a small photo is not blown up."""
    image = decode(data)
    return resize(image, min(side, max(image.size)))


def open_pool(folder: Path, side: int, *, jobs: int | None = None, console: Console | None = None) -> Pool:
    """Decode every file in `folder` and its sub-folders once, through the one decoder; copies of a photo count once.

    Memory: `MEMORY_BYTES` of pixels. Raises DataError for no folder and for too few usable photos.
    """
    console = console or Console(quiet=True)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected a folder of photos")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    lock, left = threading.Lock(), MEMORY_BYTES

    def one(path: Path) -> tuple[bytes, Pixels | None] | str:
        nonlocal left
        try:
            data = read_picture(path)
            pixels = _squeeze(data, side)
        except DataError as error:
            return str(error)
        with lock:
            left -= pixels.nbytes
            keep = left >= 0
        return hashlib.sha256(data).digest(), pixels if keep else None

    with console.progress("Reading photos", len(files)) as advance:
        results = ordered_map(one, files, jobs=jobs, done=lambda result: advance(1))
    rejected = []
    found: dict[bytes, tuple[Path, Pixels | None]] = {}
    for path, result in zip(files, results, strict=True):
        if isinstance(result, str):
            rejected.append((path.relative_to(folder).as_posix(), result))
        else:
            found.setdefault(result[0], (path, result[1]))
    if len(found) < MIN_PHOTOS:
        problem = f"; the first problem: {rejected[0][0]}: {rejected[0][1]}" if rejected else ""
        raise DataError(f"{folder} has {len(found)} usable photos, at least {MIN_PHOTOS} are needed{problem}")
    digests = sorted(found)
    kept = {row: pixels for row, digest in enumerate(digests) if (pixels := found[digest][1]) is not None}
    held_back = min(MAX_HELD_BACK, max(2, round(len(found) * HELD_BACK)))
    digest = hashlib.sha256(b"".join(digests)).hexdigest()
    return Pool(tuple(found[d][0] for d in digests), held_back, digest, tuple(rejected), side, kept)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def view_of(number: int, pool: Pool, seed: int, crop_area: float) -> View:
    """View `number` (0, 1, ...) of the training photos: each photo once before any again, crops of `crop_area` to 1."""
    epoch, place = divmod(number, pool.training)
    random = np.random.default_rng((seed, 1, number))
    area, aspect = random.uniform(crop_area, 1), np.exp(random.uniform(-log(_ASPECT), log(_ASPECT)))
    width, height = min(1.0, (area * aspect) ** 0.5), min(1.0, (area / aspect) ** 0.5)
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    row = pool.held_back + int(_order(pool.training, seed, epoch)[place])
    return View(row, (left, top, left + width, top + height), bool(random.random() < 0.5))


@lru_cache(2)
def _order(photos: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(photos)
