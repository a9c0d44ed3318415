"""A folder of sample photos that appears complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.samples.photo import CLASSES, VERSION, render_photo

_QUALITY = 85
_STALE_SECONDS = 3600.0
_LEAST_WORK = 8
"""Photos for which a further process is worth its start."""


def write_samples(
    folder: Path,
    per_class: int = 60,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write `per_class` photos (256 x 256 JPEG) of each class to `folder/<class>/<class>_<index>.jpg`.

    Photos are rendered by `jobs` processes (default: one per processor that may be used) into a hidden folder beside
    `folder` that takes its name when all are there. `progress` is called with 1 as each is done, in the caller's thread.
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

    Of two processes that render it at once, one puts it there and the other takes that one's. Raises as
    `write_samples`.
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


def _render_folder(
    folder: Path, per_class: int, seed: int, jobs: int | None, progress: Callable[[int], None] | None
) -> None:
    """Render every photo aside, then rename; an OSError on the way becomes EnvironmentFailure."""
    photos = len(CLASSES) * per_class
    jobs = min(jobs or _processors(), -(-photos // _LEAST_WORK))
    try:
        with _aside(folder) as partial:
            for name in CLASSES:
                (partial / name).mkdir()
            work = write_share(partial, per_class, seed) if jobs == 1 else _in_processes(partial, per_class, seed, jobs)
            for _ in work:
                if progress:
                    progress(1)
            _publish(partial, folder, per_class)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFailure(
            f"expected to write the sample photos to {folder}, but: {reason}; name a folder you may write to"
        ) from error


def write_share(folder: Path, per_class: int, seed: int, share: int = 0, shares: int = 1) -> Iterator[None]:
    """Write every photo of `folder` whose number modulo `shares` is `share`; yield after each."""
    for name, index, path in _names(per_class)[share::shares]:
        Image.fromarray(render_photo(name, index, seed)).save(folder / path, "JPEG", quality=_QUALITY)
        yield


def _in_processes(folder: Path, per_class: int, seed: int, jobs: int) -> Iterator[None]:
    """Write all photos in `jobs` processes; yield as each photo is done, in any order. None outlives this call.

    Threads wait for each other here: a photo is thousands of small array operations. And the workers are processes of
    their own rather than a pool's, because a pool runs its caller's main module again, which not every script survives.
    """
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "edgeretrain.samples.worker", str(folder), str(per_class), str(seed)]
    reading, writing = os.pipe()
    workers: list[subprocess.Popen[bytes]] = []
    try:
        with os.fdopen(reading, "rb", buffering=0) as done:
            with os.fdopen(writing, "wb") as tally:  # closed here, so that `done` ends when the last worker does
                for share in range(jobs):
                    workers.append(
                        subprocess.Popen(
                            [*command, str(share), str(jobs)],
                            env=os.environ | settings,
                            stdin=subprocess.DEVNULL,
                            stdout=tally,
                            stderr=subprocess.PIPE,
                        )
                    )
            while finished := done.read(256):
                yield from (None for _ in finished)
        for worker in workers:
            _, complaint = worker.communicate()
            if worker.returncode:
                reason = (complaint.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
                raise EnvironmentFailure(
                    f"expected the rendering of sample photos to finish, but a process ended with {worker.returncode}"
                    f" ({reason}); try again with less running beside it"
                )
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stderr:
                worker.stderr.close()


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
