"""One sample photo from its name: class, number and seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeretrain.errors import UsageError
from edgeretrain.samples.camera import develop
from edgeretrain.samples.layout import draw_scene
from edgeretrain.samples.trace import render

VERSION = 1
"""Counts up when the photos change, so that a cache never mixes two renderings."""

CLASSES = ("bolts", "gears", "nuts", "springs", "washers")
"""The classes, in the order of their labels."""

SMALLEST = 32
_SUPERSAMPLING = 1.25


def render_photo(class_name: str, index: int, seed: int = 0, size: int = 256) -> npt.NDArray[np.uint8]:
    """Render photo number `index` of `class_name`: uint8 [size, size, 3] sRGB, determined by the arguments alone.

    The scene stays the same at every `size` (pixels); its noise does not. The same arguments give the same bytes with
    the same numpy, Pillow and kind of processor (their roundings differ in the last bit). Raises UsageError for an
    unknown class, a negative number or a size below 32.
    """
    if class_name not in CLASSES:
        raise UsageError(f"class must be one of {', '.join(CLASSES)}, not {class_name!r}")
    if index < 0 or seed < 0:
        raise UsageError(f"index and seed must be 0 or more, not {index} and {seed}; choose others")
    if size < SMALLEST:
        raise UsageError(f"size must be at least {SMALLEST} pixels, not {size}; choose a larger one")
    streams = np.random.SeedSequence([VERSION, seed, CLASSES.index(class_name), index]).spawn(3)
    for_scene, for_surface, for_camera = (np.random.Generator(np.random.PCG64(stream)) for stream in streams)
    scene = draw_scene(for_scene, class_name)
    image, depth = render(scene, for_surface, round(size * _SUPERSAMPLING))
    focus = float(np.linalg.norm(scene.items[0].centre - scene.view.origin))
    return develop(for_camera, image, depth, focus, scene.around, size)
