"""Charts with one row for each class: the confusion matrix, and bars with intervals. Same rules as charts.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeretrain.report.axes import Interval, Scale, escape, label, percent, shorten, svg, text_width


def confusion_matrix(
    classes: Sequence[str], matrix: Sequence[Sequence[int]], *, title: str = "Confusion matrix"
) -> str:
    """Return the matrix, rows the true classes, shaded by the share of the row; for up to about 40 classes."""
    count = len(classes)
    cell = max(18.0, min(64.0, 620.0 / max(count, 1)))
    longest = max((text_width(name) for name in classes), default=0.0)
    left, numbers = min(180.0, longest + 16), cell >= 24
    slanted = longest > cell - 8
    top = (min(150.0, longest * 0.72 + 16) if slanted else 24.0) + 24
    parts = [label(left, 14, "answered", css="name"), label(0, top - 8, "true class", css="name")]
    for i, name in enumerate(classes):
        x = left + (i + 0.5) * cell
        if slanted:
            short = escape(shorten(name, 170))
            parts.append(f'<text transform="translate({x + 4:g},{top - 8:g}) rotate(-45)">{short}</text>')
        else:
            parts.append(label(x, top - 8, name, anchor="middle"))
        parts.append(label(left - 8, top + (i + 0.5) * cell + 4, shorten(name, left - 10), anchor="end"))
    for r, row in enumerate(matrix):
        total = sum(row)
        for c, value in enumerate(row):
            if not value and r != c:
                continue
            share = value / total if total else 0.0
            x, y = left + c * cell, top + r * cell
            text = f"{classes[r]} answered as {classes[c]}: {value} of {total} ({percent(share)})"
            parts.append(
                f'<g><title>{escape(text)}</title><rect class="{"right" if r == c else "wrong"}" x="{x + 0.5:.2f}" '
                f'y="{y + 0.5:.2f}" rx="2" width="{cell - 1:.2f}" height="{cell - 1:.2f}" '
                f'fill-opacity="{0.06 + 0.54 * share if r == c else 0.12 + 0.6 * share:.2f}"/>'
            )
            if numbers:
                parts.append(label(x + cell / 2, y + cell / 2 + 4, str(value), anchor="middle", css="strong"))
            parts.append("</g>")
    side = cell * count
    parts.append(f'<rect class="outline" x="{left:g}" y="{top:g}" width="{side:g}" height="{side:g}"/>')
    # slanted names lean out to the right of their column
    lean = max(0.0, min(150.0, longest * 0.72) - cell / 2) if slanted else 0.0
    return svg(left + side + max(6.0, lean), top + side + 6, title, parts)


def bars(
    names: Sequence[str],
    values: Sequence[Interval],
    *,
    notes: Sequence[str] = (),
    show: Callable[[float], str] = percent,
    top_value: float | None = 1.0,
    title: str = "Bars",
) -> str:
    """Return horizontal bars with their intervals, in the given order."""
    row, width = 26.0, 720.0
    left = min(240.0, max((text_width(name) for name in names), default=0.0) + 16)
    right = 24 + max((text_width(note) for note in notes), default=0.0) + 60
    highest = top_value if top_value is not None else max((v[2] for v in values), default=1.0)
    x = Scale(0, highest or 1.0, left, width - right)
    parts = []
    for i, (name, (value, low, high)) in enumerate(zip(names, values, strict=True)):
        y = 4 + i * row
        note = notes[i] if i < len(notes) else ""
        text = f"{name}: {show(value)} ({show(low)} to {show(high)}) {note}"
        parts.append(label(left - 8, y + 15, shorten(name, left - 10), anchor="end"))
        parts.append(
            f'<g><title>{escape(text)}</title><rect class="track" x="{left:g}" y="{y + 3:g}" rx="2" '
            f'width="{width - right - left:g}" height="16"/><rect class="f0 soft" x="{left:g}" y="{y + 3:g}" rx="2" '
            f'width="{max(0.0, x(value) - left):.2f}" height="16"/>'
        )
        if high > low:
            whisker = f"M{x(low):g},{y + 11:g}H{x(high):g}M{x(low):g},{y + 7:g}v8M{x(high):g},{y + 7:g}v8"
            parts.append(f'<path class="bar ink" d="{whisker}"/>')
        parts.append("</g>" + label(width - right + 12, y + 15, show(value), css="strong"))
        if note:
            parts.append(label(width - 4, y + 15, note, anchor="end"))
    return svg(width, 8 + row * len(names), title, parts)
