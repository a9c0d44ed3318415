"""edgeretrain: from a folder of photos to a checked, fully quantized image classifier on a phone.

from pathlib import Path
from edgeretrain import TrainSpec, load_backbone, load_model, run, save

result = run(Path("photos"), load_backbone("auto", "050", 160), TrainSpec())
path = save(result, Path("runs/mine"))
probabilities = load_model(path).predict(pixels)  # uint8 [160, 160, 3]
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "GRID": "spec",
    "Backbone": "backbone",
    "EdgeRetrainError": "errors",
    "Evaluation": "evaluate",
    "Model": "artifact",
    "ModelSpec": "spec",
    "TrainSpec": "spec",
    "evaluate_folder": "evaluate",
    "load_backbone": "modules",
    "load_model": "artifact",
    "predict_photos": "evaluate",
    "run": "pipeline",
    "save": "pipeline",
    "verify": "artifact",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    """Import public names when they are used: numpy and LiteRT are not needed for `--help`."""
    if name in _HOME:
        return getattr(importlib.import_module(f"edgeretrain.{_HOME[name]}"), name)
    raise AttributeError(f"module 'edgeretrain' has no attribute {name!r}")
