"""A folder of sample photos that appears complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.samples.photo import CLASSES, VERSION, render_photo

_QUALITY = 85
_STALE_SECONDS = 3600.0


def write_samples(
    folder: Path,
    per_class: int = 60,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write `per_class` photos (256 x 256 JPEG) of each class to `folder/<class>/<class>_<index>.jpg`.

    Photos are rendered by `jobs` threads (default: one per processor that may be used) into a hidden folder beside
    `folder` that takes its name when all are there. `progress` is told how many are done, in the caller's thread.
    Raises UsageError if `folder` is in use or `per_class` is below 1, EnvironmentFailure if it cannot be written.
    """
    if per_class < 1:
        raise UsageError(f"expected at least 1 photo per class, not {per_class}; ask for more")
    if _in_use(folder):
        raise UsageError(f"expected a new or empty folder for the sample photos, but {folder} is in use; name another")
    _render_folder(folder, per_class, seed, jobs, progress)


def sample_folder(
    cache: Path,
    per_class: int = 60,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Return `cache/samples-v<VERSION>-<per_class>-<seed>`, rendered now if it is not there; see `write_samples`.

    Of two processes that render it at once, one puts it there and the other takes that one's. Raises as `write_samples`.
    """
    folder = cache / f"samples-v{VERSION}-{per_class}-{seed}"
    if not _in_use(folder):
        try:
            write_samples(folder, per_class, seed, jobs, progress)
        except UsageError:
            if not _holds(folder, per_class):  # else another process was quicker, between our look and our writing
                raise
    return folder


def _in_use(folder: Path) -> bool:
    """Return whether `folder` is anything but missing or an empty folder."""
    try:
        return next(folder.iterdir(), None) is not None
    except (FileNotFoundError, PermissionError):
        return False
    except NotADirectoryError:
        return folder.exists()


def _names(per_class: int) -> list[tuple[str, int, str]]:
    """Return class, index and path inside the folder of every photo."""
    return [(name, i, f"{name}/{name}_{i:03d}.jpg") for name in CLASSES for i in range(per_class)]


def _holds(folder: Path, per_class: int) -> bool:
    """Return whether `folder` has every photo, and nothing else, in its class folders."""
    found = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    return found == {name for _, _, name in _names(per_class)}


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside `folder`; it is gone afterwards unless it was renamed."""
    prefix = f".{folder.name}.partial-"
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f"{prefix}*"):  # what a killed process left behind
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.parent / f"{prefix}{secrets.token_hex(6)}"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_photo(path: Path, class_name: str, index: int, seed: int) -> None:
    Image.fromarray(render_photo(class_name, index, seed)).save(path, "JPEG", quality=_QUALITY)


def _render_folder(
    folder: Path, per_class: int, seed: int, jobs: int | None, progress: Callable[[int], None] | None
) -> None:
    """Render every photo aside, then rename; an OSError on the way becomes EnvironmentFailure."""
    try:
        with _aside(folder) as partial:
            for name in CLASSES:
                (partial / name).mkdir()
            pool = ThreadPoolExecutor(jobs or _processors())
            try:
                work = [pool.submit(_write_photo, partial / path, name, i, seed) for name, i, path in _names(per_class)]
                for done, future in enumerate(as_completed(work), start=1):
                    future.result()
                    if progress:
                        progress(done)
            finally:
                pool.shutdown(cancel_futures=True)
            _publish(partial, folder, per_class)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFailure(
            f"expected to write the sample photos to {folder}, but: {reason}; name a folder you may write to"
        ) from error


def _publish(partial: Path, folder: Path, per_class: int) -> None:
    """Give the finished folder its name; if another process was quicker with the same photos, keep that one's."""
    try:
        if folder.is_dir() and not _in_use(folder):
            folder.rmdir()  # only some systems rename over an empty folder
        partial.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        if not _holds(folder, per_class):
            raise UsageError(f"expected {folder} to stay empty, but other files appeared in it; name another") from None


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
