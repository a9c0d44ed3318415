"""The timing method: models measured side by side, so that whatever disturbs the machine disturbs all of them alike.

Every model is loaded twice and all copies stay resident. After each copy is warm, short blocks of runs of all copies
alternate in random order until each has its minimum of runs and of seconds. The two copies of a model are the same
thing, so the difference of their medians is the error of the measurement itself (an A/A test); the samples of both
count. Thread counts are measured one after another: an idle thread pool spins for a while and would steal time from
the next model.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeretrain.benchmark.host import CpuShare
from edgeretrain.benchmark.probe import one_line, random_input
from edgeretrain.errors import DataError, UsageError
from edgeretrain.stats import median_interval, quantile, rms, verdict

WARM_WINDOWS = 2
"""A copy is warm when this many windows in a row bring no new best."""
WARM_GAIN = 0.02
"""A new best is a window at least this share faster than every one before."""


@dataclass(frozen=True)
class Plan:
    """How long and in what order to measure."""

    threads: tuple[int, ...] = (1,)
    seed: int = 0
    block_runs: int = 5
    """Consecutive counted runs of one copy; one more run before them, uncounted, refills the caches."""
    rounds: int = 20
    """The session is cut into this many stretches of time; each copy's blocks are spread evenly over them."""
    min_runs: int = 200
    min_seconds: float = 1.0
    max_seconds: float = 20.0
    """Per model and thread count; beats `min_runs` for models so slow that these would take longer."""
    warmup_seconds: float = 3.0
    """A copy that is not warm after this long is measured anyway, and said to be cold."""

    def __post_init__(self) -> None:
        if not self.threads or min(self.threads) < 1 or max(self.threads) > 256:
            raise UsageError(
                f"threads must be numbers from 1 to 256, not {', '.join(map(str, self.threads)) or 'none'}"
            )
        for name in ("block_runs", "rounds", "min_runs", "min_seconds", "max_seconds"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class Block:
    """Consecutive runs of one copy of a model."""

    copy: int
    """0 or 1."""
    at_s: float
    """When the block began, in seconds since the session's first block."""
    runs_ms: tuple[float, ...]


@dataclass(frozen=True)
class Timing:
    """One model's inference time with `threads` threads, input copy and preprocessing not included."""

    threads: int
    p50_ms: float
    low_ms: float
    """Lower bound of the median's 95 % bootstrap interval (blocks resampled)."""
    high_ms: float
    p90_ms: float
    p99_ms: float
    runs: int
    seconds: float
    """Sum of all counted runs."""
    aa_error: float
    """Difference of the two copies' medians as a share of their mean; positive when copy 1 is slower."""
    warmup_runs: int
    warm: bool
    """Whether warm-up ended by detection and not by its time limit."""
    verdict: str
    """`stable` or `noisy`."""
    blocks: tuple[Block, ...]
    """The raw samples in the order they were taken."""

    def samples_ms(self) -> list[tuple[float, ...]]:
        """Return the runs of all blocks, block by block."""
        return [block.runs_ms for block in self.blocks]


@dataclass(frozen=True)
class Session:
    """All models measured with one number of threads."""

    threads: int
    timings: tuple[Timing, ...]
    """In the order of the models."""
    noise_rms: float
    """Root mean square of the A/A errors of all models: the noise floor, as a share."""
    reference: Timing
    """A fixed piece of work timed between the models' blocks, `reference_work`: how fast the machine was meanwhile."""
    seconds: float
    other_cpu: float
    """Share of all cores (0 to 1) that other processes used meanwhile."""


def measure(
    models: Sequence[Path], threads: int, plan: Plan, *, progress: Callable[[int], None] = lambda runs: None
) -> Session:
    """Time one inference of each .tflite in `models`, all with `threads` threads.

    Try each file with `probe` first: a hostile one can end this process. `progress(n)` is told of every n counted runs.
    Raises DataError when LiteRT refuses a file.
    """
    copies = [_load(path, threads, plan.seed) for path in models for _ in range(2)]
    subjects = [*copies, reference_work, reference_work]
    usage = CpuShare()
    start = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()  # a collection would count as somebody's inference
    try:
        warmups = [_warm_up(run, plan) for run in subjects]
        blocks = _collect(subjects, [warmup.run_s for warmup in warmups], plan, progress)
    finally:
        if collecting:
            gc.enable()
    timings = [
        summarize(
            [Block(copy, *block) for copy in (0, 1) for block in blocks[first + copy]],
            threads=threads,
            warmup_runs=warmups[first].runs + warmups[first + 1].runs,
            warm=warmups[first].warm and warmups[first + 1].warm,
        )
        for first in range(0, len(subjects), 2)
    ]
    *of_models, reference = timings
    return Session(
        threads=threads,
        timings=tuple(of_models),
        noise_rms=rms([timing.aa_error for timing in of_models]),
        reference=reference,
        seconds=time.perf_counter() - start,
        other_cpu=usage.of_others(),
    )


def summarize(blocks: Sequence[Block], *, threads: int, warmup_runs: int = 0, warm: bool = True) -> Timing:
    """Return the figures of one model from the blocks of its two copies."""
    ordered = sorted(blocks, key=lambda block: block.at_s)
    samples = [block.runs_ms for block in ordered]
    p50, low, high = median_interval(samples)
    by_copy = [[run for block in ordered if block.copy == copy for run in block.runs_ms] for copy in (0, 1)]
    halves = [statistics.median(runs) for runs in by_copy if runs]
    aa_error = (halves[1] - halves[0]) / statistics.mean(halves) if len(halves) == 2 else 0.0
    return Timing(
        threads=threads,
        p50_ms=p50,
        low_ms=low,
        high_ms=high,
        p90_ms=quantile(samples, 0.9),
        p99_ms=quantile(samples, 0.99),
        runs=sum(map(len, samples)),
        seconds=sum(map(sum, samples)) / 1e3,
        aa_error=aa_error,
        warmup_runs=warmup_runs,
        warm=warm,
        verdict=verdict(p50, low, high, aa_error),
        blocks=tuple(ordered),
    )


def blocks_wanted(run_s: float, plan: Plan) -> int:
    """Return how many blocks one copy needs when a run takes `run_s` seconds: even counts of both copies together."""
    runs = max(plan.min_runs, plan.min_seconds / max(run_s, 1e-7))
    runs = min(runs, max(plan.max_seconds / max(run_s, 1e-7), 4 * plan.block_runs))
    return max(2, -(-int(runs) // (2 * plan.block_runs)))


def schedule(wanted: Sequence[int], rounds: int, rng: random.Random) -> list[int]:
    """Return the order of blocks: index i appears `wanted[i]` times, spread evenly over `rounds`, shuffled in each."""
    order: list[int] = []
    for turn in range(rounds):
        part = [
            index
            for index, count in enumerate(wanted)
            for _ in range((turn + 1) * count // rounds - turn * count // rounds)
        ]
        rng.shuffle(part)
        order.extend(part)
    return order


def is_warm(windows: Sequence[float]) -> bool:
    """Return whether the medians of successive windows of runs have stopped falling."""
    if len(windows) <= WARM_WINDOWS:
        return False
    return min(windows[-WARM_WINDOWS:]) >= (1 - WARM_GAIN) * min(windows[:-WARM_WINDOWS])


_REFERENCE_BYTES = bytes(1 << 17)


def reference_work() -> None:
    """Hash 128 KiB: one core, no memory traffic, one long chain of dependent operations, so a measure of its clock."""
    import hashlib

    hashlib.sha256(_REFERENCE_BYTES).digest()


@dataclass(frozen=True)
class _WarmUp:
    runs: int
    warm: bool
    run_s: float


def _warm_up(run: Callable[[], None], plan: Plan) -> _WarmUp:
    windows: list[float] = []
    runs, start = 0, time.perf_counter()
    while True:
        windows.append(statistics.median(_timed(run, plan.block_runs)) / 1e3)
        runs += plan.block_runs
        if is_warm(windows):
            return _WarmUp(runs, True, windows[-1])
        if time.perf_counter() - start > plan.warmup_seconds:
            return _WarmUp(runs, False, windows[-1])


def _collect(
    subjects: Sequence[Callable[[], None]], run_s: Sequence[float], plan: Plan, progress: Callable[[int], None]
) -> list[list[tuple[float, tuple[float, ...]]]]:
    """Run the schedule; return (start in seconds, runs in ms) of every block of every subject."""
    rng = random.Random(plan.seed)
    blocks: list[list[tuple[float, tuple[float, ...]]]] = [[] for _ in subjects]
    estimate = list(run_s)
    origin = time.perf_counter()
    while True:
        # a first estimate can be off: whoever is short of the minimum gets the rest in another pass
        wanted = [blocks_wanted(run, plan) - len(done) for run, done in zip(estimate, blocks, strict=True)]
        if max(wanted) <= 0:
            return blocks
        for index in schedule([max(0, count) for count in wanted], plan.rounds, rng):
            run = subjects[index]
            run()
            at_s = time.perf_counter() - origin
            blocks[index].append((at_s, _timed(run, plan.block_runs)))
            progress(plan.block_runs)
        estimate = [statistics.mean(run for _, block in done for run in block) / 1e3 for done in blocks]


def _timed(run: Callable[[], None], count: int) -> tuple[float, ...]:
    """Return the wall time of `count` calls in milliseconds."""
    clock = time.perf_counter_ns
    times = []
    for _ in range(count):
        start = clock()
        run()
        times.append((clock() - start) / 1e6)
    return tuple(times)


def _load(path: Path, threads: int, seed: int) -> Callable[[], None]:
    """Return a call that runs one inference of the model at `path` on a fixed random picture."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        detail = interpreter.get_input_details()[0]
        shape = tuple(int(n) for n in detail["shape"])
        interpreter.set_tensor(detail["index"], random_input(shape, np.dtype(detail["dtype"]).name, seed))
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{path}: LiteRT refuses it: {one_line(error)}") from error
    run: Callable[[], None] = interpreter.invoke
    return run
