"""The grid's latency against its multiply-accumulates, with the roofline of this machine and runtime.

    python benchmarks/roofline.py benchmark.json

The roof is the rate at which the same runtime, on one thread, multiplies large int8 matrices: a chain of 1x1 convolutions,
28 x 28 x 512 to 512, measured like any model.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import machine

from edgeretrain.benchmark.result import read
from edgeretrain.benchmark.timing import Plan, measure
from edgeretrain.console import print_table
from edgeretrain.flatbuffer import Operator, Tensor, serialize

SIDE, DEPTH, LAYERS = 28, 512, 4


def matrices() -> bytes:
    """A .tflite of `LAYERS` int8 matrix products."""
    shape, one = (1, SIDE, SIDE, DEPTH), np.ones(1, np.float32)
    last, operators = Tensor("input", shape, "int8", None, one), []
    for i in range(LAYERS):
        codes = np.random.default_rng(i).integers(-127, 128, (DEPTH, 1, 1, DEPTH)).astype(np.int8)
        scale = np.full(DEPTH, 0.01, np.float32)
        weights = Tensor("weights", codes.shape, "int8", codes, scale)
        bias = Tensor("bias", (DEPTH,), "int32", np.zeros(DEPTH, "<i4"), scale)
        output = Tensor(f"product {i}", shape, "int8", None, one)
        fields = {"Padding": 1, "StrideW": 1, "StrideH": 1}
        operators.append(Operator("CONV_2D", 3, (last, weights, bias), output, "Conv2DOptions", fields))
        last = output
    return serialize(operators, ("input", "output"), "int8 matrix products")


def main() -> None:
    document = read(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "matrices.tflite"
        path.write_bytes(matrices())
        (timing,) = measure([path], 1, Plan()).timings
    roof = LAYERS * SIDE * SIDE * DEPTH * DEPTH / timing.low_ms / 1e6
    rows = []
    for cell in sorted(document.cells, key=lambda cell: cell.macs or 0):
        if cell.macs and cell.p50_ms:
            rate = cell.macs / cell.p50_ms / 1e6
            rows.append(
                (cell.name, f"{cell.macs / 1e6:.1f}", f"{cell.p50_ms:.3f}", f"{rate:.0f}", f"{rate / roof:.0%}")
            )
    print(machine())
    print(f"roof: {roof:.0f} G int8 MAC/s on one thread (4 products of {SIDE * SIDE} x {DEPTH} x {DEPTH})")
    print_table(("cell", "MMACs", "p50 ms", "G MAC/s", "of the roof"), rows, right=(1, 2, 3, 4))


if __name__ == "__main__":
    main()
