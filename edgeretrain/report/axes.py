"""Scales, ticks and axes: the frame that charts are drawn in."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float, float]
"""A value and the bounds of its interval: (value, low, high)."""
CHAR = 0.58
"""Width of an average character of the page's font, in font sizes; on the wide side, so that nothing overflows."""


@dataclass(frozen=True)
class Scale:
    """Maps values in [low, high] to pixels in [start, end]."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(max(value, 1e-12) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(1.05, max(-0.05, share)) * (self.end - self.start), 2)

    def ticks(self, about: int = 6) -> list[float]:
        """Return round values inside the scale."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [m * 10.0**e for e in decades for m in (1, 2, 5)]
            return [value for value in found if self.low <= value * 1.0000001 and value <= self.high * 1.0000001]
        step = nice_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(rough: float) -> float:
    """Return the smallest of 1, 2, 2.5 or 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999999)


def scale_for(
    values: Sequence[float], start: float, end: float, *, log: bool = False, zero: bool = False, margin: float = 0.05
) -> Scale:
    """Return a scale that holds all `values` with some room; `zero` makes it begin at 0."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if log:
        low = max(low, 1e-9)
        room = max((high / low) ** margin, 1.05)
        return Scale(low / room, max(high, low) * room, start, end, log=True)
    if zero:
        low = min(0.0, low)
    room = (high - low) * margin or abs(high) * margin or 0.5
    return Scale(low if zero else low - room, high + room, start, end)


def number(value: float) -> str:
    """Return a tick's or figure's text: three digits at most behind what matters, no exponent in everyday ranges."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """Return a share as `92.5 %`; whole numbers without a decimal."""
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text} %"


def escape(text: object) -> str:
    """Return text that is safe in SVG and in its attributes. Characters XML forbids are shown as a box."""
    clean = "".join(c if c in "\t\n" or (c >= " " and not 0x7F <= ord(c) < 0xA0) else "\ufffd" for c in str(text))
    return html.escape(clean.encode("utf-8", "replace").decode(), quote=True)


def shorten(text: str, width: float, size: float = 12) -> str:
    """Return `text` cut in the middle so that it takes at most `width` pixels at font size `size`."""
    fits = max(3, int(width / (size * CHAR)))
    if len(text) <= fits:
        return text
    head = (fits - 1) // 2
    return f"{text[:head]}…{text[len(text) - (fits - 1 - head) :]}"


def text_width(text: str, size: float = 12) -> float:
    """Return about how many pixels `text` takes; wide scripts count double."""
    return sum(2 if ord(c) > 0x2E80 else 1 for c in text) * size * CHAR


def label(x: float, y: float, text: str, *, anchor: str = "start", css: str = "") -> str:
    """Return a <text> element."""
    attributes = f' class="{css}"' if css else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attributes}>{escape(text)}</text>'


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return a whole <svg> that shrinks with the page but does not grow beyond its size."""
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'style="width:100%;max-width:{width:g}px" xmlns="http://www.w3.org/2000/svg">'
    )
    return head + "".join(parts) + "</svg>"


def frame(x: Scale, y: Scale, x_label: str, y_label: str, *, x_percent: bool = False, y_percent: bool = False) -> str:
    """Return grid lines, tick labels and axis titles around the area that `x` and `y` span."""
    parts = []
    for value in y.ticks(5):
        parts.append(f'<line class="grid" x1="{x.start:g}" x2="{x.end:g}" y1="{y(value):g}" y2="{y(value):g}"/>')
        parts.append(label(x.start - 8, y(value) + 4, percent(value) if y_percent else number(value), anchor="end"))
    last = -math.inf
    for value in x.ticks(7):
        text = percent(value) if x_percent else number(value)
        if x(value) - last < text_width(text) + 10:
            continue
        last = x(value)
        parts.append(f'<line class="tick" x1="{last:g}" x2="{last:g}" y1="{y.start:g}" y2="{y.start + 5:g}"/>')
        parts.append(label(last, y.start + 20, text, anchor="middle"))
    parts.append(f'<line class="axis" x1="{x.start:g}" x2="{x.end:g}" y1="{y.start:g}" y2="{y.start:g}"/>')
    parts.append(label((x.start + x.end) / 2, y.start + 42, x_label, anchor="middle", css="name"))
    parts.append(label(x.start - 44, y.end - 14, y_label, css="name"))
    return "".join(parts)
