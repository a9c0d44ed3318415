"""A benchmark as rows: the console's table, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

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
            f"{t.init_ms:.1f}",
            f"{t.first_ms:.1f}",
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


def to_csv(document: Benchmark) -> str:
    """Return one line for each model and number of threads, host and devices, with a header line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        "device model kind width res threads p50_ms low_ms high_ms p90_ms p99_ms runs aa_error verdict init_ms first_ms "
        "peak_memory_bytes size_bytes ops delegated_ops top1 top1_low top1_high top1_n head_top1 instrumented_top1 "
        "agreement p_vs_best published_top1".split()
    )
    for cell in document.cells:
        a = cell.accuracy
        tail: list[object] = (
            [a.top1, a.low, a.high, a.n, a.head_top1, a.instrumented_top1, a.agreement, a.p_vs_best]
            if a
            else [None] * 8
        )
        for t in cell.timings:
            probe = next((p for p in cell.probes if p.threads == t.threads), None)
            cold: list[object] = [probe.init_ms, probe.first_ms, probe.peak_memory_bytes] if probe else [None] * 3
            ops: list[object] = [probe.op_count, probe.delegated_count] if probe else [None] * 2
            timing = [t.p50_ms, t.low_ms, t.high_ms, t.p90_ms, t.p99_ms, t.runs, t.aa_error, t.verdict]
            name = [document.host.cpu, _safe(cell.name), cell.kind, cell.width, cell.res, t.threads]
            row = [*name, *timing, *cold, cell.size_bytes, *ops, *tail, cell.published_top1]
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])
    sizes = {cell.name: cell.size_bytes for cell in document.cells}
    for phone in document.phones:
        for p in phone.timings:
            row = [_safe(phone.model), _safe(p.name), None, None, None, p.threads, f"{p.p50_ms:.6g}"]
            row += [None] * 4 + [p.runs, None, None, f"{p.init_ms:.6g}", f"{p.first_ms:.6g}", p.memory_bytes]
            writer.writerow([*row, sizes.get(p.name), *[None] * 11])
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


def _safe(text: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def _md(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
