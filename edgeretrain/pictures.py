"""Decoded photos kept in bounded memory, for training that looks at each of them many times."""

from __future__ import annotations

import threading
from pathlib import Path

from edgeretrain.errors import DataError
from edgeretrain.images import Pixels, decode, read_picture, resize

MEMORY_BYTES = 1 << 30
"""So many bytes of pixels are kept; photos beyond that are decoded again whenever they are due."""


class Pictures:
    """Photos by path, squeezed to squares of at most `side` px; a small photo is not blown up. Safe for threads."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.kept: dict[Path, Pixels] = {}
        self._left = MEMORY_BYTES
        self._lock = threading.Lock()

    def get(self, path: Path) -> Pixels:
        """The photo at `path`, uint8 [side, side, 3]. Raises DataError if a file that was usable is not any more."""
        kept = self.kept.get(path)
        if kept is not None:
            return kept
        try:
            return self.add(path, read_picture(path))
        except DataError as error:
            raise DataError(
                f"{path} was usable a moment ago, now it is not ({error}): is the folder changing?"
            ) from None

    def add(self, path: Path, data: bytes) -> Pixels:
        """Decode `data`, the file at `path`, and keep the picture if there is room. Raises DataError with a short reason."""
        image = decode(data)
        pixels = resize(image, min(self.side, max(image.size)))
        with self._lock:
            if path not in self.kept and pixels.nbytes <= self._left:
                self._left -= pixels.nbytes
                self.kept[path] = pixels
        return pixels
