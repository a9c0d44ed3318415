"""Named public data sets, fetched from their homes, checked by digest, and placed whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules.fetch import download, unpacked
from edgeretrain.storage import explained


@dataclass(frozen=True)
class PublicData:
    """Where a data set lives: its archive's URL and SHA-256, the folder in it that holds the classes, and its terms."""

    url: str
    sha256: str
    inside: str
    terms: str


SETS = {
    # digest as TensorFlow Datasets records it (tf_flowers/checksums.tsv); 228,813,984 bytes
    "flower_photos": PublicData(
        "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
        "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
        "flower_photos",
        "3,670 photos of 5 classes, CC BY 2.0, photographers in LICENSE.txt",
    ),
}


def fetch_public_data(name: str, folder: Path, *, timeout: float, console: Console) -> PublicData:
    """Fetch the set `name` of `SETS` into the new folder `folder`.

    Raises UsageError if `folder` is in use, EnvironmentFailure when the archive cannot be had or is not the one expected.
    """
    data = SETS[name]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is in use: name a new or empty folder for {name}")
    with explained(f"write beside {folder}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        archive = aside / "archive"
        try:
            download(data.url, archive, timeout=timeout, console=console)
        except EnvironmentFailure as error:
            raise EnvironmentFailure(
                f"{name} cannot be fetched: {data.url}: {error}; fetch it elsewhere, unpack it, and use --image-dir"
            ) from None
        found = _sha256_of(archive)
        if found != data.sha256:
            raise EnvironmentFailure(f"what {data.url} sent is not {name}: SHA-256 {found}, expected {data.sha256}")
        with unpacked(archive, name) as content, explained(f"write {folder}"):
            shutil.move(content / data.inside, aside / "content")
            if folder.exists():
                folder.rmdir()
            (aside / "content").rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return data


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
