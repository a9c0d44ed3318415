"""LiteRT: load a .tflite that somebody gives us, and run it, without trusting it."""

from __future__ import annotations

import struct
import warnings
from typing import Any

from edgeretrain.errors import DataError

KERNELS = ("xnnpack", "reference")
"""XNNPACK, which phones and LiteRT use by default, and the reference kernels, which give the same bytes everywhere."""


def load_interpreter(model: bytes, *, kernels: str = "xnnpack", threads: int = 1, keep_tensors: bool = False) -> Any:
    """Return an allocated ai_edge_litert Interpreter of `model`.

    `kernels` is one of `KERNELS` or `builtin`. `keep_tensors` keeps inner activations readable. Raises DataError when the
    file cannot be loaded or allocated.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {
        "xnnpack": OpResolverType.AUTO,
        "reference": OpResolverType.BUILTIN_REF,
        "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    }[kernels]
    check_flatbuffer(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = Interpreter(
                model_content=model,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_tensors,
            )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"LiteRT refuses the model: {reason}") from None
    return interpreter


def check_flatbuffer(model: bytes) -> None:
    """Raise DataError unless `model` begins like a .tflite and its tables lie within the file.

    LiteRT trusts a flatbuffer's offsets; this walk visits every table that it will follow.
    """
    if len(model) < 32 or model[4:8] != b"TFL3":
        raise DataError("not a TFLite file")
    from ai_edge_litert import schema_py_generated as schema

    try:
        _visit(schema, model)
    except (struct.error, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise DataError(f"a damaged or truncated TFLite file ({error})") from None


def _visit(schema: Any, model: bytes) -> None:
    root = schema.Model.GetRootAs(model, 0)
    codes, buffers = root.OperatorCodesLength(), root.BuffersLength()
    for i in range(buffers):
        buffer = root.Buffers(i)
        end = buffer._tab.Vector(buffer._tab.Offset(4)) + buffer.DataLength() if buffer.DataLength() else 0
        if end > len(model):
            raise ValueError("a buffer reaches past the end")
    for g in range(root.SubgraphsLength()):
        graph = root.Subgraphs(g)
        tensors = graph.TensorsLength()
        for i in range(tensors):
            tensor = graph.Tensors(i)
            tensor.Name()
            if tensor.Buffer() >= buffers:
                raise ValueError("a tensor names a buffer that does not exist")
            if tensor.ShapeLength() and tensor.ShapeAsNumpy().size != tensor.ShapeLength():
                raise ValueError("a shape reaches past the end")
        for i in range(graph.OperatorsLength()):
            op = graph.Operators(i)
            used = [int(op.Inputs(k)) for k in range(op.InputsLength())]
            used += [int(op.Outputs(k)) for k in range(op.OutputsLength())]
            if op.OpcodeIndex() >= codes or any(not -1 <= t < tensors for t in used):
                raise ValueError("an operator names something that does not exist")
