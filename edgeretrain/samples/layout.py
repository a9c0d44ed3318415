"""What lies where, and from where it is seen: one workbench scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeretrain.samples.clutter import draw_clutter, make_rod
from edgeretrain.samples.light import Material, Surroundings, draw_metal, draw_plastic, draw_surroundings
from edgeretrain.samples.noise import Array, chance
from edgeretrain.samples.parts import MAKERS
from edgeretrain.samples.shapes import Solid


@dataclass(frozen=True)
class Item:
    """A solid at its place: `rotation` [3, 3] takes its own frame to the bench's, `centre` [3] is in cm, z up."""

    solid: Solid
    material: Material
    second: Material
    rotation: Array
    centre: Array


@dataclass(frozen=True)
class View:
    """A pinhole camera: `origin` [3] cm, `axes` [3, 3] with columns right, down, forward; `focal` in half frames."""

    origin: Array
    axes: Array
    focal: float

    def ground(self, u: float, v: float) -> tuple[float, float]:
        """Return the point of the bench seen at frame coordinates u, v (-1..1, right and down)."""
        ray = self.axes @ np.asarray((u / self.focal, v / self.focal, 1), np.float32)
        reach = -self.origin[2] / ray[2]
        return float(self.origin[0] + reach * ray[0]), float(self.origin[1] + reach * ray[1])


@dataclass(frozen=True)
class Spot:
    """Where the key light reaches: a pool of light round `pool` and the edge of a shadow cast from out of frame."""

    pool: tuple[float, float]
    reach: float
    edge: tuple[float, float, float]
    softness: float
    depth: float

    def __call__(self, x: Array, y: Array) -> Array:
        """Return the share 0..1 of the key light at bench points x, y."""
        away = ((x - self.pool[0]) ** 2 + (y - self.pool[1]) ** 2) / np.float32(self.reach**2)
        side = (self.edge[0] * x + self.edge[1] * y - self.edge[2]) / np.float32(self.softness)
        share: Array = (1 - self.depth * (0.5 + 0.5 * np.tanh(side))) / (1 + away)
        return share


@dataclass(frozen=True)
class Scene:
    """Everything the renderer needs. The first item is the part that gives the photo its label."""

    items: tuple[Item, ...]
    view: View
    around: Surroundings
    spot: Spot
    distance: float


