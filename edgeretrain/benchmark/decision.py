"""Which model to take: what no other beats, and the best one within given limits."""

from __future__ import annotations

from collections.abc import Sequence

from edgeretrain.benchmark.result import Cell, Choice, paired_p

SIGNIFICANT = 0.05


def pareto_front(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that no other beats: none is at least as fast, as small and as accurate, and better in one.

    Cells without a latency are left out. Accuracy counts only when all the others have one too.
    """
    timed = [cell for cell in cells if cell.p50_ms is not None]
    rated = all(cell.accuracy for cell in timed)
    costs = [_costs(cell, rated) for cell in timed]
    return [
        cell
        for cell, own in zip(timed, costs, strict=True)
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in costs)
    ]


def recommend(
    cells: Sequence[Cell],
    *,
    max_ms: float | None = None,
    max_kb: float | None = None,
    min_top1: float | None = None,
) -> Choice:
    """Return the cell to take within the limits (ms of p50, kB of 1,000 bytes, share of right answers), and why.

    The limits are met by interval bounds where there are intervals: the upper one for latency, the lower one for
    accuracy. Of the cells that qualify the most accurate wins; without accuracies the largest network that fits, since
    on one data set a larger one is the better guess. A cell that McNemar's test does not find worse and that is faster
    is named in the reason. When none qualifies, `nearest` is the one that misses its limits by the smallest factor.
    """
    usable = [cell for cell in cells if cell.p50_ms is not None]
    limits = {"max_ms": max_ms, "max_kb": max_kb, "min_top1": min_top1}
    if not usable:
        return Choice(**limits, cell=None, nearest=None, reason="No model was measured.")
    if min_top1 is not None and not any(cell.accuracy for cell in usable):
        reason = "No accuracy was measured, so none can be required: add --image-dir."
        return Choice(**limits, cell=None, nearest=None, reason=reason)
    misses = {id(cell): _misses(cell, max_ms, max_kb, min_top1) for cell in usable}
    fitting = [cell for cell in usable if not misses[id(cell)]]
    if not fitting:
        nearest = min(usable, key=lambda cell: max(factor for factor, _ in misses[id(cell)]))
        wrong = " and ".join(text for _, text in misses[id(nearest)])
        return Choice(**limits, cell=None, nearest=nearest.name, reason=f"None qualifies; {nearest.name}: {wrong}.")
    within = _limits_text(max_ms, max_kb, min_top1)
    if any(cell.accuracy for cell in fitting):
        best = max(fitting, key=lambda cell: (cell.accuracy.top1 if cell.accuracy else -1.0, -(cell.p50_ms or 0)))
        reason = f"{best.name} is the most accurate{within}: {_facts(best)}."
        rival = _equal_but_faster(best, fitting)
        if rival:
            reason += f" {rival.name} is not significantly less accurate and faster: {_facts(rival)}."
    else:
        best = max(fitting, key=lambda cell: (cell.p50_ms or 0.0, cell.size_bytes))
        reason = f"{best.name} is the largest network{within}: {_facts(best)}. Accuracy was not measured."
    return Choice(**limits, cell=best.name, nearest=None, reason=reason)


def _costs(cell: Cell, rated: bool) -> tuple[float, ...]:
    accuracy = -cell.accuracy.top1 if rated and cell.accuracy else 0.0
    # whole kB: the contracts of two files of one network differ by a few bytes, which is no reason to prefer one
    return cell.p50_ms or 0.0, float(round(cell.size_bytes / 1000)), accuracy


def _misses(cell: Cell, max_ms: float | None, max_kb: float | None, min_top1: float | None) -> list[tuple[float, str]]:
    """Return, for each limit that is not met, by what factor and in words."""
    found = []
    timing = cell.timing()
    if max_ms is not None and timing and timing.high_ms > max_ms:
        text = f"p50 {timing.p50_ms:.3g} ms (up to {timing.high_ms:.3g}), limit {max_ms:g} ms"
        found.append((timing.high_ms / max_ms, text))
    if max_kb is not None and cell.size_bytes > max_kb * 1000:
        found.append((cell.size_bytes / (max_kb * 1000), f"{cell.size_bytes / 1000:.0f} kB, limit {max_kb:g} kB"))
    if min_top1 is not None:
        if cell.accuracy is None:
            found.append((float("inf"), "accuracy not measured"))
        elif cell.accuracy.low < min_top1:
            text = f"top-1 {cell.accuracy.top1:.1%} (surely {cell.accuracy.low:.1%}), limit {min_top1:.1%}"
            found.append((min_top1 / max(cell.accuracy.low, 1e-9), text))
    return found


def _equal_but_faster(best: Cell, fitting: Sequence[Cell]) -> Cell | None:
    """Return the fastest cell that is not significantly worse than `best` on the same photos."""
    equals = []
    for cell in fitting:
        if cell is best or not cell.accuracy or not best.accuracy:
            continue
        p = paired_p(best.accuracy, cell.accuracy)
        if p is not None and p >= SIGNIFICANT and (cell.p50_ms or 0) < (best.p50_ms or 0):
            equals.append(cell)
    return min(equals, key=lambda cell: cell.p50_ms or 0.0, default=None)


def _facts(cell: Cell) -> str:
    parts = [f"{cell.p50_ms:.3g} ms", f"{cell.size_bytes / 1000:.0f} kB"]
    if cell.accuracy:
        a = cell.accuracy
        parts.append(f"top-1 {a.top1:.1%} ({a.low:.1%} to {a.high:.1%}, N = {a.n:,})")
    return ", ".join(parts)


def _limits_text(max_ms: float | None, max_kb: float | None, min_top1: float | None) -> str:
    parts = []
    if max_ms is not None:
        parts.append(f"at most {max_ms:g} ms")
    if max_kb is not None:
        parts.append(f"at most {max_kb:g} kB")
    if min_top1 is not None:
        parts.append(f"surely at least {min_top1:.1%} top-1")
    return f" with {', '.join(parts)}" if parts else ""
