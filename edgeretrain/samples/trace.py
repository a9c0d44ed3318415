"""From a scene to light: rays are marched through the solids' distances (sphere tracing; Hart 1996)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeretrain.samples.benchtop import draw_benchtop
from edgeretrain.samples.layout import Item, Scene, View
from edgeretrain.samples.light import Material, Surface, shade
from edgeretrain.samples.noise import Array, noise3, resize

_STEPS = 60
_SHADOW_STEPS = 18
_LINEAR = np.where(
    np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)
"""sRGB code -> linear light."""


def _local(item: Item, points: Array) -> Array:
    """World points [3, n] in the item's own frame."""
    own: Array = item.rotation.T @ (points - item.centre[:, None])
    return own


def _crossing(origin: Array, direction: Array, radius: float) -> tuple[Array, Array, Array]:
    """Indices of the rays that meet a ball round the origin, and where they enter and leave it."""
    toward = (origin * direction).sum(0)
    left = toward * toward - (origin * origin).sum(0) + np.float32(radius * radius)
    half = np.sqrt(np.maximum(left, 0))
    index = np.flatnonzero((left > 0) & (half > toward))
    return index, (-toward - half)[index], (half - toward)[index]


def _march(item: Item, origin: Array, direction: Array, near: Array, far: Array, pixel: float) -> Array:
    """Return how far each ray [3, n] (own frame) runs to the surface, or inf; `pixel` is a pixel's angle in radians."""
    found = np.full(near.shape, np.inf, np.float32)
    index: NDArray[np.signedinteger[Any]] = np.arange(near.size)
    at = near.copy()
    (ox, oy, oz), (dx, dy, dz), end = origin, direction, far
    stride, tolerance = np.float32(item.solid.stride), np.float32(pixel * 0.35)
    for step in range(_STEPS):
        gap = item.solid.distance(ox + dx * at, oy + dy * at, oz + dz * at)
        at = at + gap * stride
        if step % 2 == 0 and step + 1 < _STEPS:
            continue
        hit = gap < tolerance * at
        found[index[hit]] = at[hit]
        on = ~hit & (at < end)
        if not on.any():
            break
        index, at, end = index[on], at[on], end[on]
        ox, oy, oz, dx, dy, dz = (axis if axis.size == 1 else axis[on] for axis in (ox, oy, oz, dx, dy, dz))
    return found


def _lit(items: tuple[Item, ...], points: Array, light: Array, penumbra: float) -> Array:
    """Return the share 0..1 of the light from `light` [3] that reaches points [3, n]; a small `penumbra` is soft."""
    share = np.ones(points.shape[1], np.float32)
    for item in items:
        radius = item.solid.radius
        start, toward = _local(item, points), (item.rotation.T @ light)[:, None]
        index, near, far = _crossing(start, toward, radius * min(1.6, 1 + 1.5 / penumbra))
        if not index.size:
            continue
        x, y, z = start[:, index]
        least, most = np.float32(radius * 0.03), np.float32(radius * 0.5)
        at: Array = np.maximum(near, least * 0.5)
        shadow: Array = np.ones(index.size, np.float32)
        for _ in range(_SHADOW_STEPS):
            gap = item.solid.distance(x + toward[0] * at, y + toward[1] * at, z + toward[2] * at)
            shadow = np.minimum(shadow, np.float32(penumbra) * gap / at)
            at = np.minimum(at + np.clip(gap, least, most), far)
        shadow = np.maximum(shadow, -1)
        share[index] *= 0.25 * (1 + shadow) ** 2 * (2 - shadow)
    return share


def _open(item: Item, start: Array, normal: Array, heights: tuple[float, ...]) -> Array:
    """Return how open (0..1) the space over points [3, n] with normals [3, n] (own frame) is, by the item alone."""
    shut = np.zeros(start.shape[1], np.float32)
    for weight, height in zip((0.5, 0.3, 0.35), heights, strict=True):
        x, y, z = start + normal * np.float32(height)
        shut += np.float32(weight) * np.clip(1 - item.solid.distance(x, y, z) / np.float32(height), 0, 1)
    return np.maximum(1 - shut, 0.06)


def _normals(item: Item, points: Array, step: float) -> Array:
    """Return unit normals [3, n] of the item's surface at `points` [3, n], both in its own frame."""
    x, y, z = points
    total = np.zeros_like(points)
    for sx, sy, sz in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        gap = item.solid.distance(x + sx * step, y + sy * step, z + sz * step)
        total += np.asarray((sx, sy, sz), np.float32)[:, None] * gap
    unit: Array = total / np.maximum(np.sqrt((total * total).sum(0)), 1e-9)
    return unit


