"""Made-up benchmark documents for tests: exact, and without a machine's noise unless it is asked for."""

from __future__ import annotations

import random

from edgeretrain.benchmark.host import Host, HostState
from edgeretrain.benchmark.probe import Probe
from edgeretrain.benchmark.result import Accuracy, Benchmark, Cell, Noise
from edgeretrain.benchmark.timing import Block, Plan, Timing, summarize

HOST = Host("Some CPU", "x86_64", 2, 4, 8_000_000_000, "Linux 6", ("avx_vnni",), "performance")


def answers(right: int, wrong: int) -> str:
    return "1" * right + "0" * wrong


def timing(p50_ms: float, *, noise: float = 0.0, seed: int = 0, threads: int = 1, blocks: int = 40) -> Timing:
    """A timing whose blocks vary by `noise` (a share) around `p50_ms`; both copies alike."""
    rng = random.Random(seed)
    found = []
    for n in range(blocks):
        level = p50_ms * (1 + noise * rng.gauss(0, 1))
        found.append(Block(n % 2, 0.1 * n, tuple(level * (1 + noise / 4 * rng.gauss(0, 1)) for _ in range(5))))
    return summarize(found, threads=threads, warmup_runs=20)


def cell(
    name: str = "mobilenet_v1_050_160",
    p50_ms: float | None = 2.0,
    *,
    size_bytes: int = 900_000,
    correct: str = "",
    noise: float = 0.0,
    seed: int = 0,
    threads: tuple[int, ...] = (1,),
) -> Cell:
    parts = name.split("_")
    grid = len(parts) == 4
    return Cell(
        name=name,
        path=f"models/{name}.tflite",
        size_bytes=size_bytes,
        sha256="00" * 32,
        width=parts[2] if grid else None,
        res=int(parts[3]) if grid else 224,
        probes=tuple(
            Probe(count, (1, 160, 160, 3), "uint8", (1, 5), "uint8", 3.0, 2.5, 50_000_000, 10_000_000, 31, 31, ())
            for count in threads
        ),
        timings=tuple(timing(p50_ms / count, noise=noise, seed=seed + count, threads=count) for count in threads)
        if p50_ms is not None
        else (),
        accuracy=Accuracy.of_answers(correct, "flowers") if correct else None,
    )


def document(*cells: Cell, noise_rms: float = 0.003, reference_ms: float = 0.09, **changes: object) -> Benchmark:
    threads = sorted({t.threads for found in cells for t in found.timings}) or [1]
    values: dict[str, object] = {
        "created": "2026-11-24T10:00:00+00:00",
        "command": "edgeretrain benchmark a.tflite",
        "versions": {"edgeretrain": "0.1.0", "sha256": "OpenSSL 3.0"},
        "host": HOST,
        "before": HostState(0.5, 2400.0),
        "after": HostState(None, None),
        "plan": Plan(),
        "note": "What int8 means here.",
        "noise": tuple(Noise(count, noise_rms, reference_ms, 4.0, 0.1) for count in threads),
        "cells": cells,
    }
    return Benchmark(**{**values, **changes})  # type: ignore[arg-type]
