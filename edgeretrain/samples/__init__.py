"""Sample photos: small machine parts on a workbench, rendered, for a first run on a machine that has no photos.

`parts` and `clutter` are solids, `layout` puts them on the bench, `light` and `benchtop` say what they look like there,
`trace` renders the scene and `camera` takes the photo. `folder` writes many of them.
"""

from __future__ import annotations

from edgeretrain.samples.folder import sample_folder, write_samples
from edgeretrain.samples.photo import CLASSES, VERSION, render_photo

__all__ = ["CLASSES", "VERSION", "render_photo", "sample_folder", "write_samples"]