class _Renderer:
    """Renders one scene at `px` x `px`; `image` float32 [px, px, 3] linear light, `depth` [px, px] cm along the ray."""

    def __init__(self, scene: Scene, rng: np.random.Generator, px: int) -> None:
        self.scene, self.rng, self.px = scene, rng, px
        self.light = np.asarray(scene.around.lamps[0].direction, np.float32)
        self.rays = _rays(scene.view, px)
        self.depth: Array = -scene.view.origin[2] / self.rays[2]
        self.image = self._render_bench()
        for item in scene.items:
            self._render_item(item)

    def _render_bench(self) -> Array:
        """Render the bare bench with the shadows on it."""
        scene, px = self.scene, self.px
        half = px // 2
        rays = _rays(scene.view, half)
        points = scene.view.origin[:, None, None] + rays * (-scene.view.origin[2] / rays[2])
        points = points.reshape(3, -1)
        low, high = points[:2].min(1), points[:2].max(1)
        extent = float((high - low).max()) * 1.04
        top = draw_benchtop(self.rng, extent, round(px * 1.3))
        albedo = _LINEAR[np.asarray(_photograph(top.picture, scene.view, px, (low + high) / 2, extent))]
        self.bench: Array = albedo.mean((0, 1))

        lit = _lit(scene.items, points, self.light, scene.around.penumbra) * scene.spot(points[0], points[1])
        free = np.ones_like(lit)
        up = np.asarray((0, 0, 1), np.float32)
        for item in scene.items:
            radius = min(item.solid.radius, 2.0)
            near = np.flatnonzero(
                ((points - item.centre[:, None]) ** 2).sum(0) < (item.solid.radius + radius * 0.5) ** 2
            )
            start = _local(item, points[:, near])
            normal = np.broadcast_to((item.rotation.T @ up)[:, None], start.shape)
            free[near] *= _open(item, start, normal, (0.05 * radius, 0.18 * radius, 0.5 * radius))
        key = np.asarray(scene.around.key, np.float32)[:, None] * (lit * self.light[2])
        glow = key + scene.around.ambient[:, None] * free
        shine = self._bench_shine(rays.reshape(3, -1), top.roughness, lit * 0.6 + 0.4 * free) * np.float32(top.gloss)
        planes = [resize(plane.reshape(half, half), px, px, Image.Resampling.BILINEAR) for plane in (*glow, *shine)]
        image: Array = albedo * np.stack(planes[:3], -1) + np.stack(planes[3:], -1)
        return image

    def _bench_shine(self, rays: Array, roughness: float, visible: Array) -> Array:
        """Return the blurred mirror image [3, n] of the surroundings in the bench."""
        mirrored = rays * np.asarray((1, 1, -1), np.float32)[:, None]
        fresnel = 0.05 + 0.6 * (1 - mirrored[2]) ** 5
        spread = np.full_like(visible, roughness * roughness)
        mirror: Array = self.scene.around.radiance(mirrored, spread, np.zeros((3, 1), np.float32)) * (fresnel * visible)
        return mirror

    def _render_item(self, item: Item) -> None:
        """Paint one item over what is behind it."""
        scene, px = self.scene, self.px
        window = _window(scene.view, item, px)
        if window is None:
            return
        rows, columns = window
        rays = self.rays[:, rows, columns]
        shape = rays.shape[1:]
        direction = item.rotation.T @ rays.reshape(3, -1)
        origin = _local(item, scene.view.origin[:, None])
        behind = self.depth[rows, columns].reshape(-1)
        index, near, far = _crossing(origin, direction, item.solid.radius)
        if not index.size:
            return
        pixel = 2 / (px * scene.view.focal)
        direction = direction[:, index]
        reach = _march(item, origin, direction, near, np.minimum(far, behind[index]), pixel)
        seen = reach < behind[index]
        index, direction, reach = index[seen], direction[:, seen], reach[seen]
        if not index.size:
            return
        colour = self._shade_item(item, origin + direction * reach, direction, pixel * float(reach.mean()))
        row, column = np.divmod(index, shape[1])
        self.image[rows.start + row, columns.start + column] = colour.T
        self.depth[rows.start + row, columns.start + column] = reach

    def _shade_item(self, item: Item, points: Array, direction: Array, step: float) -> Array:
        """Return the light [3, n] from points of the item along rays `direction`, both in its own frame."""
        scene, radius = self.scene, item.solid.radius
        normal = _normals(item, points, step * 0.6)
        world = item.rotation @ points + item.centre[:, None]
        outward = item.rotation @ normal
        size = min(radius, 1.5)
        free = _open(item, points, normal, (0.06 * size, 0.2 * size, 0.5 * size))
        height = np.float32(0.4 * size)
        free *= 1 - 0.6 * np.clip(1 - (world[2] + outward[2] * height) / height, 0, 1)
        lit = _lit(scene.items, world + outward * np.float32(step * 1.5), self.light, scene.around.penumbra * 1.5)
        lit *= scene.spot(world[0], world[1])
        grain = 0.4 * size
        patches = 0.65 * noise3(self.rng, *(points / grain)) + 0.35 * noise3(self.rng, *(points / (grain * 0.23)))
        arrival = np.asarray(scene.around.key, np.float32) * self.light[2] + scene.around.ambient
        floor = (self.bench * arrival)[:, None] * (0.25 + 0.75 * free)

        second = np.zeros(free.shape, bool) if item.solid.second is None else item.solid.second(*points)
        colour = np.empty_like(points)
        for material, mask in ((item.material, ~second), (item.second, second)):
            if mask.any():
                bent = item.rotation @ self._brushed(material, points[:, mask] / radius, normal[:, mask], step / radius)
                view = -(item.rotation @ direction[:, mask])
                at = Surface(bent, view, lit[mask], free[mask], patches[mask], floor[:, mask])
                colour[:, mask] = shade(material, at, scene.around)
        return colour

    def _brushed(self, material: Material, points: Array, normal: Array, step: float) -> Array:
        """Bend normals to and fro along the radius, as turning leaves them, so that highlights fan out.

        No face is quite flat either: a slight dish lets its brightness run from one side to the other. Lengths are in
        radii of the item.
        """
        dents = self.rng.standard_normal(512, dtype=np.float32)
        rho = np.sqrt(points[0] ** 2 + points[1] ** 2) + 1e-6
        groove = rho / np.float32(max(2.5 * step, 0.01))
        whole = np.floor(groove)
        part = groove - whole
        index = whole.astype(np.int32) & 511
        depth = (dents[index] * (1 - part) + dents[(index + 1) & 511] * part) * np.float32(material.brushed)
        bent = normal.copy()
        bent[:2] += points[:2] / rho * depth
        bent += points * np.float32(material.dished)
        bent += np.float32(0.02) * self.rng.standard_normal(points.shape, dtype=np.float32)
        unit: Array = bent / np.sqrt((bent * bent).sum(0))
        return unit


