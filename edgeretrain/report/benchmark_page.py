"""The benchmark's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgeretrain.benchmark.compare import Change, Comparison
from edgeretrain.benchmark.result import Benchmark, Cell, Phone
from edgeretrain.benchmark.tables import RIGHT, accuracy_text, latency_rows, phone_rows, phone_title
from edgeretrain.report.axes import number, percent
from edgeretrain.report.charts import Point, heat_map, histogram, scatter
from edgeretrain.report.page import render
from edgeretrain.spec import RESOLUTIONS, WIDTHS

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_HISTOGRAMS = 48
"""Keeps the page small: three thread counts of the whole grid."""


def render_benchmark(document: Benchmark, comparison: Comparison | None = None) -> str:
    """Return the benchmark as one HTML page that needs no script, no network and no other file."""
    cells = document.cells
    headers, rows = latency_rows(document)
    left = sorted({op for cell in cells for probe in cell.probes for op in probe.left_ops})
    timed = [(cell, timing) for cell in cells for timing in cell.timings]
    published = any(cell.published_top1 is not None for cell in cells)
    accuracy_headers, accuracy_rows = _accuracy(cells)
    return render(
        "benchmark.html",
        title=f"Benchmark of {len(cells)} model{'s' * (len(cells) != 1)}",
        host=_host(document),
        created=document.created.replace("T", " "),
        choice=document.choice,
        tiles=_tiles(document),
        note=document.note,
        failures=[failure.reason for failure in document.failures],
        comparison=_comparison(comparison) if comparison else None,
        **_scatter(document),
        heat_maps=_heat_maps(cells),
        headers=headers,
        rows=rows,
        right=(*RIGHT, 10) if len(headers) > 11 else RIGHT,
        left=", ".join(left),
        accuracy_headers=accuracy_headers,
        accuracy_rows=accuracy_rows,
        published=published,
        histograms=[
            (
                f"{cell.name}, {timing.threads} thread{'s' * (timing.threads > 1)}",
                _svg(histogram(_flat(timing.samples_ms()), interval=(timing.p50_ms, timing.low_ms, timing.high_ms))),
            )
            for cell, timing in timed[:MOST_HISTOGRAMS]
        ],
        more_histograms=max(0, len(timed) - MOST_HISTOGRAMS),
        phones=[_phone(phone) for phone in document.phones],
        preprocessing=[
            [
                f"{p.res} px",
                f"{p.decode_p50_ms:.2f}",
                f"{p.resize_p50_ms:.2f}",
                f"{p.total_p90_ms:.2f}",
                p.photos,
                p.source,
            ]
            for p in document.preprocessing
        ],
        plan=document.plan,
        method=_method(document),
    )


def _svg(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # charts escape every text they are given


def _flat(blocks: list[tuple[float, ...]]) -> list[float]:
    return [run for block in blocks for run in block]


def _host(document: Benchmark) -> str:
    host = document.host
    return f"{host.cpu}, {host.cores} core{'s' * (host.cores > 1)}, {host.system}"


def _tiles(document: Benchmark) -> list[dict[str, str]]:
    timed = [cell for cell in document.cells if cell.p50_ms is not None]
    tiles = []
    if timed:
        fastest = min(timed, key=lambda cell: cell.p50_ms or 0.0)
        tiles.append({"label": "Fastest", "value": f"{fastest.p50_ms:.3g} ms", "note": _short(fastest)})
        smallest = min(timed, key=lambda cell: cell.size_bytes)
        tiles.append({"label": "Smallest", "value": f"{smallest.size_bytes / 1000:,.0f} kB", "note": _short(smallest)})
    rated = [cell for cell in timed if cell.accuracy]
    if rated:
        best = max(rated, key=lambda cell: cell.accuracy.top1 if cell.accuracy else 0.0)
        if best.accuracy:
            tiles.append({"label": "Most accurate", "value": percent(best.accuracy.top1), "note": _short(best)})
    if document.noise:
        worst = max(document.noise, key=lambda noise: noise.noise_rms)
        text = "same model against itself, rms"
        tiles.append({"label": "Noise floor", "value": f"{worst.noise_rms:.2%}".replace("%", " %"), "note": text})
    noisy = sum(timing.verdict != "stable" for cell in timed for timing in cell.timings)
    total = sum(len(cell.timings) for cell in timed)
    if total:
        tiles.append({"label": "Stable", "value": f"{total - noisy} of {total}", "note": "interval and A/A below 2 %"})
    return tiles


def _scatter(document: Benchmark) -> dict[str, Any]:
    """Return the Pareto plot: accuracy over latency, or without accuracies size over latency."""
    timed = [(cell, timing) for cell in document.cells if (timing := cell.timing())]
    if len(timed) < 2:
        return {"scatter": None}
    rated = all(cell.accuracy for cell, _ in timed)
    widths = sorted({cell.width for cell, _ in timed if cell.width})
    points = []
    for cell, timing in timed:
        accuracy = cell.accuracy
        size = cell.size_bytes / 1000
        y = (accuracy.top1, accuracy.low, accuracy.high) if rated and accuracy else (size, size, size)
        facts = [f"{timing.p50_ms:.3g} ms ({timing.low_ms:.3g} to {timing.high_ms:.3g})", f"{size:,.0f} kB"]
        points.append(
            Point(
                name=_short(cell),
                x=(timing.p50_ms, timing.low_ms, timing.high_ms),
                y=y,
                group=widths.index(cell.width) if cell.width in widths else 0,
                front=cell.name in document.pareto,
                note=", ".join([*facts, *([accuracy_text(accuracy)] if accuracy else [])]),
            )
        )
    threads = timed[0][1].threads
    what = "Accuracy" if rated else "Size"
    return {
        "scatter_title": f"{what} against latency",
        "scatter_note": "Filled points are the Pareto front: no other model is at least as good in latency, size"
        + (" and accuracy." if rated else ".")
        + " Bars are 95 % intervals.",
        "scatter": _svg(
            scatter(
                points,
                x_label=f"p50 latency in ms, {threads} thread{'s' * (threads > 1)}",
                y_label="top-1" if rated else "kB",
                groups=[f"width {width}" for width in widths] if len(widths) > 1 else (),
                y_percent=rated,
                up=rated,
                title=f"{what} against latency",
            )
        ),
    }


def _heat_maps(cells: tuple[Cell, ...]) -> list[tuple[str, Markup]]:
    """Return the maps over widths and resolutions; none unless two of each were measured and half of the cells."""
    grid = {(cell.width, cell.res): cell for cell in reversed(cells) if cell.width and cell.kind != "float32"}
    widths = [width for width in WIDTHS if any(key[0] == width for key in grid)]
    resolutions = [res for res in RESOLUTIONS if any(key[1] == res for key in grid)]
    if len(widths) < 2 or len(resolutions) < 2 or 2 * len(grid) < len(widths) * len(resolutions):
        return []

    def chart(name: str, value: Callable[[Cell], float | None], show: Callable[[float], str]) -> tuple[str, Markup]:
        values = [[value(grid[w, r]) if (w, r) in grid else None for r in resolutions] for w in widths]
        columns = [f"{res} px" for res in resolutions]
        return name, _svg(
            heat_map(widths, columns, values, row_title="width", column_title="resolution", show=show, title=name)
        )

    maps = [
        chart("p50 latency in ms", lambda cell: cell.p50_ms, number),
        chart("Size in kB", lambda cell: cell.size_bytes / 1000, number),
    ]
    if any(cell.accuracy for cell in grid.values()):
        maps.append(chart("Top-1 accuracy", lambda cell: cell.accuracy.top1 if cell.accuracy else None, percent))
    return maps


def _accuracy(cells: tuple[Cell, ...]) -> tuple[list[str], list[list[str]]]:
    """Return the accuracy table, best first; columns that no model has are left out."""

    def share(value: float | None) -> str:
        return "-" if value is None else percent(value)

    rows = []
    rated = sorted((cell for cell in cells if cell.accuracy), key=lambda cell: -_top1(cell))
    for cell in rated:
        a = cell.accuracy
        if a is None:
            continue
        worst = f"{a.worst_class} {share(a.worst_recall)}" if a.worst_class else "-"
        p = "best" if cell is rated[0] else "-" if a.p_vs_best is None else f"{a.p_vs_best:.2g}"
        other = [share(a.head_top1), share(a.instrumented_top1), share(a.agreement), worst, p]
        rows.append([cell.name, accuracy_text(a), f"{a.n:,}", *other, share(cell.published_top1)])
    headers = ["model", ".tflite (95 %)", "N", "head", "instrumented", "agreement", "worst class", "p", "ImageNet"]
    kept = [i for i in range(len(headers)) if i < 3 or any(row[i] != "-" for row in rows)]
    return [headers[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """Return one row for each model, one column for each kind of change."""
    cells = list(dict.fromkeys(change.cell for change in comparison.changes))
    kinds = list(dict.fromkeys(change.what for change in comparison.changes))
    found = {(change.cell, change.what): _change(change) for change in comparison.changes}
    return {
        "worse": [change.text for change in comparison.worse],
        "headers": ["model", *kinds],
        "rows": [[cell, *(found.get((cell, kind), "-") for kind in kinds)] for cell in cells],
        "notes": comparison.notes,
    }


def _phone(phone: Phone) -> dict[str, Any]:
    headers, rows = phone_rows(phone)
    facts = phone_title(phone)
    failures = [f"{failure.path}: {failure.reason}" for failure in phone.failures]
    return {
        "title": f"On a device: {phone.model}",
        "facts": f"{facts}. Measured by TensorFlow's benchmark_model; nothing here comes from this computer.",
        "headers": headers,
        "rows": rows,
        "problem": phone.problem,
        "failures": failures,
    }


def _method(document: Benchmark) -> list[tuple[str, str]]:
    host = document.host
    features = "not told by this system" if host.dot_product is None else ", ".join(host.dot_product) or "none"
    pairs = [("Command", document.command), ("Processor", f"{host.cpu} ({host.architecture})")]
    pairs += [("int8 instructions", features), ("Memory", f"{host.memory_bytes / 1e9:.1f} GB")]
    pairs += [("Governor", host.governor or "not told by this system")]
    for name, state in (("Before", document.before), ("After", document.after)):
        load = "-" if state.load_1min is None else f"{state.load_1min:g}"
        pairs.append((name, f"load {load}" + (f", {state.clock_mhz:,.0f} MHz" if state.clock_mhz else "")))
    for noise in document.noise:
        pairs.append(
            (
                f"{noise.threads} thread{'s' * (noise.threads > 1)}",
                f"A/A error {noise.noise_rms:.2%} rms; {noise.seconds:.0f} s; other processes used "
                f"{noise.other_cpu:.0%} of the machine; reference work {noise.reference_ms:.4f} ms",
            )
        )
    pairs.append(("Seed", str(document.plan.seed)))
    pairs.append(("Versions", ", ".join(f"{name} {version}" for name, version in document.versions.items())))
    return pairs


def _change(change: Change) -> str:
    if change.unit == "share":
        return f"{100 * (change.new - change.old):+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f}) points"
    text = f"{100 * (change.new / change.old - 1):+.1f} %"
    return (
        text
        if change.low == change.high
        else f"{text} ({100 * change.low - 100:+.1f} to {100 * change.high - 100:+.1f})"
    )


def _short(cell: Cell) -> str:
    return cell.name.removeprefix("mobilenet_v1_")


def _top1(cell: Cell) -> float:
    return cell.accuracy.top1 if cell.accuracy else 0.0
