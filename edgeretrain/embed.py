"""Embeddings: what the int8 backbone makes of each photo, computed on all cores and kept by content.

The extractor is the backbone without head as a .tflite, so the head is trained on exactly what the phone will compute.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import Backbone
from edgeretrain.calibrated import Calibrated
from edgeretrain.errors import DataError, QualityError
from edgeretrain.images import PREPROCESSING, decode, read_picture, resize
from edgeretrain.parallel import ordered_map
from edgeretrain.runtime import load_interpreter
from edgeretrain.storage import sha256
from edgeretrain.write import write_model

SHARD = 16
"""Photos per unit of work; also what a kill -9 can lose per worker."""

_local = threading.local()


@dataclass(frozen=True)
class Extractor:
    """A backbone ready to embed: the .tflite bytes, its input size and embedding length, and its key in the cache.

    `scale` and `zero_point` are those of the embedding's uint8-like codes (int8 codes plus 128).
    """

    model: bytes
    res: int
    features: int
    scale: float
    key: str
    zero_point: int = 0


CHECK = Extractor(b"", 0, 0, 0.0, sha256(f"decodes {PREPROCESSING}".encode())[:32])
"""No network at all: it only remembers that a photo can be decoded."""


@dataclass(frozen=True)
class Embedded:
    """Results of one photo: SHA-256 of its bytes, uint8-like codes per extractor, or the reason why there are none.

    `codes[i]` is bytes of length `features` of extractor i: int8 codes plus 128, so the embedding is
    `(code - zero_point) * scale`.
    """

    digest: bytes | None
    codes: tuple[bytes, ...] | None
    reason: str | None


def make_extractor(backbone: Backbone | Calibrated) -> Extractor:
    """Write the int8 extractor of `backbone`."""
    model = write_model(backbone, None)
    key = sha256(PREPROCESSING.encode() + b"\0" + model)[:32]
    if isinstance(backbone, Calibrated):
        scale, zero_point = backbone.ends.output_scale, backbone.ends.output_zero_point + 128
    else:
        scale, zero_point = float(backbone.layers[-1].activation_scale), 0
    return Extractor(model, backbone.spec.res, backbone.spec.features, scale, key, zero_point)


def embed_photos(
    paths: Sequence[Path],
    extractors: Sequence[Extractor],
    *,
    cache: Path | None,
    jobs: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Embedded]:
    """Decode and embed `paths` in parallel; results in their order. `cache` is the SQLite file, None for no cache.

    Each photo is decoded at most once for all extractors together, and not at all when the cache has its embeddings.
    Memory: the embeddings (1 byte a feature) plus a few photos per worker.
    """
    shards = [paths[i : i + SHARD] for i in range(0, len(paths), SHARD)]
    results = ordered_map(
        lambda shard: embed_shard(shard, extractors, cache), shards, jobs=jobs, done=lambda part: advance(len(part))
    )
    return [item for part in results for item in part]


def embed_shard(paths: Sequence[Path], extractors: Sequence[Extractor], cache: Path | None) -> list[Embedded]:
    """Embed a few photos: the unit of work. With no extractors it checks that each photo decodes."""
    contents = [_read(path) for path in paths]
    digests = [hashlib.sha256(data).digest() if isinstance(data, bytes) else None for data in contents]
    store = store_of(cache)
    known = [store.get(extractor, [d for d in digests if d]) for extractor in extractors]
    results = []
    fresh: list[dict[bytes, bytes]] = [{} for _ in extractors]
    for data, digest in zip(contents, digests, strict=True):
        if isinstance(data, str) or digest is None:
            results.append(Embedded(None, None, str(data)))
            continue
        found = [part.get(digest) for part in known]
        if not found or any(codes is None for codes in found):
            try:
                found = _embed(data, extractors, found)
            except DataError as error:
                results.append(Embedded(digest, None, str(error)))
                continue
            for codes, new in zip(found, fresh, strict=True):
                assert codes is not None
                new[digest] = codes
        results.append(Embedded(digest, tuple(codes for codes in found if codes is not None), None))
    for extractor, new in zip(extractors, fresh, strict=True):
        store.put(extractor, new)
    return results


def _read(path: Path) -> bytes | str:
    try:
        return read_picture(path)
    except DataError as error:
        return str(error)


def _embed(data: bytes, extractors: Sequence[Extractor], found: Sequence[bytes | None]) -> list[bytes | None]:
    """Fill the gaps of `found`; the photo is decoded once and resized once per input size."""
    image = decode(data)
    pixels: dict[int, NDArray[np.uint8]] = {}
    result = list(found)
    for i, extractor in enumerate(extractors):
        if result[i] is None and extractor is CHECK:
            result[i] = b""
        elif result[i] is None:
            if extractor.res not in pixels:
                pixels[extractor.res] = resize(image, extractor.res)
            result[i] = run_extractor(extractor, pixels[extractor.res])
    return result


def run_extractor(extractor: Extractor, pixels: NDArray[np.uint8]) -> bytes:
    """The codes of one picture, uint8 [res, res, 3], by this thread's own interpreter. Raises QualityError."""
    interpreters = _local.__dict__.setdefault("interpreters", {})
    if extractor.key not in interpreters:
        interpreters[extractor.key] = load_interpreter(extractor.model)
    interpreter = interpreters[extractor.key]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    try:
        interpreter.invoke()
    except RuntimeError as error:  # kernels of networks from elsewhere may refuse some numbers
        raise QualityError(f"the quantized network does not run ({error}); nothing was exported") from None
    codes: NDArray[np.int8] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return (codes.reshape(-1).view(np.uint8) ^ 0x80).tobytes()


