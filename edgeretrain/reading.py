"""From a folder to a Dataset and the embeddings of its photos: list, decode, embed, split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeretrain.console import Console
from edgeretrain.dataset import Dataset, Listing, list_photos, split_photos
from edgeretrain.embed import CHECK, Embedded, Extractor, cache_file, embed_photos
from edgeretrain.errors import DataError
from edgeretrain.spec import TrainSpec
from edgeretrain.storage import cache_dir


def load_dataset(
    image_dir: Path,
    extractors: Sequence[Extractor],
    spec: TrainSpec,
    *,
    embeddings: Path | None = None,
    jobs: int | None = None,
    console: Console | None = None,
) -> tuple[Dataset, list[Embedded]]:
    """List, decode and embed the photos of `image_dir`, then split them. Raises DataError, also for `--on-bad fail`.

    `embeddings` is the folder that keeps embeddings, None for the cache.
    """
    console = console or Console(quiet=True)
    listing = list_photos(image_dir)
    doing = "Checking photos" if list(extractors) == [CHECK] else "Embedding photos"
    with console.progress(doing, len(listing.files)) as advance:
        embedded = embed_photos(
            [file.path for file in listing.files],
            extractors,
            cache=cache_file(embeddings or cache_dir()),
            jobs=jobs,
            advance=advance,
        )
    return split(listing, embedded, spec), embedded


def split(listing: Listing, embedded: Sequence[Embedded], spec: TrainSpec) -> Dataset:
    """The Dataset of what was listed and read, as `spec` asks for it. Raises DataError for `--on-bad fail`."""
    bad = sum(item.reason is not None for item in embedded) + len(listing.rejected)
    if bad and spec.on_bad == "fail":
        first = (
            next(
                (f"{f.name}: {e.reason}" for f, e in zip(listing.files, embedded, strict=True) if e.reason is not None),
                None,
            )
            or f"{listing.rejected[0].name}: {listing.rejected[0].reason}"
        )
        raise DataError(f"{bad} files cannot be used and --on-bad fail was given, the first is {first}")
    return split_photos(
        listing,
        [item.digest for item in embedded],
        [item.reason for item in embedded],
        validation_percentage=spec.validation_percentage,
        testing_percentage=spec.testing_percentage,
        seed=spec.split_seed,
    )
