"""Things on a bench that are none of the classes: they distract, and now and then hide a part of what is meant."""

from __future__ import annotations

import numpy as np

from edgeretrain.samples.light import Material, draw_metal, draw_plastic
from edgeretrain.samples.noise import Array, chance
from edgeretrain.samples.shapes import Solid, box, chamfer, hexagon, length

WOOD = Material((0.03, 0.03, 0.03), (0.55, 0.36, 0.18), 0.6)
STEEL = Material((0.6, 0.59, 0.57), (0.01, 0.01, 0.01), 0.25)


def make_rod(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """A pencil, screwdriver shank, dowel or marker, longer than the picture is wide."""
    kind = str(rng.choice(["pencil", "shank", "dowel", "marker"]))
    radius = {"pencil": 0.36, "shank": rng.uniform(0.2, 0.4), "dowel": rng.uniform(0.3, 0.7)}.get(kind, 0.6)
    half = rng.uniform(4.0, 8.0)
    tip = radius * (4.5 if kind == "pencil" else 1.2)

    def distance(x: Array, y: Array, z: Array) -> Array:
        side = hexagon(x, y, radius) if kind == "pencil" else length(x, y) - radius
        cone = (length(x, y) - (half - z) * (radius * 1.1 / tip)) * 0.95
        return chamfer(np.maximum(side, cone), np.abs(z) - half, radius * 0.15)

    body = {"pencil": draw_plastic(rng), "shank": STEEL, "dowel": WOOD}.get(kind, draw_plastic(rng))
    rims = ((radius, -half), (radius, half - tip))
    solid = Solid(distance, half + radius, rims, standing=0.0, second=lambda x, y, z: z > half - tip * 0.96)
    return solid, body, WOOD if kind == "pencil" else body


def make_key(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """A hex key: a long arm and a short one; it lies flat in its own x-z plane, so its axis is y."""
    radius, arm, long = rng.uniform(0.1, 0.25), rng.uniform(0.8, 1.6), rng.uniform(2.5, 5.0)

    def distance(x: Array, y: Array, z: Array) -> Array:
        along = np.maximum(hexagon(x, z, radius), np.abs(y - long / 2) - long / 2)
        across = np.maximum(hexagon(y, z, radius), np.abs(x - arm / 2) - arm / 2)
        return np.minimum(along, across)

    metal = Material((0.1, 0.1, 0.1), (0.015, 0.015, 0.015), 0.35) if chance(rng, 0.6) else STEEL
    return Solid(distance, long + radius, ((radius, -radius), (radius, radius))), metal, metal


def make_block(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """An offcut, rubber, matchbox or parts bin seen as a box."""
    half = (rng.uniform(0.4, 2.4), rng.uniform(0.4, 1.6), rng.uniform(0.15, 0.9))
    rounding = rng.uniform(0.01, 0.1)

    def distance(x: Array, y: Array, z: Array) -> Array:
        return box(x, y, z, half, rounding)

    stuff = WOOD if chance(rng, 0.3) else draw_plastic(rng)
    reach = float(np.hypot(half[0], half[1]))
    return Solid(distance, float(np.hypot(reach, half[2])), ((reach, -half[2]), (reach, half[2]))), stuff, stuff


def make_tape(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """A strip of tape or paper, hardly thicker than the bench is rough."""
    half = (rng.uniform(1.5, 6.0), rng.uniform(0.5, 1.2), 0.012)

    def distance(x: Array, y: Array, z: Array) -> Array:
        return box(x + 0.06 * np.sin(y * 9), y, z, half)

    stuff = draw_plastic(rng)
    return Solid(distance, float(np.hypot(half[0], half[1])) + 0.1, ((half[0], -0.012), (half[0], 0.012))), stuff, stuff


def make_cable(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """A bend of insulated wire: half of a big ring."""
    bend, radius = rng.uniform(2.0, 6.0), rng.uniform(0.08, 0.25)

    def distance(x: Array, y: Array, z: Array) -> Array:
        ring = length(length(x, y) - bend, z) - radius
        ends = np.sqrt((np.abs(x) - bend) ** 2 + y * y + z * z) - radius
        return np.where(y > 0, ring, ends)

    stuff = draw_plastic(rng)
    return Solid(distance, bend + radius, ((bend, -radius), (bend, radius))), stuff, stuff


def make_chip(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """A curl of swarf, a splinter or a steel ball: the small things that are left on a bench."""
    kind = str(rng.choice(["curl", "splinter", "ball", "disc"]))
    size = rng.uniform(0.15, 0.45)
    opening = float(np.cos(rng.uniform(0.6, 2.6)))

    def distance(x: Array, y: Array, z: Array) -> Array:
        if kind == "ball":
            ball: Array = np.sqrt(x * x + y * y + z * z) - size * 0.7
            return ball
        if kind == "disc":
            return chamfer(length(x, y) - size, np.abs(z) - size * 0.12, size * 0.05)
        if kind == "splinter":
            return box(x + z, y + 0.3 * x * x, z, (size, size * 0.12, size * 0.06)) * 0.7
        ribbon = np.maximum(np.abs(length(x, y) - size) - size * 0.05, np.abs(z) - size * 0.3)
        return np.maximum(ribbon, opening * length(x, y) - x)

    stuff = draw_metal(rng, "clutter") if chance(rng, 0.7) else draw_plastic(rng)
    low = {"ball": 0.7, "disc": 0.12, "splinter": 0.06}.get(kind, 0.3) * size
    return Solid(distance, size * 1.5, ((0.0, -low), (0.0, low)), stride=0.7), stuff, stuff


def draw_clutter(rng: np.random.Generator) -> tuple[Solid, Material, Material]:
    """Draw one thing that belongs to no class, with its material and that of its second region."""
    makers = (make_rod, make_key, make_block, make_tape, make_cable, make_chip)
    weights = (0.17, 0.12, 0.22, 0.15, 0.12, 0.22)
    return makers[int(rng.choice(len(makers), p=weights))](rng)
