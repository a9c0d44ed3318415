"""A benchmark as rows: the console's table, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from edgeretrain.benchmark.result import Accuracy, Benchmark, Cell, Phone
from edgeretrain.benchmark.timing import Timing

HEADERS = ("model", "threads", "p50 ms", "95 % interval", "p90", "p99", "kB", "init ms", "peak MB", "XNNPACK", "")
RIGHT = tuple(range(1, 10))
"""Which of `HEADERS` are numbers."""


def latency_rows(document: Benchmark) -> tuple[list[str], list[list[str]]]:
    """Return the headers and rows of the main table: one row for each model and number of threads, fastest first.

    With accuracies there is a column for them before the verdict.
    """
    rated = any(cell.accuracy for cell in document.cells)
    headers = [*HEADERS[:-1], *(["top-1 (95 %)"] if rated else []), HEADERS[-1]]
    rows = []
    for cell in sorted(document.cells, key=lambda cell: cell.p50_ms or 0.0):
        for timing in cell.timings:
            row = [cell.name, *_timing_columns(cell, timing)]
            rows.append([*row, *([accuracy_text(cell.accuracy)] if rated else []), _verdict(timing)])
    return headers, rows


def accuracy_text(accuracy: Accuracy | None) -> str:
    """Return `92.3 % (88.1 to 95.1)`, or a dash."""
    if accuracy is None:
        return "-"
    return f"{100 * accuracy.top1:.1f} % ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})"


def noise_lines(document: Benchmark) -> list[str]:
    """Return, for each number of threads, one sentence on how sure the figures are."""
    return [
        f"Noise floor with {noise.threads} thread{'s' * (noise.threads > 1)}: {noise.noise_rms:.2%} rms "
        f"(every model loaded twice and measured against itself); other processes used {noise.other_cpu:.0%} "
        f"of the machine."
        for noise in document.noise
    ]


def phone_rows(phone: Phone) -> tuple[list[str], list[list[str]]]:
    """Return the headers and rows of a device's table."""
    headers = ["model", "threads", "p50 ms", "rounds", "init ms", "first ms", "memory MB"]
    rows = [
        [
            t.name,
            str(t.threads),
            f"{t.p50_ms:.2f}",
            " ".join(f"{ms:.2f}" for ms in t.rounds_ms),
            f"{t.init_ms:.1f}" if t.init_ms is not None else "-",
            f"{t.first_ms:.1f}" if t.first_ms is not None else "-",
            f"{t.memory_bytes / 1e6:.1f}" if t.memory_bytes is not None else "-",
        ]
        for t in phone.timings
    ]
    return headers, rows


def phone_title(phone: Phone) -> str:
    """Return the line above a device's table."""
    thermal = f"{phone.thermal_before or 'unknown'} before, {phone.thermal_after or 'unknown'} after"
    governor = phone.governor or "unknown"
    return f"On {phone.model} ({phone.soc}, Android {phone.android}); governor {governor}; thermal status {thermal}"


COLUMNS = (
    *("device", "model", "kind", "width", "res", "threads", "p50_ms", "low_ms", "high_ms", "p90_ms", "p99_ms", "runs"),
    *("aa_error", "verdict", "init_ms", "first_ms", "peak_memory_bytes", "size_bytes", "op_count", "delegated_count"),
    *("top1", "top1_low", "top1_high", "n", "head_top1", "instrumented_top1", "agreement", "p_vs_best"),
    "published_top1",
)
"""Columns of the CSV file; named as in benchmark.json."""


def to_csv(document: Benchmark) -> str:
    """Return one line of `COLUMNS` for each model and number of threads, host and devices, with a header line."""
    rows: list[dict[str, object]] = []
    for cell in document.cells:
        accuracy = asdict(cell.accuracy) if cell.accuracy else {}
        intervals = {"top1_low": accuracy.pop("low", None), "top1_high": accuracy.pop("high", None)}
        for timing in cell.timings:
            probe = next((asdict(p) for p in cell.probes if p.threads == timing.threads), {})
            own = {**asdict(cell), "device": document.host.cpu, "model": cell.name}
            rows.append({**own, **accuracy, **intervals, **probe, **asdict(timing)})
    sizes = {cell.name: cell.size_bytes for cell in document.cells}
    for phone in document.phones:
        for figures in phone.timings:
            own = {"device": phone.model, "model": figures.name, "size_bytes": sizes.get(figures.name)}
            rows.append({**asdict(figures), **own, "peak_memory_bytes": figures.memory_bytes})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_csv_value(row.get(column)) for column in COLUMNS] for row in rows)
    return buffer.getvalue()


def to_markdown(document: Benchmark) -> str:
    """Return the tables and the sentences around them as GitHub Markdown."""
    host = document.host
    lines = ["# Benchmark", "", f"{document.created}, {host.cpu}, {host.cores} cores, {host.system}", ""]
    lines += markdown_table(*latency_rows(document), right=RIGHT)
    lines += ["", *noise_lines(document), "", document.note]
    if document.choice:
        lines += ["", f"**{_md(document.choice.reason)}**"]
    if document.preprocessing:
        lines += ["", "## Preprocessing", ""]
        rows = [
            [str(p.res), f"{p.decode_p50_ms:.2f}", f"{p.resize_p50_ms:.2f}", str(p.photos), p.source]
            for p in document.preprocessing
        ]
        lines += markdown_table(["res", "decode ms", "resize ms", "photos", "source"], rows, right=(0, 1, 2, 3))
    for phone in document.phones:
        lines += ["", f"## {_md(phone.model)}", "", _md(phone_title(phone)), ""]
        lines += markdown_table(*phone_rows(phone), right=(1, 2, 3, 4, 5, 6))
        lines += [f"\n{_md(phone.problem)}"] if phone.problem else []
    if document.failures:
        lines += ["", "## Not measured", ""]
        lines += [f"- {_md(failure.reason)}" for failure in document.failures]
    return "\n".join(lines) + "\n"


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a Markdown table, columns `right` aligned right."""
    rule = ["---:" if index in right else "---" for index in range(len(headers))]
    return [f"| {' | '.join(_md(cell) for cell in row)} |" for row in (headers, rule, *rows)]


def _timing_columns(cell: Cell, timing: Timing) -> list[str]:
    probe = next((p for p in cell.probes if p.threads == timing.threads), None)
    return [
        str(timing.threads),
        f"{timing.p50_ms:.3f}",
        f"{timing.low_ms:.3f} to {timing.high_ms:.3f}",
        f"{timing.p90_ms:.3f}",
        f"{timing.p99_ms:.3f}",
        f"{cell.size_bytes / 1000:,.0f}",
        f"{probe.init_ms:.1f}" if probe else "-",
        f"{probe.peak_memory_bytes / 1e6:.0f}" if probe else "-",
        "all ops" if probe and not probe.left_ops else f"{probe.delegated_count} of {probe.op_count}" if probe else "-",
    ]


def _verdict(timing: Timing) -> str:
    return timing.verdict if timing.warm else f"{timing.verdict}, not warm"


def _csv_value(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t"):
        return f"'{value}"  # keeps a spreadsheet from taking a name for a formula
    return value


def _md(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
