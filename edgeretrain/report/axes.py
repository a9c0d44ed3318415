"""Scales, ticks and axes: the frame that charts are drawn in."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float, float]
"""A value and the bounds of its interval: (value, low, high)."""


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
    """Return three significant digits, all of them shown: `0.480`, `12.0`, `1,774`."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def percent(value: float) -> str:
    """Return a share as `92.5 %`."""
    return f"{100 * value:.1f} %"


def tick_text(value: float, *, as_percent: bool = False) -> str:
    """Return the shortest text of a round value: `0.5`, `90 %`."""
    if as_percent:
        return f"{100 * value:.4g} %"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")
"""Control characters, which XML forbids, and those that reverse the text around them."""


def clean(text: str) -> str:
    """Return `text` with every character that could break or disguise a page replaced by a box."""
    return _UNSAFE.sub("\ufffd", text)


def escape(text: object) -> str:
    """Return text that is safe in SVG and in its attributes."""
    return html.escape(clean(str(text)), quote=True)


def shorten(text: str, width: float, size: float = 12) -> str:
    """Return `text` cut in the middle so that it takes at most `width` pixels at font size `size`."""
    text = clean(text)
    if text_width(text, size) <= width:
        return text
    head, tail, room = "", "", width - text_width("…", size)
    for first, last in zip(text, reversed(text), strict=True):
        if text_width(head + first + tail, size) > room:
            break
        head += first
        if text_width(head + last + tail, size) > room:
            break
        tail = last + tail
    return f"{head}…{tail}"


def text_width(text: str, size: float = 12) -> float:
    """Return about how many pixels `text` takes, by classes of characters, for a wide font (DejaVu Sans)."""
    return size * sum(_char_width(character) for character in text)


def _char_width(character: str) -> float:
    if character in "iljtfrI.,:;'|!()[] ":
        return 0.42
    if character in "mwMW@%…—" or ord(character) > 0x2E80:
        return 1.05
    return 0.78 if character.isupper() or ord(character) > 0x7F else 0.65


def label(x: float, y: float, text: str, *, anchor: str = "start", css: str = "") -> str:
    """Return a <text> element."""
    attributes = f' class="{css}"' if css else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attributes}>{escape(text)}</text>'


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return a whole <svg> that shrinks with the page while its text stays readable, and does not grow."""
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'style="width:100%;max-width:{width:g}px;min-width:{0.62 * width:.0f}px" xmlns="http://www.w3.org/2000/svg">'
    )
    return head + "".join(parts) + "</svg>"


def frame(x: Scale, y: Scale, x_label: str, y_label: str, *, y_percent: bool = False) -> str:
    """Return grid lines, tick labels and axis titles around the area that `x` and `y` span."""
    parts = []
    for value in y.ticks(5):
        parts.append(f'<line class="grid" x1="{x.start:g}" x2="{x.end:g}" y1="{y(value):g}" y2="{y(value):g}"/>')
        parts.append(label(x.start - 8, y(value) + 4, tick_text(value, as_percent=y_percent), anchor="end"))
    last = -math.inf
    for value in x.ticks(7):
        text = tick_text(value)
        if x(value) - last < text_width(text) + 10:
            continue
        last = x(value)
        parts.append(f'<line class="tick" x1="{last:g}" x2="{last:g}" y1="{y.start:g}" y2="{y.start + 5:g}"/>')
        parts.append(label(last, y.start + 20, text, anchor="middle"))
    parts.append(f'<line class="axis" x1="{x.start:g}" x2="{x.end:g}" y1="{y.start:g}" y2="{y.start:g}"/>')
    parts.append(label((x.start + x.end) / 2, y.start + 42, x_label, anchor="middle", css="name"))
    parts.append(label(x.start - 44, y.end - 14, y_label, css="name"))
    return "".join(parts)
