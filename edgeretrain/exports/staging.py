"""Files and folders that are written aside, checked there, and then moved to their places."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from edgeretrain.storage import explained


@dataclass
class Staging:
    """What lies aside, and where it belongs: (aside, target), in the order of `place`."""

    moves: list[tuple[Path, Path]] = field(default_factory=list)

    def place(self, target: Path) -> Path:
        """A path on the disk of `target`, in a hidden folder beside it, for a file or folder of the same name."""
        target = target.absolute()
        with explained(f"write {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".partial"))
        self.moves.append((aside / target.name, target))
        return aside / target.name

    def beside(self, aside: Path, name: str) -> Path:
        """A path for a file that is needed while `aside` is written and not kept."""
        folder = aside.parent / "work"
        folder.mkdir(exist_ok=True)
        return folder / name

    def publish(self) -> None:
        """Move everything to its place; a file or folder that is there is replaced."""
        for aside, target in self.moves:
            with explained(f"write {target}"):
                if target.is_dir():
                    target.rename(aside.parent / "previous")  # removed with the hidden folder
                aside.replace(target)


@contextlib.contextmanager
def staging() -> Iterator[Staging]:
    """Yield a Staging; on leaving, whatever still lies aside is removed."""
    stage = Staging()
    try:
        yield stage
    finally:
        for aside, _ in stage.moves:
            shutil.rmtree(aside.parent, ignore_errors=True)


def measured(path: Path) -> tuple[int, str]:
    """(bytes, SHA-256) of a file, or of all files of a folder: over their names, sizes and contents, sorted by name."""
    if path.is_file():
        data = path.read_bytes()
        return len(data), sha256(data).hexdigest()
    total, digest = 0, sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        data = file.read_bytes()
        total += len(data)
        digest.update(f"{file.relative_to(path).as_posix()}\0{len(data)}\0".encode() + data)
    return total, digest.hexdigest()
