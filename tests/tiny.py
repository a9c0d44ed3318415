"""The smallest useful image model, written with LiteRT's own schema: one pooling (uint8) or convolution (float32)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def tiny_model(
    path: Path, *, shape: tuple[int, ...] = (1, 16, 16, 3), dtype: str = "uint8", inputs: int = 1, **changes: Any
) -> Path:
    """Write a model that averages the picture (uint8) or multiplies it by 2 (float32) and return `path`.

    `changes` replace fields of the subgraph, to make hostile files.
    """
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    kind = {"uint8": schema.TensorType.UINT8, "float32": schema.TensorType.FLOAT32}[dtype]

    def tensor(name: str, size: tuple[int, ...], data: bytes | None = None) -> schema.TensorT:
        result = schema.TensorT()
        result.name, result.type, result.buffer = name, kind, 0
        result.shape = np.array(size, np.int32)
        if dtype == "uint8":
            result.quantization = schema.QuantizationParametersT()
            result.quantization.scale, result.quantization.zeroPoint = np.float32([1 / 128]), np.int64([128])
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8)
            model.buffers.append(buffer)
            result.buffer = len(model.buffers) - 1
        return result

    code, op = schema.OperatorCodeT(), schema.OperatorT()
    graph = schema.SubGraphT()
    if dtype == "uint8":
        options = schema.Pool2DOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 1
        options.filterHeight, options.filterWidth = shape[1:3] if len(shape) == 4 else (1, 1)
        code.builtinCode, op.builtinOptionsType = (
            schema.BuiltinOperator.AVERAGE_POOL_2D,
            schema.BuiltinOptions.Pool2DOptions,
        )
        graph.tensors = [tensor("image", shape), tensor("mean", (1, 1, 1, shape[-1]))]
        op.inputs, op.outputs = np.int32([0]), np.int32([1])
    else:
        options = schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 1
        options.dilationWFactor = options.dilationHFactor = 1
        code.builtinCode, op.builtinOptionsType = schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions
        depth = shape[-1]
        weights = 2 * np.eye(depth, dtype=np.float32).reshape(depth, 1, 1, depth)
        graph.tensors = [
            tensor("image", shape),
            tensor("double", shape),
            tensor("weights", weights.shape, weights.tobytes()),
            tensor("bias", (depth,), np.zeros(depth, np.float32).tobytes()),
        ]
        op.inputs, op.outputs = np.int32([0, 2, 3]), np.int32([1])
    code.deprecatedBuiltinCode, code.version = code.builtinCode, 1
    op.opcodeIndex, op.builtinOptions = 0, options
    model.operatorCodes = [code]
    graph.operators = [op]
    graph.inputs, graph.outputs = np.int32([0]), np.int32([1])
    for extra in range(1, inputs):
        graph.tensors.append(tensor(f"extra{extra}", shape))
        graph.inputs = np.append(graph.inputs, np.int32(len(graph.tensors) - 1))
    for name, value in changes.items():
        setattr(graph, name, value)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
