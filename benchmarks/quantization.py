"""What int8 buys: the written int8 file against Google's hosted uint8 file and against float32, for the native cells.

    python benchmarks/quantization.py ../shared [THREADS]

All files in one session, interleaved in random order, each against itself as control (edgeretrain.benchmark.timing). The
int8 and float32 files get a head of 1,001 classes where the hosted file has one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from fidelity import CELLS
from machine import machine

from edgeretrain.backbone import quantize_per_channel
from edgeretrain.benchmark.timing import Plan, measure
from edgeretrain.console import print_table
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.write import Head, write_model


def main() -> None:
    shared, threads = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for cell, stem in CELLS.items():
            hosted = shared / "hosted" / f"mobilenet_v1_{stem}.tflite"
            backbone = read_hosted(hosted.read_bytes(), stem)
            weights = np.random.default_rng(0).normal(0, 0.05, (1, 1, backbone.spec.features, 1001)).astype(np.float32)
            head = Head(quantize_per_channel(weights, np.zeros(1001, np.float32)), np.float32(0.1), 0)
            for scheme in ("int8", "float32"):
                path = Path(name) / f"{cell}_{scheme}.tflite"
                path.write_bytes(write_model(backbone, None if "extractor" in stem else head, scheme=scheme))
                paths.append(path)
            paths.append(hosted)
        session = measure(paths, threads, Plan(threads=(threads,)))
    rows = []
    for i, cell in enumerate(CELLS):
        int8, real, uint8 = session.timings[3 * i : 3 * i + 3]
        rows.append(
            (
                cell,
                *(f"{t.p50_ms:.3f} ({t.low_ms:.3f} to {t.high_ms:.3f})" for t in (int8, uint8, real)),
                f"{int8.p50_ms / uint8.p50_ms:.2f}",
                f"{int8.p50_ms / real.p50_ms:.2f}",
            )
        )
    print(machine())
    headers = ("cell", "int8 p50 ms (95 %)", "hosted uint8", "float32", "int8 / uint8", "int8 / float32")
    print_table(headers, rows, title=f"{threads} thread(s)", right=range(1, 6))
    print(f"A/A control: {session.noise_rms:.2%} rms; other processes used {session.other_cpu:.0%} of the machine")


if __name__ == "__main__":
    main()
