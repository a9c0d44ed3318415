"""The benchmark's main figures as one PNG, for papers and slides. Needs the extra `edgeretrain[png]` (matplotlib)."""

from __future__ import annotations

import importlib.util
import io

from edgeretrain.benchmark.decision import pareto_front
from edgeretrain.benchmark.result import Benchmark
from edgeretrain.errors import EnvironmentFailure


def check_png() -> None:
    """Raise EnvironmentFailure if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise EnvironmentFailure("--png needs matplotlib: pip install 'edgeretrain[png]'")


def render_png(document: Benchmark) -> bytes:
    """Latency against accuracy (or size, where there is no accuracy) with 95 % intervals; the Pareto front is named."""
    from matplotlib.figure import Figure

    rated = any(cell.accuracy for cell in document.cells)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    front = {cell.name for cell in pareto_front(document.cells)}
    for cell in document.cells:
        timing = cell.timing()
        if timing is None or (rated and cell.accuracy is None):
            continue
        x = timing.p50_ms
        y = 100 * cell.accuracy.top1 if cell.accuracy else cell.size_bytes / 1000
        below, above = (y - 100 * cell.accuracy.low, 100 * cell.accuracy.high - y) if cell.accuracy else (0.0, 0.0)
        axes.errorbar(
            x,
            y,
            xerr=[[max(x - timing.low_ms, 0)], [max(timing.high_ms - x, 0)]],
            yerr=[[max(below, 0)], [max(above, 0)]],
            marker="o",
            color="#1f5a9e" if cell.name in front else "#9aa5b1",
            linewidth=1,
        )
        if cell.name in front:
            axes.annotate(cell.name.removeprefix("mobilenet_v1_"), (x, y), xytext=(5, 5), textcoords="offset points")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel(f"p50 latency in ms, {document.plan.threads[0]} thread(s), {document.host.cpu}")
    axes.set_ylabel("top-1 in %, 95 % interval" if rated else "size in kB")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
