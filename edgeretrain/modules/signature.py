"""What a module says about its input and output: which tensor is the picture, which the feature vector, which sizes fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgeretrain.errors import EnvironmentFailure, UsageError

DEFAULT_RES = 224
"""Side in px for a module that takes pictures of any size, where nobody asked for one."""
MIN_RES, MAX_RES = 16, 1024
SIGNATURES = ("default", "image_feature_vector", "serving_default")
"""Names of signatures that are looked for, in this order: those of TF1-Hub modules, then that of TF2 SavedModels."""
_EXPECTED = "expected an image feature-vector module"


def choose_signature(names: Iterable[str]) -> str | None:
    """The signature to use: one of `SIGNATURES`, else the only one there is, else None."""
    public = [name for name in names if not name.startswith("__")]
    known = next((name for name in SIGNATURES if name in public), None)
    return known or (public[0] if len(public) == 1 else None)


def picture_input(inputs: Mapping[str, Any], name: str) -> str:
    """The label of the one picture, float32 [N, H, W, 3], among `inputs` (things with dtype and shape)."""
    if len(inputs) != 1:
        raise EnvironmentFailure(f"{name} has {len(inputs)} inputs ({', '.join(sorted(inputs)[:4])}); {_EXPECTED}")
    ((label, tensor),) = inputs.items()
    if tensor.dtype.name != "float32":
        raise EnvironmentFailure(f"{name} takes {tensor.dtype.name}, not float32 pictures; {_EXPECTED}")
    if tensor.shape.rank != 4 or tensor.shape[3] not in (3, None):
        shape = "any shape" if tensor.shape.rank is None else f"[{', '.join(map(_side_text, tensor.shape))}]"
        raise EnvironmentFailure(f"{name} takes an input of {shape}, not RGB pictures [N, H, W, 3]; {_EXPECTED}")
    return label


def feature_output(outputs: Mapping[str, Any], name: str) -> str:
    """The label of the feature vector among `outputs` (things with shape): `default`, the only one, or the only vector."""
    vectors = [label for label, tensor in outputs.items() if tensor.shape.rank == 2]
    if "default" in outputs:
        return "default"
    if len(outputs) == 1:
        return next(iter(outputs))
    if len(vectors) == 1:
        return vectors[0]
    raise EnvironmentFailure(
        f"{name} has {len(outputs)} outputs ({', '.join(sorted(outputs)[:4])}) and none of them is `default`; {_EXPECTED}"
    )


def picture_side(shape: Any, name: str, res: int | None) -> tuple[int, bool]:
    """(side in px, whether the module takes other sizes too) for pictures of `shape` [N, H, W, 3].

    `res` is what the user asked for. Raises UsageError when the module takes another size, EnvironmentFailure for pictures
    that are not square.
    """
    height, width = shape[1], shape[2]
    own = height or width
    if height and width and height != width:
        raise EnvironmentFailure(f"{name} takes pictures of {width} x {height} px; only square ones are supported")
    if own and res is not None and res != own:
        raise UsageError(f"--res {res} was asked for, but {name} has res {own}: leave out --res")
    side = int(own or res or DEFAULT_RES)
    if not MIN_RES <= side <= MAX_RES:
        where = f"--res {res}" if not own else f"{name} takes {side} px"
        raise UsageError(f"{where}: pictures of {MIN_RES} to {MAX_RES} px are supported")
    return side, not own


def _side_text(side: int | None) -> str:
    return "any" if side is None else str(side)
