"""One sitting of a training that may be stopped, or killed, and gone on with in another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeretrain.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

SAVE_SECONDS = 60.0
"""Training that is killed loses at most so much, and the step that was due."""


@dataclass
class Sitting:
    """`folder` is where checkpoints lie (None: none are written), `recipe` what must be the same for a run to go on, `asked`
    tells whether somebody, or the clock, wants training to end.
    """

    folder: Path | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    asked: Callable[[], bool] = lambda: False
    stopped: bool = False
    """Whether training was told to end early."""
    _saved: float = field(default_factory=time.monotonic)

    def stop(self) -> bool:
        """Whether to end here, before all is done."""
        self.stopped = self.stopped or self.asked()
        return self.stopped

    def load(self, name: str) -> Checkpoint:
        """The checkpoint called `name`, or one of step 0 without arrays. Raises DataError, UsageError as `read_checkpoint`."""
        path = self._path(name)
        if path is None or not path.exists():
            return Checkpoint(0, 0.0, self.recipe, [], [])
        return read_checkpoint(path, self.recipe)

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.folder is not None and time.monotonic() - self._saved >= SAVE_SECONDS

    def save(
        self, name: str, step: int, seconds: float, curve: list[list[float]], arrays: Sequence[NDArray[Any]]
    ) -> None:
        """Write the state of training `name` after `step`. Raises EnvironmentFailure."""
        path = self._path(name)
        if path is not None:
            write_checkpoint(path, Checkpoint(step, seconds, self.recipe, curve, arrays))
            self._saved = time.monotonic()

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{name}.npz"


def clear(folder: Path) -> None:
    """Remove checkpoints that are of no use any more, also what a kill left of them."""
    with contextlib.suppress(OSError):
        for left in (*folder.glob("*.npz"), *folder.glob(".*.npz.*.partial")):
            left.unlink()
        folder.rmdir()
