"""What to build: one cell of the grid, and how to train it. An option is declared here, once, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from edgeretrain.errors import UsageError

WIDTHS = ("025", "050", "075", "100")
"""Width multipliers x 100, written as in the hub's handles."""
RESOLUTIONS = (128, 160, 192, 224)
"""Input sizes in pixels (square)."""
FEATURES = {"025": 256, "050": 512, "075": 768, "100": 1024}
"""Length of the embedding (pooled features) of each width."""


def parse_width(text: str) -> str:
    """Return `text` as one of `WIDTHS`; `0.5`, `.5`, `50` and `050` all mean `050`. Raises UsageError."""
    value = text.strip()
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if "." in value or number == 1:
        number *= 100
    code = f"{round(number):03d}" if number >= 0 else value
    if code not in WIDTHS:
        raise UsageError(f"width must be one of {', '.join(WIDTHS)}, not {text!r}")
    return code


def parse_res(text: str | int) -> int:
    """Return `text` as one of `RESOLUTIONS` (pixels). Raises UsageError."""
    value = str(text).strip()
    if value not in map(str, RESOLUTIONS):
        raise UsageError(f"res must be one of {', '.join(map(str, RESOLUTIONS))}, not {value!r}")
    return int(value)


@dataclass(frozen=True, order=True)
class ModelSpec:
    """One cell of the grid: a MobileNet V1 of `width` (one of `WIDTHS`) for inputs of `res` x `res` pixels."""

    width: str = "050"
    res: int = 160

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", parse_width(self.width))
        object.__setattr__(self, "res", parse_res(self.res))

    @property
    def name(self) -> str:
        """`mobilenet_v1_050_160`, as in the hub's handles."""
        return f"mobilenet_v1_{self.width}_{self.res}"

    @property
    def multiplier(self) -> float:
        """The width multiplier as a fraction: 0.25, 0.5, 0.75 or 1.0."""
        return int(self.width) / 100

    @property
    def features(self) -> int:
        """Length of the embedding."""
        return FEATURES[self.width]

    @classmethod
    def parse(cls, name: str) -> ModelSpec | None:
        """Find `mobilenet_v1_<width>_<res>` in a handle, path or file name (`0.5` for `050` too); None if absent."""
        found = re.search(r"mobilenet_v1_(\d\.\d+|\d{3})_(\d{3})", name)
        if not found:
            return None
        try:
            return cls(found[1], parse_res(found[2]))
        except UsageError:
            return None


GRID = tuple(ModelSpec(width, res) for width in WIDTHS for res in RESOLUTIONS)
"""The 16 cells, narrow to wide, small to large."""
