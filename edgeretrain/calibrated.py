"""A float network after post-training quantization: its int8 flatbuffer and what the rest of the way has to know of it.

It stands where a Backbone stands: both have `spec`, `source`, `route`, `input_range`, `input_quantization`,
`parameter_bytes` and `identical_codes`, and `write_model` and `make_extractor` take either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeretrain.backbone import Source
from edgeretrain.graft import Ends


@dataclass(frozen=True)
class NetworkSpec:
    """Name, input size in px and embedding length of a network outside the grid; `width` has no meaning for it."""

    name: str
    res: int
    features: int
    width: None = None


@dataclass(frozen=True, eq=False)
class Calibrated:
    """`body`: a .tflite from int8 pictures [1, res, res, 3] to int8 embeddings, calibrated on `photos` training photos.

    `input_range` is what the pictures' real values span, `ends` the quantization of both ends. `path` is where the float
    module lies.
    """

    spec: NetworkSpec
    body: bytes
    input_range: tuple[float, float]
    source: Source
    photos: int
    ends: Ends
    path: Path
    route = "post-training"
    identical_codes = None

    @property
    def input_quantization(self) -> tuple[float, int]:
        """(scale, zero point) of a uint8 picture."""
        return self.ends.input_scale, self.ends.input_zero_point + 128

    @property
    def parameter_bytes(self) -> int:
        """Raw size in bytes of all constants."""
        return self.ends.constant_bytes
