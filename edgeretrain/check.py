"""What stands between a written file and the user: a .tflite that fails here is not exported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeretrain.errors import DataError, QualityError
from edgeretrain.runtime import load_interpreter

MIN_PHOTOS = 10
"""With fewer photos, always answering one class may be right."""
MIN_AGREEMENT = {"int8": 0.95, "uint8": 0.8}
"""Least agreement with the head that was trained. The uint8 network is other arithmetic than the int8 extractor's."""

_INTEGERS = ("int8", "uint8", "int16", "int32")


def check_integers(flatbuffer: bytes, io_type: str) -> None:
    """Allocate, invoke, and look at every tensor: integers only, but for a float32 input and output that were asked for.

    Raises QualityError naming the tensor.
    """
    try:
        interpreter = load_interpreter(flatbuffer, kernels="builtin")
        interpreter.invoke()
    except (DataError, RuntimeError, ValueError) as error:
        raise QualityError(f"the written model does not run ({error}); nothing was exported") from None
    ends = {d["index"] for d in interpreter.get_input_details() + interpreter.get_output_details()}
    for detail in interpreter.get_tensor_details():
        kind = np.dtype(detail["dtype"]).name
        allowed = (*_INTEGERS, "float32") if detail["index"] in ends and io_type == "float32" else _INTEGERS
        if kind not in allowed:
            raise QualityError(f"tensor {detail['name']!r} is {kind}, not an integer; nothing was exported")


def check_answers(
    names: Sequence[str],
    predicted: NDArray[np.int64],
    trained: NDArray[np.int64],
    class_names: Sequence[str],
    scheme: str,
) -> float:
    """Hold the file's answers on photos `names` against the trained head's; return their agreement.

    Raises QualityError if the file always answers one class, or disagrees too often, naming photos.
    """
    if len(predicted) >= MIN_PHOTOS and len(set(predicted.tolist())) == 1:
        raise QualityError(
            f"the model answers {class_names[int(predicted[0])]!r} for all {len(predicted)} photos tried, such as "
            f"{names[0]}: the classes cannot be told apart by it; nothing was exported"
        )
    same = predicted == trained
    agreement = float(same.mean()) if len(same) else 1.0
    if len(predicted) >= MIN_PHOTOS and agreement < MIN_AGREEMENT[scheme]:
        differing = [name for name, equal in zip(names, same, strict=True) if not equal]
        raise QualityError(
            f"the written model and the trained head agree on {agreement:.1%} of {len(same)} photos "
            f"(at least {MIN_AGREEMENT[scheme]:.0%} expected); they differ on {', '.join(differing[:3])}; nothing was exported"
        )
    return agreement
