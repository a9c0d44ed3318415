"""What a student learns from: a backbone, and the logits of its head where it has one."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import Backbone, Layer, Source, layer_table
from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules import TIMEOUT_S, load_backbone
from edgeretrain.modules.hosted import constant, convolutions_of
from edgeretrain.spec import FEATURES, ModelSpec
from edgeretrain.storage import explained, sha256

Floats = NDArray[np.float32]

BEST = ModelSpec("100", 224)
"""The cell that `auto` and `starter` mean as a teacher."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """`backbone`, and of its head the real-valued weights float32 [features, classes] and bias [classes], or None."""

    backbone: Backbone
    head: tuple[Floats, Floats] | None

    def logits(self, embeddings: Floats) -> Floats:
        """float32 [N, classes] of embeddings [N, features]; no classes without a head."""
        if self.head is None:
            return np.zeros((len(embeddings), 0), np.float32)
        weights, bias = self.head
        result: Floats = embeddings @ weights + bias
        return result


def load_teacher(
    name: str, *, offline: bool = False, timeout: float = TIMEOUT_S, console: Console | None = None
) -> Teacher:
    """The teacher that `name` means: a run folder of ours or a .tflite, ours or a hosted one (with logits, if they have
    a head), else whatever `load_backbone` takes (without).

    Raises UsageError for a folder with several models, EnvironmentFailure when there is no such teacher.
    """
    path = Path(name).expanduser()
    models = sorted(path.glob("*.tflite")) if path.is_dir() else []
    if len(models) > 1:
        raise UsageError(f"--teacher {name} holds {len(models)} models: name one of them, such as {models[0]}")
    path = models[0] if models else path
    data = b""
    if path.is_file():
        with explained(f"read {path}"):
            data = path.read_bytes()
    if data[4:8] != b"TFL3":
        width, res = (BEST.width, BEST.res) if name in ("auto", "starter") else (None, None)
        return Teacher(load_backbone(name, width, res, offline=offline, timeout=timeout, console=console), None)
    try:
        return _read_tflite(data, path, console)
    except (struct.error, ValueError, TypeError, AttributeError, IndexError) as error:
        raise EnvironmentFailure(
            f"{path.name} cannot be read as a teacher ({error}): expected a MobileNet V1 of ours or a hosted one"
        ) from error


def _read_tflite(data: bytes, path: Path, console: Console | None) -> Teacher:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    before, after = convolutions_of(model, graph)
    if not before or after is None:
        raise ValueError("no pooled convolutions")
    ours = graph.Tensors(int(before[0].Inputs(1))).Type() == schema.TensorType.INT8
    backbone = _int8_backbone(data, model, graph, before, path) if ours else load_backbone(str(path), console=console)
    if not after:
        return Teacher(backbone, None)
    layer = _layer(model, graph, after[0], depthwise=False)
    return Teacher(backbone, (layer.weights[0, 0], layer.bias))


def _int8_backbone(data: bytes, model: Any, graph: Any, convolutions: list[Any], path: Path) -> Backbone:
    """The backbone of a .tflite that `write_model` wrote: the same codes and scales, biases as rounded there."""
    widths = {features: width for width, features in FEATURES.items()}
    features = int(graph.Tensors(int(convolutions[-1].Outputs(0))).Shape(3))
    picture = graph.Tensors(int(convolutions[0].Inputs(0)))
    spec = ModelSpec(widths.get(features, f"of {features} features"), int(picture.Shape(1)))
    layers = tuple(
        _layer(model, graph, op, shape.kind == "depthwise")
        for op, shape in zip(convolutions, layer_table(spec.width), strict=True)
    )
    scale, zero_point = float(picture.Quantization().Scale(0)), int(picture.Quantization().ZeroPoint(0))
    low = (-128 - zero_point) * scale
    return Backbone(spec, layers, (low, low + 256 * scale), Source("tflite", path.name, sha256(data)))


def _layer(model: Any, graph: Any, op: Any, depthwise: bool) -> Layer:
    """A convolution with int8 codes per channel or uint8 codes per tensor."""
    from ai_edge_litert import schema_py_generated as schema

    source, kernel, bias = (graph.Tensors(int(op.Inputs(i))) for i in range(3))
    stored = constant(model, kernel, "i1" if kernel.Type() == schema.TensorType.INT8 else "u1")
    codes = stored[0] if depthwise else stored.transpose(1, 2, 3, 0)
    quantization = kernel.Quantization()
    scale = quantization.ScaleAsNumpy().astype(np.float32)
    zero_point = int(quantization.ZeroPoint(0))
    step = np.float64(source.Quantization().Scale(0)) * scale
    real_bias = (constant(model, bias, "<i4") * step).astype(np.float32)
    activation_scale = np.float32(graph.Tensors(int(op.Outputs(0))).Quantization().Scale(0))
    return Layer(codes.astype(np.int16) - np.int16(zero_point), scale, zero_point, real_bias, activation_scale)
