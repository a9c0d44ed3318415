"""Does the regression gate fire when it should, and only then? And how large is the A/A error beside another process?

    python benchmarks/gate.py

The starter 050/160 is measured 21 times; each run is compared with the one before (20 tries, limit 5 %). Then a model that
is about 14 % slower (075/128 against 025/224) takes its place 10 times. All of it once on a quiet machine and once beside
another busy process. Prints how often the gate fired and the A/A errors.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import machine

from edgeretrain.benchmark.compare import compare
from edgeretrain.benchmark.run import Subject, run_benchmark
from edgeretrain.benchmark.timing import Plan
from edgeretrain.grid import CellJob, build_cell
from edgeretrain.modules.starter import load_starter
from edgeretrain.spec import ModelSpec, TrainSpec

BUSY = "while True: pass"


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        paths = {
            spec.name: build_cell(CellJob(load_starter(spec), None, TrainSpec(), Path(name)))[0].path
            for spec in (ModelSpec("050", 160), ModelSpec("025", 224), ModelSpec("075", 128))
        }

        def measured(cell: str):
            return run_benchmark([Subject(paths[f"mobilenet_v1_{cell}"], "m")], Plan())

        for label, busy in (("quiet machine", False), ("beside a busy process", True)):
            other = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
            try:
                runs = [measured("050_160") for _ in range(21)]
                same = [bool(compare(a, b).worse) for a, b in itertools.pairwise(runs)]
                slower = [bool(compare(measured("025_224"), measured("075_128")).worse) for _ in range(10)]
            finally:
                if other:
                    other.kill()
            errors = [run.noise[0].noise_rms for run in runs]
            below = sum(error < 0.01 for error in errors)
            medians = [run.cells[0].p50_ms for run in runs]
            print(
                f"{label}: fired {sum(same)} of {len(same)} times on the same model, {sum(slower)} of {len(slower)} on the "
                f"slower one; A/A error {min(errors):.2%} to {max(errors):.2%} rms, below 1 % in {below} of {len(errors)} "
                f"runs; medians {min(medians):.3f} to {max(medians):.3f} ms"
            )


if __name__ == "__main__":
    main()
