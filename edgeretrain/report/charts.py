"""Charts as inline SVG: pure functions of plain values. Colours are CSS classes of the page, so it decides the theme.

Every mark carries its exact figures in a <title>, which browsers show on hovering and screen readers read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeretrain.report.axes import (
    Interval,
    Scale,
    escape,
    frame,
    label,
    number,
    percent,
    scale_for,
    shorten,
    svg,
    text_width,
)


@dataclass(frozen=True)
class Point:
    """One mark of `scatter`."""

    name: str
    x: Interval
    y: Interval
    group: int = 0
    """Colour, 0 to 3."""
    front: bool = False
    """On the Pareto front: filled and labelled."""
    note: str = ""
    """More for the tooltip."""


@dataclass(frozen=True)
class Series:
    """One line of `line_chart`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    group: int = 0


def scatter(
    points: Sequence[Point],
    *,
    x_label: str,
    y_label: str,
    groups: Sequence[str] = (),
    y_percent: bool = False,
    up: bool = True,
    title: str = "Scatter plot",
) -> str:
    """Return points with error bars; x is logarithmic when it spans more than a factor of 8.

    A line joins those points of the front that are best in x and y alone; `up` says that a larger y is better.
    """
    width, height = 1032.0, 460.0
    xs = [value for point in points for value in point.x]
    ys = [value for point in points for value in point.y]
    log = bool(xs) and min(xs) > 0 and max(xs) / min(xs) > 8
    x = scale_for(xs, 64, width - 24, log=log, margin=0.06)
    y = scale_for(ys, height - 56, 44, margin=0.08)
    parts = [frame(x, y, x_label + (" (logarithmic)" if log else ""), y_label, y_percent=y_percent)]
    front = sorted((p for p in points if p.front), key=lambda p: p.x[0])
    line = [p for i, p in enumerate(front) if all((p.y[0] > q.y[0]) == up and p.y[0] != q.y[0] for q in front[:i])]
    if len(line) > 1:
        path = " ".join(f"{'L' if i else 'M'}{x(p.x[0]):g},{y(p.y[0]):g}" for i, p in enumerate(line))
        parts.append(f'<path class="front" d="{path}"/>')
    for p in points:
        cx, cy = x(p.x[0]), y(p.y[0])
        cross = f"M{x(p.x[1]):g},{cy:g}H{x(p.x[2]):g}M{cx:g},{y(p.y[1]):g}V{y(p.y[2]):g}"
        bars = f'<path class="bar s{p.group % 4}" d="{cross}"/>'
        css = f"f{p.group % 4}" if p.front else f"s{p.group % 4} hollow"
        parts.append(f'<g><title>{escape(p.name)}\n{escape(p.note)}</title>{bars}<circle class="{css}" ')
        parts.append(f'cx="{cx:g}" cy="{cy:g}" r="{5.5 if p.front else 4.5}"/></g>')
    parts += _point_labels(front, points, x, y)
    parts.append(_legend(groups, width - 24))
    return svg(width, height, title, parts)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    row_title: str,
    column_title: str,
    show: Callable[[float], str] = number,
    title: str = "Heat map",
) -> str:
    """Return a grid of labelled cells, darker for larger values; None is a dash."""
    cell, high, left, top = 64.0, 40.0, 52.0, 52.0
    present = [v for row in values for v in row if v is not None]
    low, top_value = (min(present), max(present)) if present else (0.0, 1.0)
    # latencies and sizes span factors, so equal ratios get equal steps of colour
    log = low > 0 and top_value / low > 4
    parts = [label(left, 16, column_title, css="name"), label(0, top - 10, row_title, css="name")]
    for c, text in enumerate(columns):
        parts.append(label(left + (c + 0.5) * cell, top - 10, shorten(text, cell - 6), anchor="middle"))
    for r, (text, row) in enumerate(zip(rows, values, strict=True)):
        parts.append(label(left - 12, top + (r + 0.5) * high + 4, shorten(text, left - 14), anchor="end"))
        for c, value in enumerate(row):
            x, y = left + c * cell, top + r * high
            name = f"{text} / {columns[c]}"
            if value is None:
                parts.append(
                    f'<rect class="empty" x="{x + 1:g}" y="{y + 1:g}" width="{cell - 2}" height="{high - 2}"/>'
                )
                parts.append(label(x + cell / 2, y + high / 2 + 4, "–", anchor="middle"))
                continue
            shade = _shade(value, low, top_value, log)
            box = f'x="{x + 1:g}" y="{y + 1:g}" rx="3" width="{cell - 2}" height="{high - 2}"'
            figure = label(x + cell / 2, y + high / 2 + 4, show(value), anchor="middle", css="strong")
            parts.append(f"<g><title>{escape(name)}: {escape(show(value))}</title>")
            parts.append(f'<rect class="heat" {box} fill-opacity="{shade:.2f}"/>{figure}</g>')
    return svg(left + cell * len(columns) + 4, top + high * len(rows) + 4, title, parts)