def _rotation(azimuth: float, elevation: float, roll: float) -> Array:
    """Return the rotation [3, 3] that points the z axis at these angles after turning by `roll` about it."""
    ca, sa, ce, se = np.cos(azimuth), np.sin(azimuth), np.sin(elevation), np.cos(elevation)
    cr, sr = np.cos(roll), np.sin(roll)
    turn = np.asarray([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
    lean = np.asarray([[ce, 0, se], [0, 1, 0], [-se, 0, ce]])
    spin = np.asarray([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: Array = (turn @ lean @ spin).astype(np.float32)
    return rotation


def _place(rng: np.random.Generator, solid: Solid, material: Material, second: Material, x: float, y: float) -> Item:
    """Let the solid come to rest at (x, y): flat or upright, on its side, leaning, or planted in a hole."""
    roll = rng.uniform(0, 2 * np.pi)
    if chance(rng, solid.standing):
        elevation = np.pi / 2 if chance(rng, solid.upright) else -np.pi / 2
        if chance(rng, 0.1):
            elevation -= np.sign(elevation) * rng.uniform(0.08, 0.6)  # leans on something
    else:
        elevation = solid.lying + rng.uniform(-0.02, 0.02)
        if solid.sides:
            roll = 2 * np.pi / solid.sides * int(rng.integers(solid.sides)) + rng.uniform(-0.03, 0.03)
    rotation = _rotation(rng.uniform(0, 2 * np.pi), elevation, roll)
    rise = np.sin(elevation)
    lowest = min(z * rise - r * np.sqrt(max(0.0, 1 - rise * rise)) for r, z in solid.rims)
    if solid.seat is not None and elevation > 1.5:
        lowest = solid.seat
    return Item(solid, material, second, rotation, np.asarray((x, y, -lowest), np.float32))


def _draw_view(rng: np.random.Generator, distance: float) -> View:
    """Look down on the bench's origin from `distance` cm away."""
    elevation = np.radians(rng.uniform(66, 88) if chance(rng, 0.45) else rng.uniform(48, 66))
    azimuth, roll = rng.uniform(0, 2 * np.pi), np.radians(rng.normal(0, 4))
    back = np.asarray([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.asarray([-np.sin(azimuth), np.cos(azimuth), 0.0])
    down = np.cross(-back, right)
    axes = np.stack([right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll), -back], 1)
    return View((back * distance).astype(np.float32), axes.astype(np.float32), rng.uniform(2.4, 3.2))


def _draw_part(rng: np.random.Generator, class_name: str) -> tuple[Solid, Material, Material]:
    return MAKERS[class_name](rng), draw_metal(rng, class_name), draw_plastic(rng)


def _occluder(rng: np.random.Generator, target: Item) -> Item:
    """A rod laid across the target, near its rim, resting on its top."""
    solid, material, second = make_rod(rng)
    azimuth, sag = rng.uniform(0, 2 * np.pi), rng.uniform(-0.06, 0.06)
    thick = solid.rims[0][0]
    reach = target.solid.radius * rng.uniform(0.25, 0.75)
    top = float(target.centre[2]) + min(float(target.centre[2]), target.solid.radius) + thick
    shift = rng.uniform(-0.3, 0.3) * solid.radius
    along = np.asarray((np.cos(azimuth), np.sin(azimuth), 0))
    beside = np.asarray((-np.sin(azimuth), np.cos(azimuth), 0))
    centre = target.centre + beside * reach + along * shift + np.asarray((0, 0, top - target.centre[2]))
    return Item(solid, material, second, _rotation(azimuth, sag, 0.0), centre.astype(np.float32))


def draw_scene(rng: np.random.Generator, class_name: str) -> Scene:
    """Draw a scene about one part of `class_name`, perhaps with more of its kind, clutter, a stranger at the edge."""
    part = _draw_part(rng, class_name)
    share = float(
        rng.choice([rng.uniform(0.18, 0.3), rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.9)], p=[0.03, 0.25, 0.72])
    )
    focal_guess = 2.8
    distance = focal_guess * part[0].radius / share
    view = _draw_view(rng, distance)
    room = max(0.06, 0.7 - share)
    target = _place(rng, *part, *view.ground(rng.uniform(-room, room), rng.uniform(-room, room)))
    items = [target]

    def add(things: tuple[Solid, Material, Material], reach: float) -> None:
        for _ in range(6):
            x, y = view.ground(rng.uniform(-reach, reach), rng.uniform(-reach, reach))
            if all(
                np.hypot(x - o.centre[0], y - o.centre[1]) > 0.9 * (things[0].radius + o.solid.radius) for o in items
            ):
                items.append(_place(rng, *things, x, y))
                return

    more = int(rng.choice([0, 1, 2, 4], p=[0.7, 0.16, 0.1, 0.04]))
    alike = chance(rng, 0.5)
    for _ in range(more):
        add(part if alike else _draw_part(rng, class_name), 0.85)
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.58, 0.28, 0.1, 0.04]))):
        add(draw_clutter(rng), 1.1)
    if chance(rng, 0.04):
        stranger = _draw_part(rng, str(rng.choice([name for name in MAKERS if name != class_name])))
        angle = rng.uniform(0, 2 * np.pi)
        edge = max(abs(np.cos(angle)), abs(np.sin(angle)))
        x, y = view.ground(np.cos(angle) / edge * 1.03, np.sin(angle) / edge * 1.03)
        items.append(_place(rng, *stranger, x, y))
    if chance(rng, 0.06):
        items.append(_occluder(rng, target))
    ahead = view.axes[:, 2]
    around = draw_surroundings(rng, (-float(ahead[0]), -float(ahead[1]), -float(ahead[2])))
    angle = rng.uniform(0, 2 * np.pi)
    spot = Spot(
        pool=view.ground(rng.uniform(-1, 1), rng.uniform(-1, 1)),
        reach=distance * rng.uniform(0.5, 2.5),
        edge=(float(np.cos(angle)), float(np.sin(angle)), distance * rng.uniform(-0.1, 0.4)),
        softness=distance * rng.uniform(0.01, 0.12),
        depth=rng.uniform(0.3, 0.85) if chance(rng, 0.35) else 0.0,
    )
    return Scene(tuple(items), view, around, spot, distance)
