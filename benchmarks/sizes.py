"""Size of the .tflite against its raw parameters (int8 weights + int32 biases) for the 16 cells, 5 classes.

    python benchmarks/sizes.py

The files are those of `edgeretrain benchmark` without photos: network and metadata, but no contract (about 1.4 kB more).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from machine import machine

from edgeretrain.console import print_table
from edgeretrain.grid import STAND_IN_CLASSES, CellJob, build_cell
from edgeretrain.modules.starter import load_starter
from edgeretrain.spec import GRID, TrainSpec


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for spec in GRID:
            backbone = load_starter(spec)
            raw = backbone.parameter_bytes + (spec.features + 4) * STAND_IN_CLASSES
            sizes = [
                build_cell(CellJob(backbone, None, TrainSpec(scheme=scheme), Path(name)))[0].path.stat().st_size
                for scheme in ("int8", "uint8")
            ]
            rows.append((spec.name, f"{raw:,}", *(f"{s:,} (+{100 * (s / raw - 1):.1f} %)" for s in sizes)))
    print(machine())
    print_table(("cell", "raw parameters", "int8 file", "uint8 file"), rows, right=(1, 2, 3))


if __name__ == "__main__":
    main()
