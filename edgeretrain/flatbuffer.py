"""A TFLite graph of plain tensors and operators, serialized with the schema that LiteRT ships.

Written by hand rather than with the schema's object API, because equal vectors (zero points, shapes, names) are stored
once here: in a per-channel file they would otherwise be a sixth of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int16": 7, "int8": 9}  # schema.TensorType


@dataclass(frozen=True)
class Tensor:
    """A tensor: constant if it has `data`. `scale` float32 and `zero_point` describe its quantization, along `axis`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: NDArray[Any] | None = None
    scale: NDArray[np.float32] | None = None
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Operator:
    """An operator: `code` is a name of schema.BuiltinOperator, `options` (a name of schema.BuiltinOptions) its fields."""

    code: str
    version: int
    inputs: tuple[Tensor, ...]
    output: Tensor
    options: str = ""
    fields: Mapping[str, int | float] = field(default_factory=dict)


def serialize(
    operators: Sequence[Operator],
    signature: tuple[str, str],
    description: str,
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Serialize a chain of operators: the first tensor that is neither constant nor made by one of them is the model's input,
    the last one's output its output.

    `signature` names both in the signature `serving_default`. `metadata` maps names to buffers.
    """
    return _Writer().model(operators, signature, description, metadata or {})


class _Writer:
    """One model being written, back to front as flatbuffers are; equal vectors and strings are shared."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 20)
        self.shared: dict[tuple[str, bytes], int] = {}

    def vector(self, array: NDArray[Any]) -> int:
        key = (array.dtype.str, array.tobytes())
        if key not in self.shared:
            self.shared[key] = self.builder.CreateNumpyVector(array)
        return self.shared[key]

    def numbers(self, values: Sequence[int]) -> int:
        return self.vector(np.array(values, "<i4"))

    def string(self, text: str) -> int:
        return int(self.builder.CreateSharedString(text))

    def table(self, name: str, **fields: Any) -> int:
        """Write a table of the schema: `fields` in the schema's spelling, offsets and scalars alike; None is left out."""
        getattr(schema, f"{name}Start")(self.builder)
        for key, value in fields.items():
            if value is not None:
                getattr(schema, f"{name}Add{key}")(self.builder, value)
        return int(getattr(schema, f"{name}End")(self.builder))

    def offsets(self, start: Callable[[Any, int], Any], offsets: Sequence[int]) -> int:
        start(self.builder, len(offsets))
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def buffer(self, data: bytes | None) -> int:
        if data is None:
            return self.table("Buffer")
        self.builder.StartVector(1, len(data), 16)  # the schema's force_align
        self.builder.head -= len(data)
        self.builder.Bytes[self.builder.head : self.builder.head + len(data)] = data
        return self.table("Buffer", Data=self.builder.EndVector())

    def tensor(self, tensor: Tensor, buffer: int) -> int:
        quantization = None
        if tensor.scale is not None:
            scale = self.vector(tensor.scale.astype("<f4"))
            zero_point = self.vector(np.full(tensor.scale.size, tensor.zero_point, "<i8"))
            axis = tensor.axis if tensor.scale.size > 1 else None
            quantization = self.table(
                "QuantizationParameters", Scale=scale, ZeroPoint=zero_point, QuantizedDimension=axis
            )
        return self.table(
            "Tensor",
            Shape=self.numbers(tensor.shape),
            Type=TYPES[tensor.dtype],
            Buffer=buffer,
            Name=self.string(tensor.name),
            Quantization=quantization,
        )

    def operator(self, op: Operator, code: int, index: Mapping[int, int]) -> int:
        inputs = self.numbers([index[id(tensor)] for tensor in op.inputs])
        outputs = self.numbers([index[id(op.output)]])
        options = self.table(op.options, **op.fields) if op.options else None
        kind = getattr(schema.BuiltinOptions, op.options) if op.options else None
        return self.table(
            "Operator",
            OpcodeIndex=code,
            Inputs=inputs,
            Outputs=outputs,
            BuiltinOptionsType=kind,
            BuiltinOptions=options,
        )

    def signature(self, names: tuple[str, str], indices: tuple[int, int]) -> int:
        first, last = (
            self.table("TensorMap", Name=self.string(name), TensorIndex=index)
            for name, index in zip(names, indices, strict=True)
        )
        inputs = self.offsets(schema.SignatureDefStartInputsVector, [first])
        outputs = self.offsets(schema.SignatureDefStartOutputsVector, [last])
        key = self.string("serving_default")
        return self.table("SignatureDef", Inputs=inputs, Outputs=outputs, SignatureKey=key)

    def model(
        self, operators: Sequence[Operator], names: tuple[str, str], description: str, metadata: Mapping[str, bytes]
    ) -> bytes:
        tensors = list({id(t): t for op in operators for t in (*op.inputs, op.output)}.values())
        index = {id(tensor): i for i, tensor in enumerate(tensors)}
        made = {id(op.output) for op in operators}
        first = next(index[id(t)] for t in tensors if t.data is None and id(t) not in made)
        last = index[id(operators[-1].output)]

        contents: list[bytes | None] = [None]  # buffer 0 is empty by convention
        buffer_of = []
        for tensor in tensors:
            buffer_of.append(0 if tensor.data is None else len(contents))
            if tensor.data is not None:
                contents.append(np.ascontiguousarray(tensor.data).tobytes())
        first_metadata = len(contents)
        contents += metadata.values()

        buffers = [self.buffer(data) for data in contents]
        codes = list(dict.fromkeys((op.code, op.version) for op in operators))
        tensor_vector = self.offsets(
            schema.SubGraphStartTensorsVector,
            [self.tensor(tensor, buffer) for tensor, buffer in zip(tensors, buffer_of, strict=True)],
        )
        operator_vector = self.offsets(
            schema.SubGraphStartOperatorsVector,
            [self.operator(op, codes.index((op.code, op.version)), index) for op in operators],
        )
        graph = self.table(
            "SubGraph",
            Tensors=tensor_vector,
            Inputs=self.numbers([first]),
            Outputs=self.numbers([last]),
            Operators=operator_vector,
            Name=self.string("main"),
        )
        graphs = self.offsets(schema.ModelStartSubgraphsVector, [graph])
        code_vector = self.offsets(schema.ModelStartOperatorCodesVector, [self.operator_code(*code) for code in codes])
        buffer_vector = self.offsets(schema.ModelStartBuffersVector, buffers)
        entries = [
            self.table("Metadata", Name=self.string(name), Buffer=first_metadata + i) for i, name in enumerate(metadata)
        ]
        metadata_vector = self.offsets(schema.ModelStartMetadataVector, entries) if entries else None
        signatures = self.offsets(schema.ModelStartSignatureDefsVector, [self.signature(names, (first, last))])
        model = self.table(
            "Model",
            Version=3,
            OperatorCodes=code_vector,
            Subgraphs=graphs,
            Description=self.string(description),
            Buffers=buffer_vector,
            Metadata=metadata_vector,
            SignatureDefs=signatures,
        )
        self.builder.Finish(model, file_identifier=b"TFL3")
        return bytes(self.builder.Output())

    def operator_code(self, code: str, version: int) -> int:
        number = builtin_operators()[code]
        return self.table("OperatorCode", DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number, Version=version)


@functools.cache
def builtin_operators() -> dict[str, int]:
    """Numbers of the schema's operators by name."""
    return {name: value for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
