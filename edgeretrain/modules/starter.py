"""The backbones that ship with the package: one per width, for all four resolutions, for machines that reach no module."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from edgeretrain.backbone import Backbone, Source, layer_table, quantize_per_channel, unpack
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.spec import ModelSpec
from edgeretrain.storage import sha256

CARD = "CARD.md"
INPUT_RANGE = (-1.0, 1.0)


def load_starter(spec: ModelSpec) -> Backbone:
    """The starter of `spec.width` at `spec.res`. Raises EnvironmentFailure when the package's file is damaged or missing."""
    name = f"starter_{spec.width}.backbone"
    try:
        data = files("edgeretrain").joinpath(f"starters/{name}").read_bytes()
    except OSError as error:
        raise EnvironmentFailure(
            f"the package's own {name} cannot be read ({error}): install edgeretrain again"
        ) from None
    return unpack(data, f"the package's own {name}").at(spec.res)


def starter_card() -> str:
    """How the starters were made and how good they are, Markdown."""
    return files("edgeretrain").joinpath(f"starters/{CARD}").read_text(encoding="utf-8")


def read_layers(path: Path, width: str) -> Backbone:
    """Read the plain layer format: an .npz with `<layer>/weights` (HWIO, depthwise HWC1) and `<layer>/bias`, float32.

    Batch norm is folded, the input is RGB in [-1, 1], activations are ReLU6. Raises EnvironmentFailure.
    """
    data = path.read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            layers = tuple(_layer(arrays, shape.name, shape.kind == "depthwise") for shape in layer_table(width))
    except (OSError, ValueError, KeyError) as error:
        raise EnvironmentFailure(f"{path} is not a file of layers ({error})") from None
    return Backbone(ModelSpec(width), layers, INPUT_RANGE, Source("starter", f"starter_{width}", sha256(data)))


def _layer(arrays: Any, name: str, depthwise: bool) -> Any:
    weights = arrays[f"{name}/weights"]
    return quantize_per_channel(weights[..., 0] if depthwise else weights, arrays[f"{name}/bias"])
