"""The state of a training on disk: one .npz without pickle, written aside and renamed."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.errors import DataError, UsageError
from edgeretrain.storage import explained, write_file

NAME = "checkpoint.npz"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State after `step` steps and `seconds`: `recipe` says of what (JSON values), `arrays` is what training goes on with."""

    step: int
    seconds: float
    recipe: dict[str, Any]
    curve: list[list[float]]
    arrays: Sequence[NDArray[Any]]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put `checkpoint` at `path`, whole or not at all. Raises EnvironmentFailure."""
    about = {key: getattr(checkpoint, key) for key in ("step", "seconds", "recipe", "curve")}
    arrays: dict[str, Any] = {f"array_{i}": array for i, array in enumerate(checkpoint.arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    write_file(path, buffer.getvalue())


def read_checkpoint(path: Path, recipe: dict[str, Any]) -> Checkpoint:
    """Read what `write_checkpoint` wrote; the ZIP's checksums guard it.

    Raises DataError if it is damaged, UsageError if it was made by another recipe than `recipe`, naming the difference.
    """
    with explained(f"read {path}"):
        data = path.read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            arrays = [file[f"array_{i}"] for i in range(len(file.files) - 1)]
        found = Checkpoint(int(about["step"]), float(about["seconds"]), dict(about["recipe"]), about["curve"], arrays)
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise DataError(f"{path} is damaged ({error}): delete it to begin again") from None
    for key, value in recipe.items():
        if found.recipe.get(key) != value:
            raise UsageError(
                f"{path} was made with another {key} ({found.recipe.get(key)}, now {value}): "
                "give the same options and photos, or another --out"
            )
    return found
