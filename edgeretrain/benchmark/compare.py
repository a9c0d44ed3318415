"""The regression gate: is a new benchmark worse than an old one by more than the measurements' own noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeretrain.benchmark.decision import SIGNIFICANT
from edgeretrain.benchmark.result import Benchmark, Cell, Noise, paired_p
from edgeretrain.benchmark.timing import Timing
from edgeretrain.stats import Z95, quantile, ratio_interval

FASTEST = 0.1
"""Share of the runs that other work on the machine leaves alone, unless it takes all cores all the time."""


@dataclass(frozen=True)
class Change:
    """One figure of one model, old and new."""

    cell: str
    what: str
    """`latency, 2 threads`, `size`, `top-1`."""
    old: float
    new: float
    unit: str
    low: float
    """Bounds of the 95 % interval of new / old (for top-1: of new - old), noise floor included."""
    high: float
    worse: bool
    """Whether the gate fires."""
    text: str
    """The same in words."""


@dataclass(frozen=True)
class Comparison:
    """All changes, and what could not be compared."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """Return what the gate fires on; empty means pass."""
        return tuple(change for change in self.changes if change.worse)


def compare(
    old: Benchmark,
    new: Benchmark,
    *,
    fail_if_slower: float = 0.05,
    fail_if_larger: float = 0.05,
    fail_if_less_accurate: float = 0.0,
) -> Comparison:
    """Compare two benchmarks model by model (by name).

    A latency is worse when the whole interval of new / old lies above 1 + `fail_if_slower`. The interval is that of the
    bootstrap, widened by both noise floors and, when the new run's reference work was slower too, by as much: then
    the machine was slower. The fastest tenth of the runs must have become slower by as much: other work on the machine
    interrupts some runs, a slower model has no fast ones.

    A size is exact: worse when it grew by more than `fail_if_larger`. Accuracy is worse when it fell by more than
    `fail_if_less_accurate` (a share of the photos) and McNemar's exact test on the same photos, or without them the
    interval of the difference, excludes chance. Latencies of different computers are never compared.
    """
    notes: list[str] = []
    same_host = (old.host.cpu, old.host.threads) == (new.host.cpu, new.host.threads)
    if not same_host:
        notes.append(
            f"latencies not compared: measured on different computers ({old.host.cpu} with {old.host.threads} threads, "
            f"{new.host.cpu} with {new.host.threads})"
        )
    before = {cell.name: cell for cell in old.cells}
    after = {cell.name: cell for cell in new.cells}
    notes += [f"{name}: only in the old results" for name in before if name not in after]
    notes += [f"{name}: only in the new results" for name in after if name not in before]
    changes: list[Change] = []
    for name, cell in after.items():
        if name not in before:
            continue
        if same_host:
            changes += _latencies(before[name], cell, old, new, fail_if_slower)
        changes.append(_size(before[name], cell, fail_if_larger))
        changes += _accuracy(before[name], cell, fail_if_less_accurate)
    return Comparison(tuple(changes), tuple(notes))


def _latencies(old: Cell, new: Cell, old_run: Benchmark, new_run: Benchmark, limit: float) -> list[Change]:
    changes = []
    for after in new.timings:
        before = old.timing(after.threads)
        if before is None:
            continue
        ratio, low, high = ratio_interval(before.samples_ms(), after.samples_ms())
        noise = _noise(old_run.noise, new_run.noise, after.threads, before, after)
        slower_machine = _machine_ratio(old_run, new_run, after.threads)
        # both are independent errors of the ratio; the machine's speed is a known shift, allowed for one way only
        low = ratio * math.exp(-math.hypot(math.log(ratio / low), noise)) / max(1.0, slower_machine)
        high = ratio * math.exp(math.hypot(math.log(high / ratio), noise)) / min(1.0, slower_machine)
        threads = f"{after.threads} thread{'s' * (after.threads > 1)}"
        text = (
            f"{new.name}, {threads}: p50 {before.p50_ms:.3g} -> {after.p50_ms:.3g} ms, {ratio - 1:+.1%} "
            f"(95 %: {low - 1:+.1%} to {high - 1:+.1%}, limit {limit:+.0%})"
        )
        fastest = quantile(after.samples_ms(), FASTEST) / quantile(before.samples_ms(), FASTEST)
        surely = fastest / math.exp(noise) / max(1.0, slower_machine)
        worse = min(low, surely) > 1 + limit
        changes.append(
            Change(new.name, f"latency, {threads}", before.p50_ms, after.p50_ms, "ms", low, high, worse, text)
        )
    return changes


def _noise(old: Sequence[Noise], new: Sequence[Noise], threads: int, before: Timing, after: Timing) -> float:
    """Return 1.96 times the joint noise of two runs: each one's floor, or the model's own A/A error if larger.

    The copies' difference overstates the error of their pooled median by about two. That is kept, since no A/A test
    within a run sees what differs between runs.
    """
    errors = []
    for sessions, timing in ((old, before), (new, after)):
        floor = next((session.noise_rms for session in sessions if session.threads == threads), 0.0)
        errors.append(max(floor, abs(timing.aa_error)))
    return Z95 * math.hypot(*errors)


def _machine_ratio(old: Benchmark, new: Benchmark, threads: int) -> float:
    """Return how much slower the reference work ran in the new run; 1 where that cannot be said."""
    if old.versions.get("sha256") != new.versions.get("sha256"):
        return 1.0
    before = next((noise.reference_ms for noise in old.noise if noise.threads == threads), 0.0)
    after = next((noise.reference_ms for noise in new.noise if noise.threads == threads), 0.0)
    return after / before if before and after else 1.0


def _size(old: Cell, new: Cell, limit: float) -> Change:
    ratio = new.size_bytes / old.size_bytes if old.size_bytes else 1.0
    text = f"{new.name}: {old.size_bytes:,} -> {new.size_bytes:,} bytes, {ratio - 1:+.1%} (limit {limit:+.0%})"
    return Change(
        new.name, "size", old.size_bytes, new.size_bytes, "bytes", ratio, ratio, ratio > 1 + limit + 1e-12, text
    )


def _accuracy(old: Cell, new: Cell, limit: float) -> list[Change]:
    before, after = old.accuracy, new.accuracy
    if before is None or after is None or not before.n or not after.n:
        return []
    change = after.top1 - before.top1
    # Newcombe 1998, method 10: the difference's interval from the two Wilson intervals
    low = change - math.hypot(after.top1 - after.low, before.high - before.top1)
    high = change + math.hypot(after.high - after.top1, before.top1 - before.low)
    p = paired_p(before, after)
    sure = p < SIGNIFICANT if p is not None else high < 0
    how = f"McNemar p = {p:.2g}" if p is not None else f"95 %: {100 * low:+.1f} to {100 * high:+.1f} points"
    text = (
        f"{new.name}: top-1 {before.top1:.1%} -> {after.top1:.1%}, {100 * change:+.1f} points "
        f"({how}, limit {-100 * limit:+.1f})"
    )
    worse = sure and change < -limit
    return [Change(new.name, "top-1", before.top1, after.top1, "share", low, high, worse, text)]
