"""What was read stays at hand: backbones as single files, and float modules as the files they came with, by content."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edgeretrain.backbone import Backbone, pack, unpack
from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.modules.quantops import module_digest, module_files
from edgeretrain.storage import cache_dir, explained, sha256, write_file


@dataclass(frozen=True)
class Files:
    """A module that is no Backbone: its folder or file, and their SHA-256."""

    path: Path
    digest: str


def key_of(name: str) -> str:
    """The key of what is known by a name alone, such as a URL."""
    return sha256(f"name:{name}".encode())


def entry_of(key: str) -> Path:
    """Where the backbone of `key` is kept."""
    return cache_dir() / "backbones" / f"{key}.backbone"


def cached(key: str, name: str, console: Console) -> Backbone | None:
    """The kept backbone of `key`, which messages call `name`; a damaged one is removed."""
    path = entry_of(key)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        return unpack(data, f"the cached copy of {name}")
    except EnvironmentFailure as error:
        console.warn(f"{error}; removed")
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def kept(key: str, name: str, console: Console, read: Callable[[], Backbone | Files]) -> Backbone | Files:
    """The cached backbone of `key`, else what `read` returns, put into the cache."""
    backbone = cached(key, name, console)
    if backbone is None:
        pointer = entry_of(key).with_suffix(".module")
        found = _pointed_at(pointer) or read()
        if isinstance(found, Files):
            if found.path.is_relative_to(cache_dir()):
                with contextlib.suppress(EnvironmentFailure):
                    write_file(pointer, str(found.path.relative_to(cache_dir())))
            return found
        backbone = found
        try:
            write_file(entry_of(key), pack(backbone))
        except EnvironmentFailure as error:  # a read-only home must not stop the run
            console.warn(f"the backbone is not kept: {error}")
    return replace(backbone, source=replace(backbone.source, name=public_name(name)))


def _pointed_at(pointer: Path) -> Files | None:
    """The float module in the cache that a fetched name led to, if it is whole."""
    try:
        path = cache_dir() / pointer.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    digest = _digest(path)
    return Files(path, digest) if digest is not None and digest in path.parts else None


def _digest(path: Path) -> str | None:
    """SHA-256 of the module at `path`, None if there is none."""
    try:
        return sha256(path.read_bytes()) if path.is_file() else module_digest(path)
    except (OSError, EnvironmentFailure):
        return None


def public_name(name: str) -> str:
    """`name` as models and reports record it: of a local path only the end, the rest is nobody else's business."""
    if "://" in name:
        return name
    path = Path(name).expanduser().resolve()
    return "/".join(path.parts[-4:]) if path.is_dir() else path.name


def in_cache(found: Backbone | Files) -> Backbone | Files:
    """A float module that lies in a temporary folder moves to the cache, as TensorFlow reads it later."""
    if isinstance(found, Backbone) or found.path.is_relative_to(cache_dir()):
        return found
    return Files(keep_files(found.path, found.digest), found.digest)


def forget(files: Files) -> None:
    """Remove a module that turned out to be of no use, if it lies in the cache; a URL is then fetched anew."""
    if files.path.is_relative_to(cache_dir()):
        shutil.rmtree(cache_dir() / "modules" / files.digest, ignore_errors=True)


def keep_files(path: Path, digest: str) -> Path:
    """Copy the module at `path`, a folder or a Keras file, into the cache, whole or not at all; return its place there."""
    folder = cache_dir() / "modules" / digest
    if path.is_file():
        with path.open("rb") as file:
            suffix = ".keras" if file.read(4) == b"PK\x03\x04" else ".h5"
        files, inside = [(path, f"model{suffix}")], f"model{suffix}"
    else:
        files, inside = [(file, str(file.relative_to(path))) for file in module_files(path)], ""
    if _digest(folder / inside) != digest:
        shutil.rmtree(folder, ignore_errors=True)
        with explained(f"keep a module in {folder.parent}"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
            try:
                for source, target in files:
                    (aside / target).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, aside / target)
                with contextlib.suppress(FileExistsError):
                    aside.rename(folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return folder / inside
