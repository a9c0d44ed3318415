"""Distorted copies of the training photos as rows for the head: drawn once, embedded on all cores, kept in the cache.

The ancestor retrain.py distorted anew at every step and ran the whole network for it. Here each photo gets a fixed number
of copies, so a second run takes them from the cache, and training itself is as fast as without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeretrain.console import Console
from edgeretrain.dataset import Photo
from edgeretrain.distort import DISTORTION, Distortions, copy_random, distort
from edgeretrain.embed import SHARD, Extractor, cache_file, real_embeddings, run_extractor, store_of
from edgeretrain.errors import DataError
from edgeretrain.images import decode, read_picture
from edgeretrain.parallel import ordered_map
from edgeretrain.spec import TrainSpec
from edgeretrain.storage import cache_dir

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


def with_copies(
    train: tuple[Floats, Labels],
    photos: Sequence[Photo],
    extractor: Extractor,
    spec: TrainSpec,
    *,
    embeddings: Path | None = None,
    jobs: int | None = None,
    console: Console | None = None,
) -> tuple[Floats, Labels]:
    """The rows of `train`, which are those of `photos`, and behind them those of their distorted copies.

    As it is where `spec` asks for no distortion. Time where nothing is cached: `spec.copies` inferences and resizes a photo
    and one decode. Memory: 4 bytes a feature and row, 10 kB a photo with 4 copies and 512 features; `train_head` makes as much
    again. Raises DataError.
    """
    distortions, console = Distortions.of(spec), console or Console(quiet=True)
    if not distortions:
        return train
    console.say(f"Distortions of training photos: {distortions}; {spec.copies} copies beside each of {len(photos)}")
    with console.progress("Embedding distorted copies of photos", len(photos)) as advance:
        codes = embed_copies(
            photos,
            extractor,
            distortions,
            spec.copies,
            spec.seed,
            cache=cache_file(embeddings or cache_dir()),
            jobs=jobs,
            advance=advance,
        )
    rows = real_embeddings(codes.reshape(-1, extractor.features), extractor)
    return np.concatenate([train[0], rows]), np.concatenate([train[1], np.repeat(train[1], spec.copies)])


def embed_copies(
    photos: Sequence[Photo],
    extractor: Extractor,
    distortions: Distortions,
    copies: int,
    seed: int,
    *,
    cache: Path | None,
    jobs: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> NDArray[np.uint8]:
    """Codes uint8 [len(photos), copies, features] of copies 1 to `copies` of each photo; times the scale: embeddings.

    A photo is decoded once for all that the cache at `cache` (None: no cache) does not have, and not even read where it has
    them all. Raises DataError for a photo that is not any more what it was.
    """
    shards = [photos[i : i + SHARD] for i in range(0, len(photos), SHARD)]
    parts = ordered_map(
        lambda shard: _embed_shard(shard, extractor, distortions, range(1, copies + 1), seed, cache),
        shards,
        jobs=jobs,
        done=lambda part: advance(len(part)),
    )
    return np.concatenate([np.empty((0, copies, extractor.features), np.uint8), *parts])


def copy_key(distortions: Distortions, seed: int, digest: bytes, copy: int) -> bytes:
    """What stands for a copy in the cache where a photo's own SHA-256 would: all that its pixels follow from."""
    return hashlib.sha256(f"{DISTORTION}/{distortions!r}/{seed}/{digest.hex()}/{copy}".encode()).digest()


def _embed_shard(
    photos: Sequence[Photo],
    extractor: Extractor,
    distortions: Distortions,
    numbers: Sequence[int],
    seed: int,
    cache: Path | None,
) -> NDArray[np.uint8]:
    keys = [[copy_key(distortions, seed, photo.digest, number) for number in numbers] for photo in photos]
    store = store_of(cache)
    codes = store.get(extractor, [key for row in keys for key in row])
    fresh: dict[bytes, bytes] = {}
    for photo, row in zip(photos, keys, strict=True):
        missing = [(number, key) for number, key in zip(numbers, row, strict=True) if key not in codes]
        if not missing:
            continue
        try:
            data = read_picture(photo.path)
            if hashlib.sha256(data).digest() != photo.digest:
                raise DataError("its contents changed")
            image = decode(data)
        except DataError as error:
            raise DataError(
                f"{photo.name} was usable a moment ago, now it is not ({error}): is the folder changing?"
            ) from None
        for number, key in missing:
            random = copy_random(seed, photo.digest, number)
            codes[key] = fresh[key] = run_extractor(extractor, distort(image, extractor.res, distortions, random))
    store.put(extractor, fresh)
    flat = b"".join(codes[key] for row in keys for key in row)
    return np.frombuffer(flat, np.uint8).reshape(len(photos), len(numbers), extractor.features)
