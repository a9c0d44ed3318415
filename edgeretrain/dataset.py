"""A folder with one sub-folder per class becomes a Dataset: classes, a stable split, and the list of what cannot be used."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from edgeretrain.errors import DataError
from edgeretrain.images import SUFFIXES

FEW_PHOTOS = 20
"""Below this many photos in a class the user is warned, as by the ancestor retrain.py."""
MIN_PHOTOS = 3
"""One each for training, validation and test."""
_LITTER = frozenset(("thumbs.db", "desktop.ini"))


@dataclass(frozen=True)
class File:
    """A file in a class folder, before anybody looked into it: `name` is relative to the data set, with slashes."""

    path: Path
    name: str
    label: int


@dataclass(frozen=True)
class Rejected:
    """A file that cannot be used, and why."""

    name: str
    class_name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a folder holds: `class_names` by label, the files of each class, and what is left out already by its name."""

    folder: Path
    class_names: tuple[str, ...]
    files: tuple[File, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class Photo:
    """A usable photo. `digest` is the SHA-256 of its bytes (32 bytes), `row` its place among the embeddings."""

    path: Path
    name: str
    label: int
    digest: bytes
    row: int


@dataclass(frozen=True)
class Dataset:
    """Photos split into training, validation and test; every class has at least one photo in each."""

    class_names: tuple[str, ...]
    train: tuple[Photo, ...]
    validation: tuple[Photo, ...]
    test: tuple[Photo, ...]
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over classes, contents and split; independent of where the folder lies and what files are called."""
        digest = hashlib.sha256("\0".join(self.class_names).encode())
        for part in (self.train, self.validation, self.test):
            for entry in sorted(f"{photo.label}:{photo.digest.hex()}" for photo in part):
                digest.update(entry.encode())
            digest.update(b";")
        return digest.hexdigest()

    def counts(self) -> list[tuple[str, int, int, int]]:
        """(class name, training, validation, test photos) per class."""
        parts = [Counter(photo.label for photo in part) for part in (self.train, self.validation, self.test)]
        return [(name, *(part[label] for part in parts)) for label, name in enumerate(self.class_names)]  # type: ignore[misc]


def normalize_class_name(folder_name: str) -> str:
    """The ancestor's rule: lower case, every run of other characters than letters and digits is one space.

    The ancestor knew only a-z and 0-9; letters and digits of other scripts are kept here, or every Cyrillic folder would be
    called the same. Spaces at the ends go.
    """
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", folder_name).lower()).strip()


def list_photos(folder: Path, *, to_train: bool = True) -> Listing:
    """List the class folders of `folder` and the files in them (sub-folders too), sorted by name; nothing is opened.

    Raises DataError for no folder, no class and two folders with the same class name; `to_train` also for one class and too
    few files to split.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected a folder with one sub-folder of photos per class")
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    rejected = [
        Rejected(entry.name, "-", "not in a class folder")
        for entry in entries
        if not entry.is_dir() and entry.suffix.lower() in SUFFIXES
    ]
    folders: dict[str, Path] = {}
    files_of: dict[str, list[Path]] = {}
    for entry in entries:
        if not entry.is_dir():
            continue
        class_name = normalize_class_name(entry.name)
        if not class_name:
            raise DataError(
                f"folder {entry.name!r} has no letter or digit in its name to make a class name of: rename it"
            )
        if class_name in folders:
            raise DataError(
                f"folders {folders[class_name].name!r} and {entry.name!r} both become the class {class_name!r}: "
                "rename or merge them"
            )
        folders[class_name] = entry
        files_of[class_name] = []
        for path in _walk(entry):
            if not path.name.startswith("."):
                files_of[class_name].append(path)
            elif path.suffix.lower() in SUFFIXES and not path.name.startswith("._"):
                rejected.append(Rejected(path.relative_to(folder).as_posix(), class_name, "hidden file"))
        if not files_of[class_name]:
            rejected.append(Rejected(f"{entry.name}/", class_name, "no photos in this folder: not a class"))
            del files_of[class_name]
    class_names = tuple(sorted(files_of))
    _check_classes(folder, class_names, entries, least=2 if to_train else 1)
    for class_name in class_names if to_train else ():
        _check_enough(class_name, len(files_of[class_name]))
    files = tuple(
        File(path, path.relative_to(folder).as_posix(), label)
        for label, class_name in enumerate(class_names)
        for path in files_of[class_name]
    )
    return Listing(folder, class_names, files, tuple(rejected))


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower() not in _LITTER:
                yield Path(root) / name


def _check_classes(folder: Path, class_names: Sequence[str], entries: Sequence[Path], least: int) -> None:
    if len(class_names) >= least:
        return
    expected = f"expected one sub-folder of photos per class, {least} or more"
    if class_names:
        raise DataError(f"{folder} has only one class, {class_names[0]!r}; {expected}")
    loose = sum(entry.suffix.lower() in SUFFIXES for entry in entries)
    found = f"{loose} pictures directly in it" if loose else "no photos"
    raise DataError(f"{folder} has {found} and no class folders; {expected}")


def _check_enough(class_name: str, count: int, *, usable: bool = False) -> None:
    if count < MIN_PHOTOS:
        kind = "different usable photos" if usable else "files"
        raise DataError(
            f"class {class_name!r} has {count} {kind}; at least {MIN_PHOTOS} are needed, "
            "one each for training, validation and test: add photos or remove the folder"
        )


def split_photos(
    listing: Listing,
    digests: Sequence[bytes | None],
    reasons: Sequence[str | None],
    *,
    validation_percentage: float = 10,
    testing_percentage: float = 10,
    seed: int = 0,
) -> Dataset:
    """Split the files of `listing` that have no reason against them; `digests` are the SHA-256 of their contents.

    A photo's place follows from its content alone (and `seed`), so it survives moving, renaming and adding photos; copies
    of a photo stay together, and so do files of a class whose names are equal up to `_nohash_`. Where chance leaves a class
    with less than half of its share of validation or test photos, its nearest ones are moved. Raises
    DataError for a class with too few photos.
    """
    members: list[dict[str, list[Photo]]] = [defaultdict(list) for _ in listing.class_names]
    rejected = list(listing.rejected)
    for row, (file, digest, reason) in enumerate(zip(listing.files, digests, reasons, strict=True)):
        if reason is not None or digest is None:
            rejected.append(Rejected(file.name, listing.class_names[file.label], reason or "not read"))
            continue
        stem, mark, _ = file.name.partition("_nohash_")
        group = f"{listing.class_names[file.label]}/{Path(stem).name}" if mark else digest.hex()
        members[file.label][group].append(Photo(file.path, file.name, file.label, digest, row))
    parts: tuple[list[Photo], list[Photo], list[Photo]] = ([], [], [])
    warnings = []
    for class_name, groups in zip(listing.class_names, members, strict=True):
        _check_enough(class_name, len(groups), usable=True)
        count = sum(map(len, groups.values()))
        if count < FEW_PHOTOS:
            warnings.append(f"class {class_name!r} has only {count} photos; fewer than {FEW_PHOTOS} rarely train well")
        chances = sorted((_chance(seed, group), group) for group in groups)
        validation, test = _shares([chance for chance, _ in chances], validation_percentage, testing_percentage)
        for place, (_, group) in enumerate(chances):
            part = 1 if place < validation else 2 if place < validation + test else 0
            parts[part].extend(groups[group])
    warnings += _label_collisions(listing.class_names, [photo for part in parts for photo in part])
    train, validation_photos, test_photos = (tuple(sorted(part, key=lambda photo: photo.row)) for part in parts)
    return Dataset(listing.class_names, train, validation_photos, test_photos, tuple(rejected), tuple(warnings))


def _shares(chances: Sequence[float], validation_percentage: float, testing_percentage: float) -> tuple[int, int]:
    """How many of the sorted `chances` are for validation and, behind them, for the test.

    As many as chance has it, but at least half of the share asked for and at least one each, and one left for training.
    """
    count = len(chances)
    validation = sum(chance < validation_percentage for chance in chances)
    validation = max(validation, ceil(count * validation_percentage / 200), 1)
    test = sum(chance < validation_percentage + testing_percentage for chance in chances) - validation
    test = max(test, ceil(count * testing_percentage / 200), 1)
    while validation + test >= count:
        validation, test = (validation - 1, test) if validation > test else (validation, test - 1)
    return validation, test


def _chance(seed: int, group: str) -> float:
    """A number in [0, 100) that depends on nothing but `seed` and `group`."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "big") / 2**64 * 100


def _label_collisions(class_names: Sequence[str], photos: Sequence[Photo]) -> list[str]:
    seen: dict[bytes, Photo] = {}
    found = []
    for photo in photos:
        other = seen.setdefault(photo.digest, photo)
        if other.label != photo.label:
            found.append(
                f"the same photo is in two classes: {other.name} ({class_names[other.label]}) "
                f"and {photo.name} ({class_names[photo.label]})"
            )
    return found
