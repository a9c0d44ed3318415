"""The five classes of machine parts as signed distances. Lengths are centimetres, drawn anew for each part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeretrain.samples.noise import Array, Mask, chance, wave
from edgeretrain.samples.shapes import Solid, chamfer, hexagon, length, square, tilt_between


def make_nut(rng: np.random.Generator) -> Solid:
    """A hex, square, flange, nylon-insert, castle or cap nut."""
    kind = str(rng.choice(["hex"] * 7 + ["thin", "square", "flange", "nylon", "castle", "cap"]))
    apothem = rng.uniform(0.4, 1.5)
    half = apothem * (rng.uniform(0.25, 0.34) if kind == "thin" else rng.uniform(0.4, 0.56))
    hole = apothem * rng.uniform(0.48, 0.62)
    pitch = hole * rng.uniform(0.2, 0.32)
    edge = rng.uniform(0.02, 0.08) * apothem
    cone = apothem * rng.uniform(0.95, 1.06)
    flange = apothem * rng.uniform(1.25, 1.45)
    slots = 6
    sides = 4 if kind == "square" else 6

    def distance(x: Array, y: Array, z: Array) -> Array:
        rho = length(x, y)
        flat = square(x, y, apothem) if sides == 4 else hexagon(x, y, apothem)
        body = chamfer(flat, np.abs(z) - half, edge)
        if sides == 6:
            body = np.maximum(body, (rho - cone) * 0.5 + (np.abs(z) - half) * 0.866)
        if kind == "flange":
            body = np.minimum(
                body, chamfer(rho - flange + (z + half) * 0.4, np.abs(z + half * 0.85) - half * 0.15, edge)
            )
        if kind == "nylon":
            collar = chamfer(rho - apothem * 0.86, np.abs(z - half) - half * 0.4, apothem * 0.2)
            body = np.minimum(body, collar)
        if kind == "castle":
            angle = np.arctan2(y, x) * (slots / (2 * np.pi))
            turn = (angle - np.floor(angle + 0.5)) * (2 * np.pi / slots)
            body = np.minimum(body, chamfer(rho - apothem * 0.88, np.abs(z - half) - half * 0.6, edge))
            body = np.maximum(body, -np.maximum(np.abs(np.sin(turn) * rho) - apothem * 0.16, half * 0.8 - z))
        if kind == "cap":
            dome = np.sqrt(x * x + y * y + (z - half * 0.8) ** 2) - apothem * 0.86
            body = np.minimum(body, np.maximum(dome, -z))
            hollow: Array = np.maximum(body, -np.maximum(rho - hole, z - half))
            return hollow
        bore = rho - hole - pitch * 0.3 * wave(z / pitch)
        bore = np.minimum(bore, (rho - hole * 1.12 - (np.abs(z) - half)) * 0.7071)
        if kind == "nylon":
            bore = np.minimum(np.where(z > half, rho - hole * 0.93, bore), bore)
        return np.maximum(body, -bore)

    top = {"nylon": half * 1.4, "castle": half * 1.6, "cap": half * 0.8 + apothem * 0.86}.get(kind, half)
    low = flange if kind == "flange" else apothem

    def insert(x: Array, y: Array, z: Array) -> Mask:
        return (z > half * 1.02) & (length(x, y) < apothem * 0.74)

    return Solid(
        distance,
        radius=float(np.hypot(max(low, apothem * (1.42 if sides == 4 else 1.16)), top)),
        rims=((low, -half), (apothem * 0.86, top)),
        lying=tilt_between((low, -half), (apothem, half)),
        standing=0.88,
        upright=0.8,
        sides=sides,
        second=insert if kind == "nylon" else None,
    )


def make_washer(rng: np.random.Generator) -> Solid:
    """A plain, wide, split, toothed or domed washer."""
    kind = str(rng.choice(["plain"] * 5 + ["wide", "split", "toothed", "domed"]))
    outer = rng.uniform(0.45, 1.9)
    hole = outer * {"wide": rng.uniform(0.2, 0.36), "split": rng.uniform(0.58, 0.68)}.get(kind, rng.uniform(0.44, 0.62))
    half = outer * (rng.uniform(0.09, 0.13) if kind == "split" else rng.uniform(0.035, 0.085))
    teeth = int(rng.integers(8, 15))
    inside = chance(rng, 0.5)
    lift = outer * (rng.uniform(0.08, 0.2) if kind == "domed" else 0.0)
    twist = half * rng.uniform(0.3, 0.9) if kind == "split" else 0.0

    def distance(x: Array, y: Array, z: Array) -> Array:
        rho = length(x, y)
        angle = np.arctan2(y, x)
        if kind == "toothed":
            teeth_at = np.clip((wave(angle * (teeth / (2 * np.pi))) - 0.45) * 4, 0, 1)
            middle = (outer + hole) / 2
            rim = np.maximum(rho - outer + (0 if inside else (outer - middle) * 0.9) * teeth_at, rho - outer)
            bore = hole + ((middle - hole) * 0.9 * teeth_at if inside else 0) - rho
            lean = (
                (hole - rho if inside else rho - outer) / (middle - hole) * half * 0.5
            )  # the teeth stand out of the plane
            return chamfer(np.maximum(rim, bore) * 0.6, (np.abs(z - lean) - half * 0.8) * 0.8, half * 0.3)
        rise = lift * (outer - rho) / (outer - hole) + twist * angle / np.pi
        ring = chamfer(np.maximum(rho - outer, hole - rho), np.abs(z - rise) - half, half * 0.5) * 0.9
        if kind == "split":
            ring = np.maximum(ring, -np.maximum(np.abs(y + (z * 0.8)) - outer * 0.05, -x))
        return ring

    return Solid(
        distance,
        radius=float(np.hypot(outer, half + lift + twist)),
        rims=((outer, -half - twist), (hole if lift else outer, half + lift + twist)),
        standing=0.95,
        stride=0.8,
    )


def make_gear(rng: np.random.Generator) -> Solid:
    """A spur, helical or bevel gear with a bore, and perhaps hub, web, spokes and keyway."""
    teeth = int(rng.integers(10, 44))
    outer = rng.uniform(0.7, 3.0)
    depth = min(outer * rng.uniform(3.6, 4.6) / teeth, outer * 0.3)
    half = outer * rng.uniform(0.09, 0.36)
    helix = rng.uniform(-0.9, 0.9) / outer if chance(rng, 0.3) else 0.0
    bevel = rng.uniform(0.25, 0.5) / half if chance(rng, 0.18) else 0.0
    bore = outer * rng.uniform(0.12, 0.3)
    root = outer - depth
    rim = root - outer * rng.uniform(0.08, 0.14)
    hub = bore + outer * rng.uniform(0.08, 0.18)
    webbed = chance(rng, 0.55) and rim > hub * 1.2
    web = half * rng.uniform(0.25, 0.7)
    raised = half * (rng.uniform(1.1, 1.9) if chance(rng, 0.4) else 1.0)
    holes = int(rng.integers(3, 7)) if webbed and rim - hub > outer * 0.25 and chance(rng, 0.55) else 0
    hole_at, hole = (rim + hub) / 2, (rim - hub) * rng.uniform(0.28, 0.42)
    keyed = chance(rng, 0.4)
    steep = rng.uniform(1.6, 2.6)

    def distance(x: Array, y: Array, z: Array) -> Array:
        scale = 1.0 + bevel * (z + half) * 0.5 if bevel else 1.0
        rho = length(x, y) * scale
        angle = np.arctan2(y, x)
        tooth = np.clip((wave(angle * (teeth / (2 * np.pi)) + helix * z) - 0.5) * steep + 0.5, 0, 1)
        profile = np.maximum(rho - outer, (rho - root - depth * tooth) * 0.5)
        flat = np.abs(z) - half
        gear = chamfer(profile, flat, depth * 0.08)
        if webbed:
            gear = np.maximum(gear, -np.maximum(np.maximum(rho - rim, hub - rho), web - np.abs(z)))
        if raised > half:
            gear = np.minimum(
                gear, chamfer(rho - hub, np.abs(z - (raised - half) * 0.5) - (raised + half) * 0.5, hub * 0.06)
            )
        if holes:
            turn = angle * (holes / (2 * np.pi))
            turn = (turn - np.floor(turn + 0.5)) * (2 * np.pi / holes)
            gear = np.maximum(gear, hole - length(rho * np.cos(turn) - hole_at, rho * np.sin(turn)))
        gear = np.maximum(gear, np.maximum(bore - rho, (bore * 1.1 - rho + np.abs(z) - half) * 0.7071))
        if keyed:
            gear = np.maximum(gear, -np.maximum(np.abs(y) - bore * 0.28, np.abs(x - bore) - bore * 0.35))
        return gear * (0.8 if bevel else 1.0)

    return Solid(
        distance,
        radius=float(np.hypot(outer, raised)),
        rims=((outer, -half), (outer if not bevel else outer * 0.8, half), (hub, raised)),
        lying=tilt_between((outer, -half), (outer * (0.8 if bevel else 1.0), half)),
        standing=0.92 if outer > 2.5 * half else 0.8,
        stride=0.75,
    )


def make_bolt(rng: np.random.Generator) -> Solid:
    """A bolt or machine screw: hex, flange, socket, button, slotted, countersunk or carriage head."""
    kind = str(rng.choice(["hex", "hex", "hex", "flange", "socket", "socket", "button", "slotted", "sunk", "carriage"]))
    shank = rng.uniform(0.18, 0.7)
    span = shank * rng.uniform(3.0, 11.0)
    head = shank * (rng.uniform(1.5, 1.75) if kind in ("hex", "flange", "socket", "slotted") else rng.uniform(1.8, 2.3))
    tall = shank * {"socket": rng.uniform(1.7, 2.1), "sunk": 1.0, "button": 1.1, "carriage": 0.9}.get(
        kind, rng.uniform(1.0, 1.4)
    )
    pitch = shank * rng.uniform(0.26, 0.42)
    threaded = span * (1.0 if chance(rng, 0.5) else rng.uniform(0.4, 0.8))
    recess = str(rng.choice(["hex", "cross", "slot"])) if kind in ("button", "sunk", "slotted") else kind
    recess = "slot" if kind == "slotted" else recess
    middle = (span - tall) / 2  # the head's underside is at z = 0 before this shift; the tip at -span
    knurl = int(rng.integers(24, 44))
    bite = shank * 0.5

    def head_distance(x: Array, y: Array, z: Array, rho: Array) -> Array:
        slab = np.abs(z - tall / 2) - tall / 2
        if kind in ("hex", "flange"):
            shape = np.maximum(chamfer(hexagon(x, y, head), slab, head * 0.04), (rho - head) * 0.5 + (z - tall) * 0.866)
            if kind == "flange":
                shape = np.minimum(
                    shape, chamfer(rho - head * 1.35 + z * 0.5, np.abs(z - tall * 0.1) - tall * 0.1, head * 0.05)
                )
            return shape
        if kind == "sunk":
            return np.maximum(np.maximum(-z, z - tall), (rho - shank - (head - shank) * z / tall) * 0.7071)
        if kind in ("button", "carriage"):
            ball = (head * head + tall * tall) / (2 * tall)
            return np.maximum(np.sqrt(rho * rho + (z - tall + ball) ** 2) - ball, -z)
        side = rho - head
        if kind == "socket":
            side = side + shank * 0.05 * wave(np.arctan2(y, x) * (knurl / (2 * np.pi))) * (z < tall * 0.85)
        return chamfer(side, slab, head * 0.12)

    def recess_distance(x: Array, y: Array, z: Array) -> Array:
        floor = tall - z - min(bite * 1.4, tall * 0.6)
        if recess in ("socket", "hex"):
            return np.maximum(hexagon(x, y, shank * (0.82 if recess == "socket" else 0.62)), -z + tall - bite * 1.3)
        slot = np.abs(y) - shank * 0.17
        if recess == "slot":
            return np.maximum(slot, floor)
        cross = np.minimum(
            np.maximum(slot, np.abs(x) - shank * 0.8), np.maximum(np.abs(x) - shank * 0.17, np.abs(y) - shank * 0.8)
        )
        return np.maximum(cross, floor)

    def distance(x: Array, y: Array, z: Array) -> Array:
        z = z - middle
        rho = length(x, y)
        turns = z / pitch + np.arctan2(y, x) / (2 * np.pi)
        cut = pitch * 0.5 * wave(turns) * (z < threaded - span)
        rod = np.maximum(
            np.maximum((rho - shank + cut) * 0.8, np.abs(z + span / 2) - span / 2),
            (rho - shank * 0.75 - z - span) * 0.7071,
        )
        top = head_distance(x, y, z, rho)
        if recess in ("hex", "socket", "cross", "slot") and kind != "hex":
            top = np.maximum(top, -recess_distance(x, y, z))
        return np.minimum(rod, top)

    wide = head * (1.35 if kind == "flange" else 1.0)
    rim_z = tall if kind in ("hex", "socket", "slotted", "sunk") else 0.0
    return Solid(
        distance,
        radius=float(np.hypot((span + tall) / 2, wide * 1.16)),
        rims=((shank, middle - span), (wide, middle + rim_z), (wide * 0.8, middle + tall)),
        lying=tilt_between((shank, middle - span), (wide, middle + (0.0 if kind != "sunk" else tall))),
        standing=0.1,
        sides=6 if kind == "hex" else 0,
        seat=middle,
        stride=0.85,
    )


def make_spring(rng: np.random.Generator) -> Solid:
    """A compression, conical, barrel or close-wound extension spring, some of them with ground or hooked ends."""
    kind = str(rng.choice(["open", "open", "open", "closed_ends", "closed_ends", "conical", "barrel", "tight"]))
    radius = rng.uniform(0.3, 1.2)
    wire = radius * rng.uniform(0.1, 0.24)
    pitch = wire * (rng.uniform(2.04, 2.2) if kind == "tight" else rng.uniform(2.8, 5.5))
    turns = rng.uniform(4, 9) if kind != "tight" else rng.uniform(8, 16)
    flat_turns = 1.6 if kind == "closed_ends" else 0.0
    slow = wire * 2.05 / pitch
    squeeze = rng.uniform(0.3, 0.6)
    hooked = kind == "tight" and chance(rng, 0.8)
    hand = 1.0 if chance(rng, 0.7) else -1.0
    tall = pitch * (turns - 2 * flat_turns + 2 * flat_turns * slow)
    half = tall / 2

    def turn_at(z: Array) -> Array:
        """Turn of the wire's centre line at height z, without limit at the ends."""
        if not flat_turns:
            return (z + half) / pitch
        end = flat_turns * slow * pitch
        low, high = np.minimum(z + half - end, 0), np.maximum(z - half + end, 0)
        return flat_turns + (np.clip(z, end - half, half - end) + half - end + (low + high) / slow) / pitch

    def height_at(turn: Array) -> Array:
        if not flat_turns:
            return turn * pitch - half
        low, high = np.minimum(turn - flat_turns, 0), np.maximum(turn - turns + flat_turns, 0)
        between = np.clip(turn, flat_turns, turns - flat_turns) - flat_turns
        return (flat_turns * slow + between + (low + high) * slow) * pitch - half

    def coil_radius(turn: Array) -> Array | float:
        if kind == "conical":
            return radius * (1 - squeeze * turn / turns)
        if kind == "barrel":
            return radius * (1 - squeeze * (2 * turn / turns - 1) ** 2)
        return radius

    def distance(x: Array, y: Array, z: Array) -> Array:
        rho = length(x, y)
        angle = np.arctan2(y * hand, x)
        phase = angle / (2 * np.pi)
        whole = np.floor(turn_at(z) - phase + 0.5)
        # a point past either end belongs to the last turn that the wire has at this angle, or to the wire's tip
        whole = np.clip(whole, np.ceil(-phase), np.floor(turns - phase))
        turn = whole + phase
        best = length(rho - coil_radius(turn), (z - height_at(turn)) * 0.985)
        for tip in (0.0, turns):
            at = np.float32(tip) + np.zeros(1, np.float32)
            reach = float(np.max(coil_radius(at)))
            away = (2 * np.pi * tip) % (2 * np.pi)
            dx, dy = x - reach * float(np.cos(away)), y - hand * reach * float(np.sin(away))
            best = np.minimum(best, np.sqrt(dx * dx + dy * dy + (z - float(height_at(at)[0])) ** 2))
        if hooked:
            for side in (-1.0, 1.0):
                eye = side * (half + radius * 0.95)
                ring = length(length(y, z - eye) - radius * 0.9, x)
                best = np.minimum(best, np.where((y < 0) & (side * (z - eye) < 0), np.maximum(ring, wire * 2), ring))
        return best - wire

    end = half + (radius * 1.9 if hooked else 0.0)
    first, last = radius, radius * (1 - squeeze if kind == "conical" else 1.0)
    wide = radius + wire
    if kind == "barrel":
        first = last = radius * (1 - squeeze)
    rims = ((first + wire, -half - wire), (last + wire, half + wire), (wide if kind != "conical" else 0.0, 0.0))
    return Solid(
        distance,
        radius=float(np.hypot(end + wire, wide)),
        rims=rims,
        lying=tilt_between(rims[0], rims[1]),
        standing=0.0 if hooked or tall > 5 * radius else 0.22,
        stride=0.7,
    )


MAKERS: dict[str, Callable[[np.random.Generator], Solid]] = {
    "bolts": make_bolt,
    "gears": make_gear,
    "nuts": make_nut,
    "springs": make_spring,
    "washers": make_washer,
}
"""Class name -> function that draws one part of it."""
