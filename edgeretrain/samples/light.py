"""Light and the stuff it falls on: the surroundings a part mirrors, and the materials parts are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgeretrain.samples.noise import Array, chance, smoothstep

Colour = tuple[float, float, float]
"""Linear red, green, blue; 1.0 is a white sheet under full light."""


@dataclass(frozen=True)
class Lamp:
    """A round glow in the surroundings: unit direction, sharpness (1/solid angle) and linear colour."""

    direction: Colour
    sharpness: float
    colour: Colour


@dataclass(frozen=True)
class Surroundings:
    """All that shines on the bench. `lamps[0]` is the key light, the one that throws shadows; `key` what it gives."""

    lamps: tuple[Lamp, ...]
    key: Colour
    penumbra: float
    wall: Colour
    ceiling: Colour
    horizon: float
    camera: Colour

    @property
    def ambient(self) -> Array:
        """Light from everywhere on an upward face, float32 [3]."""
        return np.asarray(self.ceiling, np.float32) * 0.7 + np.asarray(self.wall, np.float32) * 0.3

    def radiance(self, direction: Array, spread: Array, floor: Array) -> Array:
        """Return what is seen in `direction` [3, n] through a mirror of roughness `spread` [n]; float32 [3, n].

        `floor` [3, n] is the light coming back from the bench, seen in directions below the horizon.
        """
        up = direction[2]
        width = 0.06 + spread * 0.9
        above = smoothstep(0.0, 1.0, (up - self.horizon) / width * 0.5 + 0.5)
        below = smoothstep(0.0, 1.0, -up / width * 0.5 + 0.5)
        wall, ceiling = (np.asarray(c, np.float32)[:, None] for c in (self.wall, self.ceiling))
        seen = (wall + (ceiling - wall) * above) * (1 - below)
        # the phone and the hand that holds it stand dark before the ceiling
        facing = np.asarray(self.camera, np.float32) @ direction
        seen *= 1 - 0.65 * np.exp((facing - 1) / (0.03 + spread * 0.5))
        for lamp in self.lamps:
            toward = np.asarray(lamp.direction, np.float32) @ direction
            sharpness = 1 / (1 / lamp.sharpness + 2 * spread * spread)
            glow = np.exp(sharpness * (toward - 1)) * (sharpness / lamp.sharpness) * (1 - below)
            seen += np.asarray(lamp.colour, np.float32)[:, None] * glow
        seen += floor * below
        bounded: Array = np.minimum(seen, np.float32(8.0))
        return bounded


def direction_of(azimuth: float, elevation: float) -> Colour:
    """Return the unit vector with these angles in radians; z is up."""
    flat = float(np.cos(elevation))
    return (flat * float(np.cos(azimuth)), flat * float(np.sin(azimuth)), float(np.sin(elevation)))


def temperature(warmth: float) -> Colour:
    """Return the linear colour of white light between shade (-1) and a light bulb (+1), of about equal brightness."""
    return (1 + 0.28 * warmth, 1 - 0.02 * abs(warmth), 1 - 0.38 * warmth)


def _tinted(colour: Colour, strength: float) -> Colour:
    return (colour[0] * strength, colour[1] * strength, colour[2] * strength)


def draw_surroundings(rng: np.random.Generator, camera: Colour) -> Surroundings:
    """Draw a workshop: a key light (window, tube or bulb), fill lights, walls and ceiling."""
    kind = str(rng.choice(["window", "window", "bulb", "tube", "sky", "torch"]))
    warm = {"window": rng.uniform(-0.6, 0.1), "sky": rng.uniform(-0.5, 0.0), "bulb": rng.uniform(0.2, 0.9)}.get(
        kind, rng.uniform(-0.3, 0.4)
    )
    strength = {"sky": rng.uniform(0.25, 0.5), "torch": rng.uniform(1.0, 1.6)}.get(kind, rng.uniform(0.7, 1.4))
    sharpness = {"window": rng.uniform(8, 22), "bulb": rng.uniform(60, 200), "tube": rng.uniform(20, 60)}.get(
        kind, 5.0 if kind == "sky" else 400.0
    )
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = rng.uniform(0.45, 1.35) if kind != "torch" else rng.uniform(0.9, 1.3)
    key = _tinted(temperature(warm), strength)
    lamps = [Lamp(direction_of(azimuth, elevation), sharpness, _tinted(key, min(sharpness * 0.5, 30.0)))]
    if kind in ("window", "tube"):  # panes, or the length of the tube: neighbours of the first glow
        step = rng.uniform(0.25, 0.5)
        for offset in (-step, step):
            lamps.append(replace(lamps[0], direction=direction_of(azimuth + offset, elevation)))
        lamps = [replace(lamp, colour=_tinted(lamp.colour, 0.45)) for lamp in lamps]
    for _ in range(int(rng.integers(1, 5))):
        where = direction_of(rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.4))
        glow = _tinted(temperature(rng.uniform(-0.5, 0.8)), rng.uniform(0.3, 2.0))
        lamps.append(Lamp(where, rng.uniform(8, 90), glow))
    around = rng.uniform(0.1, 0.4)
    return Surroundings(
        lamps=tuple(lamps),
        key=key,
        penumbra={"sky": 2.5, "window": rng.uniform(3, 7), "tube": rng.uniform(5, 12)}.get(kind, rng.uniform(14, 40)),
        wall=_tinted(temperature(rng.uniform(-0.3, 0.6)), around * rng.uniform(0.15, 0.9)),
        ceiling=_tinted(temperature(warm * 0.6), around * rng.uniform(0.7, 1.7)),
        horizon=rng.uniform(0.15, 0.5),
        camera=camera,
    )


@dataclass(frozen=True)
class Material:
    """How a surface answers light: mirror colour at normal incidence, body colour, roughness, and its wear."""

    mirror: Colour
    body: Colour = (0.0, 0.0, 0.0)
    roughness: float = 0.3
    brushed: float = 0.0
    dished: float = 0.12
    rust: float = 0.0
    grime: float = 0.2


_METALS: tuple[tuple[Colour, Colour, tuple[float, float]], ...] = (
    # mirror colour, body colour, range of roughness
    ((0.74, 0.76, 0.80), (0.02, 0.02, 0.02), (0.28, 0.48)),  # bright zinc
    ((0.70, 0.66, 0.50), (0.03, 0.03, 0.01), (0.25, 0.45)),  # yellow passivated zinc
    ((0.62, 0.60, 0.57), (0.01, 0.01, 0.01), (0.2, 0.45)),  # stainless
    ((0.07, 0.07, 0.075), (0.015, 0.015, 0.016), (0.3, 0.5)),  # black oxide
    ((0.86, 0.66, 0.32), (0.03, 0.02, 0.0), (0.2, 0.42)),  # brass
    ((0.90, 0.52, 0.36), (0.03, 0.01, 0.0), (0.22, 0.42)),  # copper
    ((0.36, 0.34, 0.32), (0.03, 0.028, 0.025), (0.35, 0.55)),  # oiled plain steel
    ((0.82, 0.80, 0.78), (0.0, 0.0, 0.0), (0.12, 0.2)),  # chrome or nickel
)
_SHARES: dict[str, tuple[tuple[float, ...], float]] = {
    # how common each of these metals is, and the probability of plastic or paint instead
    "bolts": ((4, 1.5, 2, 4, 0.7, 0.3, 1, 0.7), 0.02),
    "gears": ((0.7, 0.2, 1, 2, 4, 0.3, 4, 0.2), 0.2),
    "nuts": ((5, 1.5, 3, 1, 1.5, 0.3, 0.6, 0.7), 0.03),
    "springs": ((2, 0.3, 4, 2, 0.3, 0.8, 3, 1.5), 0.03),
    "washers": ((4, 1, 3, 1, 1, 1.5, 1, 0.3), 0.05),
    "clutter": ((1, 1, 1, 1, 1, 1, 1, 1), 0.3),
}
_RUST = np.asarray((0.17, 0.07, 0.03), np.float32)


def draw_metal(rng: np.random.Generator, kind: str) -> Material:
    """Draw what a thing of this kind (a class name or "clutter") is made of: mostly metals, some painted or moulded."""
    shares, plastic = _SHARES[kind]
    if chance(rng, plastic):
        return draw_plastic(rng)
    mirror, body, (low, high) = _METALS[int(rng.choice(len(_METALS), p=np.asarray(shares) / sum(shares)))]
    return Material(
        _tinted(mirror, rng.uniform(0.8, 1.06)),
        body,
        roughness=rng.uniform(low, high),
        brushed=rng.uniform(0.02, 0.14) if chance(rng, 0.7) else 0.0,
        dished=rng.uniform(0.05, 0.3),
        rust=rng.uniform(0.3, 1.0) if chance(rng, 0.14) else 0.0,
        grime=rng.uniform(0.0, 0.6),
    )


def draw_plastic(rng: np.random.Generator) -> Material:
    """Draw paint, nylon, rubber or moulded plastic of any colour."""
    if chance(rng, 0.5):
        grey = rng.uniform(0.02, 0.75)
        body: Colour = (grey, grey * rng.uniform(0.93, 1.0), grey * rng.uniform(0.85, 1.0))
    else:
        body = (rng.uniform(0.02, 0.7), rng.uniform(0.02, 0.5), rng.uniform(0.02, 0.5))
    return Material((0.04, 0.04, 0.04), body, rng.uniform(0.2, 0.7), grime=rng.uniform(0, 0.5))


@dataclass(frozen=True)
class Surface:
    """Points to be shaded: float32 arrays [3, n] (normal, view: unit, from the point to the camera) and [n]."""

    normal: Array
    view: Array
    lit: Array
    open: Array
    patches: Array
    floor: Array


def shade(material: Material, at: Surface, around: Surroundings) -> Array:
    """Return the light [3, n] that leaves the points toward the camera.

    `lit` is 0 in the key light's shadow, `open` 0 in corners; `patches`, noise in 0..1, says where rust and grime sit.
    The mirror part is Schlick's Fresnel times the surroundings seen at that roughness; the rest is plain diffuse light.
    """
    rust = smoothstep(0.62, 0.78, at.patches * 0.55 + material.rust * 0.62) if material.rust else np.zeros_like(at.lit)
    grime = material.grime * smoothstep(0.35, 0.9, 1 - at.patches) * 0.8
    keep = 1 - rust
    mirror = np.asarray(material.mirror, np.float32)[:, None] * (keep * (1 - 0.5 * grime)) + 0.03 * rust
    body = np.asarray(material.body, np.float32)[:, None] * keep + _RUST[:, None] * (rust * (0.5 + at.patches))
    body = body * (1 - 0.5 * grime) + 0.02 * grime
    roughness = np.clip(material.roughness * (0.8 + 0.5 * at.patches) + 0.5 * rust + 0.15 * grime, 0.05, 0.95)

    facing = np.clip((at.normal * at.view).sum(0), 0.02, 1.0)
    reflected = 2 * facing * at.normal - at.view
    fresnel = mirror + (np.maximum(1 - roughness, mirror) - mirror) * (1 - facing) ** 5
    # a corner sees its own walls in place of the room, and the key light is missing from a mirror in shadow
    seen = around.radiance(reflected, roughness * roughness, at.floor)
    shine = fresnel * seen * (0.25 + 0.75 * at.open) * (0.45 + 0.55 * at.lit)

    key_direction = np.asarray(around.lamps[0].direction, np.float32)
    direct = np.maximum(key_direction @ at.normal, 0) * at.lit
    upward = (at.normal[2] * 0.5 + 0.5) * at.open
    light = np.asarray(around.key, np.float32)[:, None] * direct + around.ambient[:, None] * upward
    light += at.floor * (0.5 - 0.5 * at.normal[2]) * at.open
    leaving: Array = shine + body * light
    return leaving
