"""What to export besides the integer .tflite, and the network that is exported."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeretrain.errors import EnvironmentFailure, UsageError

GRAPH_INPUT = "Placeholder"
"""The frozen graph's input, called as in the ancestor's graphs."""
FINAL_TENSOR = "final_result"
IMAGE, PREDICTION = "image", "prediction"
"""Keys of the ancestor's SavedModel."""
JPEG_SIGNATURE, IMAGE_BYTES = "serving_jpeg", "image_bytes"
FLOAT_TYPES = ("float32", "float16")
"""Schemes of `write_model` for the .tflite files of floats."""

_SERVING_FILES = frozenset(("saved_model.pb", "fingerprint.pb", "variables", "assets"))
_TENSOR_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Served:
    """A trained network to export.

    `network` is a TensorFlow callable: pictures float32 [N, res, res, 3], real values (pixel - zero_point) * scale, to
    probabilities float32 [N, classes]; it may hold variables.
    """

    network: Callable[[Any], Any]
    res: int
    scale: float
    zero_point: float
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class ExportSpec:
    """What to export, and where; nothing by default. Raises UsageError for what makes no sense."""

    saved_model_dir: Path | None = None
    output_graph: Path | None = None
    final_tensor_name: str = FINAL_TENSOR
    output_labels: Path | None = None
    float_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in self.float_types:
            if kind not in FLOAT_TYPES:
                raise UsageError(f"--export must be one or more of {', '.join(FLOAT_TYPES)}, not {kind!r}")
        if not _TENSOR_NAME.fullmatch(self.final_tensor_name) or self.final_tensor_name in (GRAPH_INPUT, "network"):
            raise UsageError(
                f"--final-tensor-name must be letters, digits, . _ or -, and neither {GRAPH_INPUT} nor network, "
                f"not {self.final_tensor_name!r}"
            )
        places: dict[Path, str] = {}
        for name, path in self.targets.items():
            other = places.setdefault(path.resolve(), name)
            if other != name:
                raise UsageError(f"{other} and {name} both name {path}: choose two places")

    @property
    def wanted(self) -> bool:
        """Whether anything is to be exported."""
        return bool(self.targets or self.float_types)

    @property
    def targets(self) -> dict[str, Path]:
        """The places outside the run folder, by option."""
        named = {
            "--saved-model-dir": self.saved_model_dir,
            "--output-graph": self.output_graph,
            "--output-labels": self.output_labels,
        }
        return {name: path for name, path in named.items() if path is not None}

    def check_targets(self, *, force: bool) -> None:
        """Say before anything is trained what cannot be written after it.

        Raises UsageError for a place that is taken (a file or SavedModel may be replaced with `force`, anything else never) and
        EnvironmentFailure for one that cannot be written.
        """
        for name, path in self.targets.items():
            nearest = next((parent for parent in path.absolute().parents if parent.exists()), None)
            if nearest is None or not nearest.is_dir() or not os.access(nearest, os.W_OK):
                raise EnvironmentFailure(f"{name} {path} cannot be written: {nearest} is not a folder open to writing")
            if name == "--saved-model-dir":
                _check_folder(name, path, force)
            elif path.is_dir():
                raise UsageError(f"{name} {path} is a folder: name a file")
            elif os.path.lexists(path) and not force:
                raise UsageError(f"{path} exists and nothing is overwritten: choose another {name}, or add --force")


def _check_folder(name: str, path: Path, force: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{name} {path} is a file: name a folder")
    entries = {entry.name for entry in path.iterdir()}
    if not entries <= _SERVING_FILES:
        stranger = min(entries - _SERVING_FILES)
        raise UsageError(f"{path} holds more than a SavedModel ({stranger}): choose another {name}")
    if entries and not force:
        raise UsageError(f"{path} is not empty and nothing is overwritten: choose another {name}, or add --force")