def histogram(
    samples: Sequence[float], *, interval: Interval, unit: str = "ms", bins: int = 40, title: str = "Histogram"
) -> str:
    """Return how often each latency occurred, up to the 99 % quantile, with the median and its interval marked."""
    width, height = 400.0, 150.0
    ordered = sorted(samples)
    top = ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)))]
    low = ordered[0]
    span = (top - low) or max(abs(low), 1e-9) * 0.01
    counts = [0] * bins
    for value in ordered:
        if value <= top:
            counts[min(bins - 1, int((value - low) / span * bins))] += 1
    x = Scale(low, low + span, 10, width - 10)
    y = Scale(0, max(counts), height - 40, 12)
    parts = []
    for i, count in enumerate(counts):
        if count:
            left, right = x(low + span * i / bins), x(low + span * (i + 1) / bins)
            text = f"{number(low + span * i / bins)} to {number(low + span * (i + 1) / bins)} {unit}: {count} runs"
            parts.append(
                f'<rect class="f0 soft" x="{left:g}" y="{y(count):g}" width="{max(0.8, right - left - 1):.2f}" '
                f'height="{y(0) - y(count):.2f}"><title>{text}</title></rect>'
            )
    middle, lower, upper = interval
    parts.append(
        f"<g><title>median {number(middle)} {unit}, 95 % interval {number(lower)} to {number(upper)}</title>"
        f'<rect class="band" x="{x(lower):g}" y="8" width="{max(1.0, x(upper) - x(lower)):.2f}" height="{y(0) - 8:g}"/>'
        f'<line class="mark" x1="{x(middle):g}" x2="{x(middle):g}" y1="8" y2="{y(0):g}"/></g>'
    )
    parts.append(f'<line class="axis" x1="10" x2="{width - 10:g}" y1="{y(0):g}" y2="{y(0):g}"/>')
    parts.append(label(10, height - 22, number(low)))
    parts.append(label(width - 10, height - 22, f"{number(low + span)} {unit}", anchor="end"))
    beyond = sum(value > top for value in ordered)
    foot = f"median {number(middle)} {unit}, {len(ordered):,} runs" + (f", {beyond} beyond" if beyond else "")
    parts.append(label(width / 2, height - 4, foot, anchor="middle"))
    return svg(width, height, title, parts)


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    y_percent: bool = False,
    zero: bool = False,
    title: str = "Line chart",
) -> str:
    """Return lines over a common x axis, each named in the legend and at its end in the tooltip."""
    width, height = 520.0, 300.0
    drawn = [s for s in series if len(s.x)]
    x = scale_for([v for s in drawn for v in s.x], 60, width - 20, margin=0.0)
    ys = [v for s in drawn for v in s.y if math.isfinite(v)]
    y = scale_for(ys, height - 52, 44, zero=zero, margin=0.06)
    parts = [frame(x, y, x_label, y_label, y_percent=y_percent)]
    for s in drawn:
        pairs = [(a, b) for a, b in _thin(list(zip(s.x, s.y, strict=True)), 600) if math.isfinite(b)]
        if not pairs:
            continue
        path = " ".join(f"{'L' if i else 'M'}{x(a):g},{y(b):g}" for i, (a, b) in enumerate(pairs))
        last = percent(pairs[-1][1]) if y_percent else number(pairs[-1][1])
        parts.append(
            f'<path class="line s{s.group % 4}" d="{path}"><title>{escape(s.name)}: {last} at the end</title></path>'
        )
    parts.append(_legend([s.name for s in drawn], width - 20, [s.group for s in drawn]))
    return svg(width, height, title, parts)


def _shade(value: float, low: float, high: float, log: bool) -> float:
    if high <= low:
        return 0.3
    share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
    return 0.08 + 0.5 * share


def _thin(pairs: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Keep a long curve's file small: every n-th pair and the last one."""
    step = max(1, math.ceil(len(pairs) / most))
    kept = pairs[::step]
    return kept if not pairs or kept[-1] == pairs[-1] else [*kept, pairs[-1]]


def _legend(names: Sequence[str], right: float, groups: Sequence[int] | None = None) -> str:
    """Return a row of coloured names that ends at `right`, above the chart."""
    parts, x = [], right
    for name, group in reversed(list(zip(names, groups or range(len(names)), strict=False))):
        short = shorten(name, 240)
        x -= text_width(short)
        parts.append(label(x, 18, short))
        parts.append(f'<circle class="f{group % 4}" cx="{x - 10:g}" cy="14" r="5"/>')
        x -= 30
    return "".join(parts)


def _point_labels(front: Sequence[Point], points: Sequence[Point], x: Scale, y: Scale) -> list[str]:
    """Name the points of the front, each where it hides no other point or label; without room the tooltip must do."""
    taken = [(x(p.x[0]) - 6, y(p.y[0]) - 6, x(p.x[0]) + 6, y(p.y[0]) + 6) for p in points]
    parts = []
    for p in front:
        cx, cy = x(p.x[0]), y(p.y[0])
        text = shorten(p.name, 260, 11)
        width = text_width(text, 11)
        for left, baseline in (
            (cx - width - 9, cy - 6), (cx + 9, cy + 14), (cx - width / 2, cy - 12), (cx + 9, cy - 6),
            (cx - width - 9, cy + 14), (cx - width / 2, cy + 22),
        ):  # fmt: skip
            box = (left, baseline - 10, left + width, baseline + 3)
            inside = box[0] > x.start and box[2] < x.end and box[1] > y.end - 8 and box[3] < y.start
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(label(left, baseline, text, css="small"))
                break
    return parts


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
