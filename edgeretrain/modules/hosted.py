"""Read Google's hosted, quantized MobileNet V1 (.tflite, uint8, per tensor) into a Backbone. Needs no TensorFlow."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from edgeretrain.backbone import Backbone, Layer, Source, layer_table
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.spec import FEATURES, RESOLUTIONS, ModelSpec
from edgeretrain.storage import sha256


def read_hosted(data: bytes, name: str) -> Backbone:
    """Read the backbone of a quantized MobileNet V1 .tflite, with or without its ImageNet head.

    The convolutions up to the average pool count. Raises EnvironmentFailure when `data` is not such a file.
    """
    from ai_edge_litert import schema_py_generated as schema

    wanted = "expected Google's quantized (uint8) MobileNet V1"
    if data[4:8] != b"TFL3":
        raise EnvironmentFailure(f"{name} is not a TFLite file; {wanted}")
    try:
        model = schema.Model.GetRootAs(data, 0)
        graph = model.Subgraphs(0)
        convolutions, after = convolutions_of(model, graph)
        shape = graph.Tensors(int(graph.Inputs(0))).ShapeAsNumpy().tolist()
        if after is None or not convolutions or len(shape) != 4 or shape[1] != shape[2] or shape[1] not in RESOLUTIONS:
            raise EnvironmentFailure(f"{name} is not a MobileNet V1 for a square picture; {wanted}")
        widths = {features: width for width, features in FEATURES.items()}
        features = int(graph.Tensors(int(convolutions[-1].Outputs(0))).Shape(3))
        if features not in widths:
            raise EnvironmentFailure(f"{name} has {features} features, no width of the grid has; {wanted}")
        spec = ModelSpec(widths[features], shape[1])
        table = layer_table(spec.width)
        if len(convolutions) != len(table):
            raise EnvironmentFailure(
                f"{name} has {len(convolutions)} convolutions, a MobileNet V1 {len(table)}; {wanted}"
            )
        scale, zero_point = _quantization(graph.Tensors(int(graph.Inputs(0))))
        layers = tuple(
            _layer(model, graph, op, item.kind == "depthwise") for op, item in zip(convolutions, table, strict=True)
        )
        low = -zero_point * float(scale[0])
        return Backbone(spec, layers, (low, low + 256 * float(scale[0])), Source("hosted", name, sha256(data)))
    except (struct.error, ValueError, TypeError, AttributeError, IndexError) as error:
        raise EnvironmentFailure(f"{name} cannot be read as a TFLite file ({error}); {wanted}") from error


def convolutions_of(model: Any, graph: Any) -> tuple[list[Any], list[Any] | None]:
    """The convolutions before the first pooling operator, and those behind it (a head's); None if nothing pools.

    A FULLY_CONNECTED between convolutions is the pool of the int8 files that `write_model` writes.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    pools = (kinds.AVERAGE_POOL_2D, kinds.MEAN, kinds.FULLY_CONNECTED)
    before: list[Any] = []
    after: list[Any] | None = None
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D):
            (before if after is None else after).append(op)
        elif kind in pools and after is None:
            after = []
    return before, after


def _quantization(tensor: Any) -> tuple[Any, int]:
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() != 1 or quantization.ZeroPointLength() != 1:
        raise ValueError("a tensor is not quantized per tensor")
    return quantization.ScaleAsNumpy().astype(np.float32), int(quantization.ZeroPoint(0))


def constant(model: Any, tensor: Any, dtype: str) -> Any:
    """The values of a constant tensor, in its shape."""
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    return np.frombuffer(data.tobytes(), dtype).reshape(tensor.ShapeAsNumpy())


def _layer(model: Any, graph: Any, op: Any, depthwise: bool) -> Layer:
    source, kernel, bias = (graph.Tensors(int(op.Inputs(i))) for i in range(3))
    scale, zero_point = _quantization(kernel)
    stored = constant(model, kernel, "u1")
    codes = stored[0] if depthwise else stored.transpose(1, 2, 3, 0)
    activation_scale, activation_zero = _quantization(graph.Tensors(int(op.Outputs(0))))
    if activation_zero != 0:
        raise ValueError("an activation does not start at 0")
    bias_scale = np.float64(_quantization(source)[0][0]) * np.float64(scale[0])
    real_bias = (constant(model, bias, "<i4") * bias_scale).astype(np.float32)
    return Layer(codes.astype(np.int16) - np.int16(zero_point), scale, zero_point, real_bias, activation_scale[0])
