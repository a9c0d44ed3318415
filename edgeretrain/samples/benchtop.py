"""Bench tops as square pictures of their albedo: wood, metal, cutting mat, cardboard, paper, concrete, cloth..."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from edgeretrain.samples.noise import Array, chance, field, smoothstep, wave


@dataclass(frozen=True)
class Benchtop:
    """A bench top: `picture` uint8 [px, px, 3] sRGB albedo of a square `extent` cm wide, and how much it shines."""

    picture: Image.Image
    extent: float
    gloss: float
    roughness: float


@dataclass(frozen=True)
class _Sheet:
    """What a pattern needs: random numbers, its side in pixels, and centimetre coordinates x, y [px, px]."""

    rng: np.random.Generator
    px: int
    extent: float
    x: Array
    y: Array

    def field(self, across_cm: float, along_cm: float, octaves: int = 1, gain: float = 0.5) -> Array:
        """Return noise with bumps of this size."""
        return field(self.rng, self.px, self.extent / across_cm, self.extent / along_cm, octaves, gain)

    def lines(self, coordinate: Array, every: float, width: float) -> Array:
        """Return 1 on lines `width` cm wide, `every` cm apart, and 0 between; never thinner than a pixel."""
        pixel = self.extent / self.px
        distance = wave(coordinate / every) * every / 2
        thick = max(width, pixel) / 2
        line: Array = smoothstep(-thick - pixel * 0.5, -thick + pixel * 0.5, -distance) * np.float32(
            min(1.0, width / pixel)
        )
        return line


def _mix(low: tuple[float, float, float], high: tuple[float, float, float], amount: Array) -> Array:
    """Blend two sRGB colours 0..1 by `amount` [px, px]; float32 [px, px, 3]."""
    a, b = np.asarray(low, np.float32), np.asarray(high, np.float32)
    blend: Array = a + (b - a) * np.clip(amount, 0, 1)[..., None]
    return blend


def _wood(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    dark, light = [
        ((0.50, 0.37, 0.26), (0.75, 0.61, 0.45)),
        ((0.66, 0.54, 0.40), (0.86, 0.76, 0.62)),
        ((0.27, 0.19, 0.14), (0.47, 0.35, 0.26)),
        ((0.42, 0.37, 0.31), (0.64, 0.58, 0.50)),
    ][int(rng.integers(4))]
    bend = sheet.field(9, 2.5) * rng.uniform(0.2, 0.9) + sheet.field(25, 8) * rng.uniform(0, 1.5)
    ring = wave(sheet.y / rng.uniform(0.5, 1.6) + bend)
    fibre = sheet.field(1.8, 0.06, 2, 0.7)
    value = 0.5 + 0.28 * (ring - 0.5) + 0.11 * fibre + 0.08 * sheet.field(6, 1.2)
    colour = _mix(dark, light, value)
    if chance(rng, 0.35):
        plank = sheet.lines(sheet.y + rng.uniform(0, 9), rng.uniform(6, 12), 0.12)
        colour *= 1 - 0.75 * plank[..., None]
    return colour, rng.uniform(0.0, 0.5) if chance(rng, 0.5) else 0.05


def _metal(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    tone = rng.uniform(0.3, 0.68)
    streak = sheet.field(6, 0.04, 2, 0.7)
    value = tone + 0.035 * streak + 0.03 * sheet.field(5, 5, 4, 0.6)
    colour = _mix((0.0, 0.0, 0.0), (1.0, 1.0 - rng.uniform(0, 0.04), 1.0 - rng.uniform(-0.03, 0.08)), value)
    if chance(rng, 0.35):
        stain = smoothstep(0.5, 1.6, sheet.field(4, 4, 4, 0.6))[..., None]
        colour += (np.asarray((0.36, 0.22, 0.13), np.float32) - colour) * stain * np.float32(rng.uniform(0.3, 0.8))
    return _scratched(sheet, colour, int(rng.integers(20, 120)), 0.25), rng.uniform(0.5, 1.0)


def _mat(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    base = [(0.10, 0.36, 0.30), (0.16, 0.25, 0.36), (0.17, 0.17, 0.19), (0.30, 0.32, 0.34), (0.42, 0.16, 0.22)]
    colour = (
        np.asarray(base[int(rng.integers(len(base)))], np.float32) * (1 + 0.05 * sheet.field(0.05, 0.05))[..., None]
    )
    ink = np.asarray([(0.80, 0.82, 0.66), (0.72, 0.80, 0.80)][int(rng.integers(2))], np.float32)
    fine = np.maximum(sheet.lines(sheet.x, 1, 0.03), sheet.lines(sheet.y, 1, 0.03)) * 0.6
    bold = np.maximum(sheet.lines(sheet.x, 5, 0.06), sheet.lines(sheet.y, 5, 0.06)) * 0.85
    grid = np.maximum(fine, bold)
    if chance(rng, 0.4):
        grid = np.maximum(grid, sheet.lines((sheet.x + sheet.y) * 0.7071, 7.07, 0.05) * 0.6)
    colour = colour + (ink - colour) * (grid * rng.uniform(0.4, 0.85))[..., None]
    return _scratched(sheet, colour, int(rng.integers(5, 60)), 0.12), rng.uniform(0.1, 0.5)


def _cardboard(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    flute = wave(sheet.y / rng.uniform(0.4, 0.75)) - 0.5
    value = 0.5 + 0.1 * sheet.field(0.5, 0.07, 2) + 0.12 * sheet.field(4, 4, 3) + rng.uniform(0, 0.12) * flute
    return _mix((0.50, 0.37, 0.25), (0.80, 0.66, 0.49), value), 0.0


def _paper(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    tone = rng.uniform(0.78, 0.95)
    colour = _mix(
        (tone * 0.85,) * 3, (tone, tone * 0.99, tone * rng.uniform(0.9, 1.0)), 0.8 + 0.1 * sheet.field(3, 3, 4)
    )
    kind = str(rng.choice(["plain", "graph", "lined"]))
    ink = np.asarray((0.35, 0.48, 0.68), np.float32)
    if kind == "graph":
        ruled = np.maximum(sheet.lines(sheet.x, 0.5, 0.025), sheet.lines(sheet.y, 0.5, 0.025)) * 0.6
    elif kind == "lined":
        ruled = sheet.lines(sheet.y, 0.8, 0.03) * 0.7
    else:
        ruled = np.zeros_like(sheet.x)
    colour += (ink - colour) * ruled[..., None]
    return colour * (1 + 0.02 * sheet.field(8, 8))[..., None], 0.0


def _concrete(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    value = 0.5 + 0.08 * sheet.field(6, 6, 6, 0.7) + 0.05 * sheet.field(0.05, 0.05)
    tone = rng.uniform(0.35, 0.62)
    colour = _mix((tone * 0.55,) * 3, (tone * 1.3, tone * 1.28, tone * 1.2), value)
    pores = smoothstep(2.3, 2.9, sheet.field(0.2, 0.2, 2, 0.7))
    return colour * (1 - 0.6 * pores)[..., None], 0.0


def _cloth(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    thread = rng.uniform(0.07, 0.2)
    over, under = wave(sheet.x / thread), wave(sheet.y / thread)
    checker = np.where((np.floor(sheet.x / thread) + np.floor(sheet.y / thread)) % 2 > 0, over, under)
    folds = sheet.field(7, 7, 2, 0.4)
    value = 0.55 + 0.3 * (checker - 0.5) + 0.12 * folds + 0.08 * sheet.field(0.2, 0.2)
    hue = [(0.24, 0.36, 0.56), (0.60, 0.22, 0.20), (0.55, 0.53, 0.50), (0.20, 0.22, 0.25), (0.78, 0.75, 0.70)]
    red, green, blue = hue[int(rng.integers(len(hue)))]
    return _mix((red * 0.5, green * 0.5, blue * 0.5), (red * 1.2, green * 1.2, blue * 1.2), value), 0.0


def _rubber(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    tone = rng.uniform(0.1, 0.26)
    ribs = wave(sheet.y / rng.uniform(0.25, 0.5)) if chance(rng, 0.6) else 0.5 + 0.2 * sheet.field(0.15, 0.15)
    value = 0.4 + 0.3 * (ribs - 0.5) + 0.05 * sheet.field(4, 4, 4) + 0.05 * sheet.field(0.06, 0.06)
    return _mix((tone * 0.4,) * 3, (tone * 1.8, tone * 1.8, tone * 1.85), value), rng.uniform(0.1, 0.5)


def _laminate(sheet: _Sheet) -> tuple[Array, float]:
    rng = sheet.rng
    base = np.asarray([rng.uniform(0.25, 0.85)] * 3, np.float32) * rng.uniform(0.85, 1.0, 3).astype(np.float32)
    speck = sheet.field(0.14, 0.14, 2, 0.8) * rng.uniform(0.01, 0.1)
    return base * (1 + speck + 0.02 * sheet.field(7, 7, 2))[..., None], rng.uniform(0.2, 0.9)


def _scratched(sheet: _Sheet, colour: Array, count: int, strength: float) -> Array:
    """Draw `count` fine straight scratches, some light and some dark."""
    rng = sheet.rng
    layer = Image.new("L", (sheet.px, sheet.px), 128)
    pen = ImageDraw.Draw(layer)
    for _ in range(count):
        start = rng.uniform(0, sheet.px, 2)
        reach = rng.exponential(0.12) * sheet.px
        angle = rng.uniform(0, 2 * np.pi)
        end = start + reach * np.asarray([np.cos(angle), np.sin(angle)])
        pen.line([*start.tolist(), *end.tolist()], fill=int(rng.integers(60, 230)), width=1)
    marks = (np.asarray(layer, np.float32) - 128) / 128 * np.float32(strength)
    marked: Array = colour * (1 + marks)[..., None]
    return marked


def _worn(sheet: _Sheet, colour: Array) -> Array:
    """Add what a bench collects: blotches of oil and dirt, dust, crumbs."""
    rng = sheet.rng
    if chance(rng, 0.4):
        blotch = smoothstep(rng.uniform(0.3, 1.0), 2.8, sheet.field(5, 5, 4, 0.6))
        colour = colour * (1 - rng.uniform(0.1, 0.5) * blotch)[..., None]
    if chance(rng, 0.4):
        crumbs = smoothstep(3.0, 3.4, sheet.field(0.15, 0.15))[..., None]
        colour = colour + (np.float32(rng.uniform(0.05, 0.8)) - colour) * crumbs * 0.8
    return colour


_TOPS: tuple[tuple[float, Callable[[_Sheet], tuple[Array, float]]], ...] = (
    (3.0, _wood),
    (2.0, _metal),
    (1.6, _mat),
    (1.2, _cardboard),
    (1.2, _paper),
    (1.2, _concrete),
    (1.0, _cloth),
    (1.0, _rubber),
    (1.2, _laminate),
)


def draw_benchtop(rng: np.random.Generator, extent: float, px: int) -> Benchtop:
    """Draw a bench top `extent` cm wide on `px` x `px` pixels."""
    line = (np.arange(px, dtype=np.float32) + 0.5) * np.float32(extent / px)
    x, y = np.meshgrid(line, line)
    sheet = _Sheet(rng, px, extent, x, y)
    weights = np.asarray([weight for weight, _ in _TOPS])
    pattern = _TOPS[int(rng.choice(len(_TOPS), p=weights / weights.sum()))][1]
    colour, gloss = pattern(sheet)
    colour = np.clip(_worn(sheet, colour) * 255, 3, 250).astype(np.uint8)
    return Benchtop(Image.fromarray(colour), extent, gloss, rng.uniform(0.25, 0.6))
