"""Unlabelled photos, squeezed and kept in bounded memory, and the distorted views of them that training asks for.

Which photo, crop and flip view number n is follows from n and the seed alone, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

import hashlib
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
from edgeretrain.images import Pixels, read_picture
from edgeretrain.parallel import ordered_map
from edgeretrain.pictures import Pictures

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

    `rejected` are (name, reason).
    """

    paths: tuple[Path, ...]
    held_back: int
    digest: str
    rejected: tuple[tuple[str, str], ...]
    pictures: Pictures = field(repr=False)

    @property
    def training(self) -> int:
        """Photos to train on: rows `held_back` to the end."""
        return len(self.paths) - self.held_back

    def pixels(self, view: View, resolutions: Sequence[int]) -> list[Pixels]:
        """The view as uint8 [res, res, 3] for each of `resolutions`. Raises DataError if its file is gone by now."""
        kept = self.pictures.get(self.paths[view.row])
        image, side = Image.fromarray(kept), len(kept)
        left, top, right, bottom = view.box
        box = (side * left, side * top, side * right, side * bottom)
        found = [np.asarray(image.resize((res, res), Image.Resampling.BILINEAR, box)) for res in resolutions]
        return [np.ascontiguousarray(pixels[:, ::-1]) for pixels in found] if view.flip else found


def open_pool(folder: Path, side: int, *, jobs: int | None = None, console: Console | None = None) -> Pool:
    """Decode every file in `folder` and its sub-folders once, through the one decoder; copies of a photo count once.

    Memory: `pictures.MEMORY_BYTES` of pixels. Raises DataError for no folder and for too few usable photos.
    """
    console = console or Console(quiet=True)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected a folder of photos")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    pictures = Pictures(side)

    def one(path: Path) -> bytes | str:
        try:
            data = read_picture(path)
            pictures.add(path, data)
        except DataError as error:
            return str(error)
        return hashlib.sha256(data).digest()

    with console.progress("Reading photos", len(files)) as advance:
        results = ordered_map(one, files, jobs=jobs, done=lambda result: advance(1))
    rejected = []
    found: dict[bytes, Path] = {}
    for path, result in zip(files, results, strict=True):
        if isinstance(result, str):
            rejected.append((path.relative_to(folder).as_posix(), result))
        else:
            found.setdefault(result, path)
    if len(found) < MIN_PHOTOS:
        problem = f"; the first problem: {rejected[0][0]}: {rejected[0][1]}" if rejected else ""
        raise DataError(f"{folder} has {len(found)} usable photos, at least {MIN_PHOTOS} are needed{problem}")
    digests = sorted(found)
    held_back = min(MAX_HELD_BACK, max(2, round(len(found) * HELD_BACK)))
    digest = hashlib.sha256(b"".join(digests)).hexdigest()
    return Pool(tuple(found[d] for d in digests), held_back, digest, tuple(rejected), pictures)


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