def as_matrix(embedded: Sequence[Embedded], rows: Sequence[int], extractor: Extractor, index: int = 0) -> NDArray[Any]:
    """The embeddings of `rows` as float32 [len(rows), features], as the head's integers see them."""
    matrix = np.empty((len(rows), extractor.features), np.uint8)
    for i, row in enumerate(rows):
        codes = embedded[row].codes
        assert codes is not None
        matrix[i] = np.frombuffer(codes[index], np.uint8)
    return real_embeddings(matrix, extractor)


def real_embeddings(codes: NDArray[np.uint8], extractor: Extractor) -> NDArray[np.float32]:
    """Uint8-like codes of `extractor`, of any shape, as real numbers."""
    result: NDArray[np.float32] = (codes.astype(np.float32) - extractor.zero_point) * np.float32(extractor.scale)
    return result


class Store:
    """The embeddings on disk: one SQLite file, safe for threads, several runs at once and kill -9.

    A cache that cannot be read or written is done without: it only saves time.
    """

    def __init__(self, path: Path | None) -> None:
        self.connection: sqlite3.Connection | None = None
        if path is None:
            return
        for attempt in range(2):
            try:
                self.connection = self._open(path)
                return
            except (sqlite3.Error, OSError) as error:
                broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
                if broken and attempt == 0:  # not a database: a damaged cache is worth nothing
                    with contextlib.suppress(OSError):
                        path.unlink()

    def __del__(self) -> None:
        if getattr(self, "connection", None) is not None:
            self.connection.close()  # type: ignore[union-attr]

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS embedding (extractor TEXT, photo BLOB, codes BLOB, "
                "PRIMARY KEY (extractor, photo)) WITHOUT ROWID"
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def get(self, extractor: Extractor, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        if self.connection is None or not digests:
            return {}
        marks = ",".join("?" * len(digests))
        query = f"SELECT photo, codes FROM embedding WHERE extractor = ? AND photo IN ({marks})"
        try:
            rows = self.connection.execute(query, (extractor.key, *digests)).fetchall()
        except sqlite3.Error:
            return {}
        return {bytes(photo): bytes(codes) for photo, codes in rows if len(codes) == extractor.features}

    def put(self, extractor: Extractor, codes: dict[bytes, bytes]) -> None:
        if self.connection is None or not codes:
            return
        rows = [(extractor.key, digest, value) for digest, value in codes.items()]
        with contextlib.suppress(sqlite3.Error), self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO embedding VALUES (?, ?, ?)", rows)


def store_of(path: Path | None) -> Store:
    """This thread's connection to the cache at `path`."""
    stores: dict[Path | None, Store] = _local.__dict__.setdefault("stores", {})
    if path not in stores:
        stores[path] = Store(path)
    return stores[path]


def cache_file(folder: Path) -> Path:
    """Where the embeddings are kept in the cache directory `folder`."""
    return folder / "embeddings.sqlite"
