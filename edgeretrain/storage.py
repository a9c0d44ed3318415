"""What is written, and where: files that appear complete or not at all, run folders, the cache directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgeretrain.errors import EnvironmentFailure, UsageError

CACHE_VARIABLE = "EDGERETRAIN_CACHE_DIR"


def cache_dir() -> Path:
    """The durable cache: `$EDGERETRAIN_CACHE_DIR`, else the platform's user cache directory. Not created here."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("edgeretrain", appauthor=False))


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn an OSError into an EnvironmentFailure: `cannot <action>: <what the system says>`."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise EnvironmentFailure(f"cannot {action}: {error.strerror or error}{where}") from error


def write_file(path: Path, data: bytes | str) -> None:
    """Put `data` (text as UTF-8) at `path` whole or not at all: written beside it, synced, then renamed.

    Makes the parent folders. Raises EnvironmentFailure when the disk is full, the folder read-only and the like.
    """
    payload = data.encode() if isinstance(data, str) else data
    with explained(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(aside).chmod(0o666 & ~umask)  # mkstemp's 0600 would hide results from colleagues
            Path(aside).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(aside).unlink()
            raise


def new_folder(parent: Path, name: str) -> Path:
    """Create and return `parent/<name>-<n>` with the smallest free n; safe when two runs start at once."""
    with explained(f"make a folder in {parent}"):
        parent.mkdir(parents=True, exist_ok=True)
        n = 1
        while True:
            folder = parent / f"{name}-{n}"
            try:
                folder.mkdir()
            except FileExistsError:
                n += 1
            else:
                return folder


def check_free(folder: Path | None, option: str, *, force: bool = False) -> None:
    """Raise UsageError when `folder`, given as `option`, is a file, or holds something and not `force`."""
    if folder is None or not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{option} expects a folder, and {folder} is a file: choose another")
    with explained(f"read {folder}"):
        occupied = any(folder.iterdir())
    if occupied and not force:
        raise UsageError(f"{folder} is not empty and nothing is overwritten: choose another {option}, or add --force")


def output_folder(out: Path | None, name: str, *, force: bool = False) -> Path:
    """Return the folder for a run's results, created: `out`, or `runs/<name>-<n>` when `out` is None.

    A folder that already holds something is refused with UsageError unless `force`; its files are then replaced one by
    one, never removed.
    """
    if out is None:
        return new_folder(Path("runs"), name)
    with explained(f"make the folder {out}"):
        out.mkdir(parents=True, exist_ok=True)
        occupied = any(out.iterdir())
    if occupied and not force:
        raise UsageError(f"{out} is not empty and nothing is overwritten: choose another --out, or add --force")
    return out