def _rays(view: View, px: int) -> Array:
    """Return the unit rays [3, px, px] through the pixels' centres."""
    line = ((np.arange(px, dtype=np.float32) + 0.5) * np.float32(2 / px) - 1) / np.float32(view.focal)
    u, v = np.meshgrid(line, line)
    rays = np.tensordot(view.axes, np.stack([u, v, np.ones_like(u)]), 1)
    rays /= np.sqrt((rays * rays).sum(0))
    return rays.astype(np.float32)


def _window(view: View, item: Item, px: int) -> tuple[slice, slice] | None:
    """Return the rows and columns of pixels that the ball round the item can cover, or None if it is out of frame."""
    right, down, ahead = view.axes.T @ (item.centre - view.origin)
    radius = item.solid.radius
    if ahead < radius * 1.2:
        return None
    reach = view.focal * radius / (ahead - radius)
    spans = []
    for middle in (view.focal * down / ahead, view.focal * right / ahead):
        low = int(max(0, np.floor((middle - reach + 1) * px / 2) - 1))
        high = int(min(px, np.ceil((middle + reach + 1) * px / 2) + 1))
        if low >= high:
            return None
        spans.append(slice(low, high))
    return spans[0], spans[1]


def _photograph(picture: Image.Image, view: View, px: int, middle: Array, extent: float) -> Image.Image:
    """Return the bench's square picture, `extent` cm wide round `middle`, as the camera sees it on px x px pixels."""
    frame = np.asarray([[2 / px, 0, -1], [0, 2 / px, -1], [0, 0, view.focal]]) / view.focal
    rays = view.axes.astype(np.float64) @ frame
    origin = view.origin.astype(np.float64)
    ground = np.stack([origin[0] * rays[2] - origin[2] * rays[0], origin[1] * rays[2] - origin[2] * rays[1], rays[2]])
    scale = picture.width / extent
    shift = np.asarray(
        [
            [scale, 0, picture.width / 2 - scale * middle[0]],
            [0, scale, picture.width / 2 - scale * middle[1]],
            [0, 0, 1],
        ]
    )
    homography = shift @ ground
    homography /= homography[2, 2]
    return picture.transform(
        (px, px), Image.Transform.PERSPECTIVE, homography.ravel()[:8].tolist(), Image.Resampling.BILINEAR
    )


def render(scene: Scene, rng: np.random.Generator, px: int) -> tuple[Array, Array]:
    """Render `scene` at px x px: float32 linear light [px, px, 3] and depth along the ray [px, px] in cm."""
    renderer = _Renderer(scene, rng, px)
    return renderer.image, renderer.depth
