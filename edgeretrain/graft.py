"""Operators put in front of and behind a .tflite that somebody else wrote: TensorFlow's converter, for example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeretrain.errors import QualityError
from edgeretrain.flatbuffer import TYPES, Operator, Tensor, builtin_operators

_KEPT_METADATA = (b"min_runtime_version",)


@dataclass(frozen=True)
class Ends:
    """Quantization of a flatbuffer's int8 input [1, res, res, 3] and output of `features` codes."""

    res: int
    features: int
    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int
    constant_bytes: int


def read_ends(body: bytes) -> Ends:
    """Look at both ends of an int8 network. Raises QualityError if it is not int8, one picture to one vector."""
    model = _load(body)
    graph = model.subgraphs[0]
    first, last = (graph.tensors[int(indices[0])] for indices in (graph.inputs, graph.outputs))
    for tensor in (first, last):
        if tensor.type != TYPES["int8"] or tensor.quantization is None or tensor.quantization.scale is None:
            raise QualityError("the converter left the picture or the embedding unquantized; nothing was exported")
    scales = [float(np.float32(tensor.quantization.scale[0])) for tensor in (first, last)]
    zeros = [int(tensor.quantization.zeroPoint[0]) for tensor in (first, last)]
    if not all(np.isfinite(scale) and scale > 0 for scale in scales):
        raise QualityError("calibration found no range for the picture or the embedding; nothing was exported")
    size = sum(len(data) for i in {t.buffer for t in graph.tensors} if (data := model.buffers[i].data) is not None)
    return Ends(int(first.shape[1]), int(np.prod(last.shape)), scales[0], zeros[0], scales[1], zeros[1], size)


def graft(
    body: bytes,
    before: Sequence[Operator],
    entry: Tensor,
    leaving: Tensor,
    after: Sequence[Operator],
    signature: tuple[str, str],
    description: str,
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """`before`, the network `body` and `after` as one flatbuffer.

    `entry` stands for the body's input in `before`, `leaving` for its output in `after`; their names replace its own.
    Without `before` the input stays, without `after` the output. Tensors in between are named by number: the converter's
    names are long and differ from run to run. `signature` and `metadata` as for `flatbuffer.serialize`.
    """
    model = _load(body)
    graph = model.subgraphs[0]
    first, last = int(graph.inputs[0]), int(graph.outputs[0])
    for number, tensor in enumerate(graph.tensors):
        tensor.name = f"t{number}"
    graph.tensors[first].name, graph.tensors[last].name = entry.name, leaving.name
    index = {id(entry): first, id(leaving): last}
    head = [_operator(model, op, index) for op in before]
    tail = [_operator(model, op, index) for op in after]
    graph.operators = [*head, *graph.operators, *tail]
    start = index[id(before[0].inputs[0])] if before else first
    end = index[id(after[-1].output)] if after else last
    graph.inputs, graph.outputs = np.array([start], np.int32), np.array([end], np.int32)
    graph.name = "main"
    model.signatureDefs = [_signature(signature, (start, end))]
    model.description = description
    model.metadata = [entry for entry in model.metadata or () if _bytes(entry.name) in _KEPT_METADATA]
    for name, data in (metadata or {}).items():
        extra = schema.MetadataT()
        extra.name, extra.buffer = name, _buffer(model, data)
        model.metadata.append(extra)
    builder = flatbuffers.Builder(len(body) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _load(body: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(body, 0))


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _buffer(model: Any, data: bytes) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _tensor(model: Any, tensor: Tensor, index: dict[int, int]) -> int:
    """The number of `tensor` in the model; it is added when it is met first."""
    if id(tensor) not in index:
        made = schema.TensorT()
        made.shape, made.type, made.name = np.array(tensor.shape, np.int32), TYPES[tensor.dtype], tensor.name
        made.buffer = 0 if tensor.data is None else _buffer(model, np.ascontiguousarray(tensor.data).tobytes())
        if tensor.scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = tensor.scale.astype(np.float32)
            made.quantization.zeroPoint = np.full(tensor.scale.size, tensor.zero_point, np.int64)
            made.quantization.quantizedDimension = tensor.axis if tensor.scale.size > 1 else 0
        graph = model.subgraphs[0]
        graph.tensors.append(made)
        index[id(tensor)] = len(graph.tensors) - 1
    return index[id(tensor)]


def _operator(model: Any, op: Operator, index: dict[int, int]) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = _code(model, op)
    made.inputs = np.array([_tensor(model, tensor, index) for tensor in op.inputs], np.int32)
    made.outputs = np.array([_tensor(model, op.output, index)], np.int32)
    if op.options:
        options = getattr(schema, f"{op.options}T")()
        for key, value in op.fields.items():
            setattr(options, key[0].lower() + key[1:], value)
        made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, op.options), options
    return made


def _code(model: Any, op: Operator) -> int:
    """The number of the operator's kind; a version that is already there and newer does as well."""
    number = builtin_operators()[op.code]
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == number and code.version >= op.version:
            return place
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), op.version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _signature(names: tuple[str, str], indices: tuple[int, int]) -> Any:
    maps = []
    for name, index in zip(names, indices, strict=True):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        maps.append(entry)
    signature = schema.SignatureDefT()
    signature.inputs, signature.outputs, signature.signatureKey = [maps[0]], [maps[1]], "serving_default"
    return signature
