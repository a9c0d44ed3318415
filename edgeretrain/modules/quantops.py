"""Read a TF1-Hub module of MobileNet V1 with fake-quant ops ("quantops") into a Backbone.

Only the structure of the graph is relied on, never a node's name: the way from the output back to the pictures passes 27
convolutions, each with fake-quantized weights, a bias, ReLU6 and a fake-quantized output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.backbone import Backbone, Layer, Source, layer_table
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules.graph_check import checked_graph
from edgeretrain.spec import FEATURES, ModelSpec
from edgeretrain.storage import explained

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs")
_ADD = ("Add", "AddV2", "BiasAdd")
_PASS = ("Relu6", "Identity", "Squeeze", "Reshape", "AvgPool", "Mean", "StopGradient", "Cast")


class _Convolution(NamedTuple):
    op: Any
    weights: Any  # the FakeQuant op of the weights
    biases: list[Any]  # tensors whose sum is the bias
    activation: Any | None  # the FakeQuant op of the output


def module_files(folder: Path) -> list[Path]:
    """The files of a SavedModel that decide what it computes, sorted."""
    described = [path for path in (folder / "keras_metadata.pb",) if path.is_file()]
    return [folder / "saved_model.pb", *described, *sorted((folder / "variables").glob("variables.*"))]


def module_digest(folder: Path) -> str:
    """SHA-256 over names and contents of `module_files`. Raises EnvironmentFailure if `folder` is not a SavedModel."""
    if not (folder / "saved_model.pb").is_file():
        raise EnvironmentFailure(f"{folder} has no saved_model.pb: expected a TF1-Hub module folder")
    digest = hashlib.sha256()
    with explained(f"read {folder}"):
        for path in module_files(folder):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def has_fake_quant(folder: Path) -> bool:
    """Whether the graph in `folder` holds fake-quant operators, found without TensorFlow.

    In a serialized NodeDef the operator is field 2 (tag 0x12, length, text); a node's name, field 1, does not count.
    """
    with explained(f"read {folder}"):
        graph = (folder / "saved_model.pb").read_bytes()
    return any(b"\x12" + bytes([len(op)]) + op.encode() in graph for op in FAKE_QUANT)


def read_quantops(folder: Path, name: str) -> Backbone:
    """Read the module in `folder`; `name` is what the user called it. Imports TensorFlow.

    Raises EnvironmentFailure when the module cannot be loaded or is not a quantops MobileNet V1.
    """
    digest = module_digest(folder)
    load_tensorflow()
    import tensorflow_hub as hub

    checked_graph(folder, name)
    try:
        module = hub.load(str(folder))
        signature = next(s for s in map(module.signatures.get, ("default", "image_feature_vector")) if s is not None)
        pictures = next(t for t in signature.inputs if t.dtype.is_floating and t.shape.rank == 4)
        outputs = signature.structured_outputs
        result = outputs.get("default", next(iter(outputs.values())))
    except Exception as error:  # hub and TensorFlow raise nearly anything for a damaged module
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise EnvironmentFailure(f"{name} cannot be loaded as a TF1-Hub image module: {reason}") from error
    try:
        convolutions, entry = _walk(result, pictures)
        layers = _layers(module, convolutions)
        input_range = _input_range(module, pictures, entry)
    except _Unexpected as error:
        raise EnvironmentFailure(f"{name} is not a quantops MobileNet V1: {error}") from None
    features = int(layers[-1].bias.size)
    widths = {count: width for width, count in FEATURES.items()}
    if features not in widths:
        raise EnvironmentFailure(f"{name} has {features} features; a MobileNet V1 has {', '.join(map(str, widths))}")
    try:
        spec = ModelSpec(widths[features], int(pictures.shape[1] or 0))
    except UsageError as error:
        raise EnvironmentFailure(f"{name} has an input size outside the grid: {error}") from None
    _check_strides(spec, convolutions, name)
    return Backbone(spec, layers, input_range, Source("quantops", name, digest))


class _Unexpected(Exception):  # noqa: N818
    """The graph does not have the structure of a quantops MobileNet V1."""


def _walk(result: Any, pictures: Any) -> tuple[list[_Convolution], Any]:
    """Follow the data from `result` back to `pictures`: (convolutions in order, the first one's data input)."""
    on_path = _dependents(pictures)
    found: list[_Convolution] = []
    biases: list[Any] = []
    activation = strange = None
    tensor = entry = result
    while tensor.op.type != "Placeholder":
        op = tensor.op
        data = [t for t in op.inputs if t.op.name in on_path]
        if len(data) != 1:
            raise _Unexpected(f"{op.type} joins {len(data)} paths of data")
        if op.type in CONVOLUTIONS:
            if strange:
                raise _Unexpected(f"it has {strange} after a convolution")
            weights = _through_identities(op.inputs[1])
            if weights.type not in FAKE_QUANT:
                raise _Unexpected("its weights are not fake-quantized (a plain float module?)")
            found.append(_Convolution(op, weights, biases, activation))
            biases, activation, entry = [], None, data[0]
        elif op.type in FAKE_QUANT:
            activation = op  # going backwards, the one nearest to the convolution wins
        elif op.type in _ADD:
            biases = [*biases, *(t for t in op.inputs if t.op.name not in on_path)]
        elif op.type not in _PASS:
            strange = op.type  # harmless only before the first convolution, where pictures are prepared
        tensor = data[0]
    if not found:
        raise _Unexpected("it has no convolution")
    return found[::-1], entry


def _dependents(pictures: Any) -> set[str]:
    """Names of all ops that depend on `pictures`."""
    reached: set[str] = set()
    queue = [pictures.op]
    while queue:
        op = queue.pop()
        if op.name not in reached:
            reached.add(op.name)
            queue += [consumer for output in op.outputs for consumer in output.consumers()]
    return reached


def _through_identities(tensor: Any) -> Any:
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor.op


def _fake_quant_tensors(op: Any) -> list[str]:
    return [t.name for t in op.inputs[1:3]]


def _layers(module: Any, convolutions: list[_Convolution]) -> tuple[Layer, ...]:
    """Evaluate everything that does not depend on the pictures in one call, and turn it into integers."""
    wanted: dict[str, None] = {}
    for conv in convolutions:
        ranges = [] if conv.activation is None else _fake_quant_tensors(conv.activation)
        names: Iterable[str] = (
            conv.weights.outputs[0].name,
            *_fake_quant_tensors(conv.weights),
            *(t.name for t in conv.biases),
            *ranges,
        )
        wanted.update(dict.fromkeys(names))
    tensors = [module.graph.get_tensor_by_name(name) for name in wanted]
    values = {name: value.numpy() for name, value in zip(wanted, module.prune([], tensors)(), strict=True)}
    return tuple(_layer(conv, values) for conv in convolutions)


def _range(op: Any, values: dict[str, NDArray[Any]]) -> tuple[np.float32, np.float32]:
    if op.type == "FakeQuantWithMinMaxArgs":
        return np.float32(op.get_attr("min")), np.float32(op.get_attr("max"))
    low, high = (values[name] for name in _fake_quant_tensors(op))
    return np.float32(low), np.float32(high)


def _layer(conv: _Convolution, values: dict[str, NDArray[Any]]) -> Layer:
    if conv.weights.get_attr("num_bits") != 8:
        raise _Unexpected(f"its weights have {conv.weights.get_attr('num_bits')} bits, not 8")
    real = values[conv.weights.outputs[0].name]
    lowest = 1 if conv.weights.get_attr("narrow_range") else 0
    low, high = _range(conv.weights, values)
    scale = np.float32((np.float64(high) - np.float64(low)) / (255 - lowest))  # as TensorFlow's converter does
    if not scale > 0:
        raise _Unexpected("a range of weights is empty")
    zero_point = int(np.clip(np.rint(lowest - low / scale), lowest, 255))  # TensorFlow's Nudge()
    codes = np.rint(real / scale).astype(np.int16)
    if codes.min() < lowest - zero_point or codes.max() > 255 - zero_point:
        raise _Unexpected("weights lie outside their own fake-quant range")
    if conv.op.type == "DepthwiseConv2dNative":
        codes = codes.reshape(codes.shape[:3])
    if not conv.biases:
        raise _Unexpected("a convolution has no bias")
    bias = np.sum([values[t.name] for t in conv.biases], axis=0, dtype=np.float32)
    top = np.float32(6)
    if conv.activation is not None:
        bottom, top = _range(conv.activation, values)
        if abs(bottom) > 1e-3 * top or conv.activation.get_attr("num_bits") != 8:
            raise _Unexpected(f"an activation has the range {bottom:g} to {top:g} instead of 0 to about 6")
    scale_out = np.float32(np.float64(top) / 255)
    return Layer(codes, np.array([scale]), zero_point, bias.reshape(-1), scale_out)


def _input_range(module: Any, pictures: Any, entry: Any) -> tuple[float, float]:
    """What the values 0 and 1 of `images` are when the first convolution reads them; whole numbers where nearly so."""
    graph = module.graph
    prepare = module.prune([graph.get_tensor_by_name(pictures.name)], graph.get_tensor_by_name(entry.name))
    side = int(pictures.shape[1] or 1)
    low, middle, high = (float(np.median(prepare(_constant_picture(value, side)).numpy())) for value in (0.0, 0.5, 1.0))
    if not low < high or abs((low + high) / 2 - middle) > 0.02 * (high - low):
        raise _Unexpected("its preparation of the pictures is not linear")
    step = (high - low) / 100  # a fake-quant in hub_input moves the ends a little
    return (
        round(low) if abs(low - round(low)) < step else low,
        round(high) if abs(high - round(high)) < step else high,
    )


def _constant_picture(value: float, side: int) -> Any:
    return load_tensorflow().fill([1, side, side, 3], np.float32(value))


def _check_strides(spec: ModelSpec, convolutions: list[_Convolution], name: str) -> None:
    table = layer_table(spec.width)
    for shape, conv in zip(table, convolutions, strict=len(table) == len(convolutions)):
        strides = list(conv.op.get_attr("strides"))
        if strides != [1, shape.stride, shape.stride, 1] or conv.op.get_attr("padding") != b"SAME":
            raise EnvironmentFailure(f"{name}: {shape.name} has strides {strides[1:3]}, a MobileNet V1 {shape.stride}")
