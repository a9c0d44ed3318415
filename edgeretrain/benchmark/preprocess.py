"""What happens to a photo before inference: decoding and resizing, timed apart."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Sequence

from edgeretrain.benchmark.result import Preprocessing
from edgeretrain.stats import quantile

PHOTO_SIZE = (1280, 960)
"""Width and height in pixels of the generated photo: what a phone's camera preview delivers, about."""
REPEATS = 3


def measure_preprocessing(photos: Sequence[bytes], resolutions: Sequence[int], source: str) -> list[Preprocessing]:
    """Decode and resize each photo (the bytes of a file) several times to every resolution; return the figures."""
    from edgeretrain.images import decode, resize

    decoded_ms: list[float] = []
    resized_ms: dict[int, list[float]] = {res: [] for res in resolutions}
    clock = time.perf_counter_ns
    for _ in range(REPEATS):
        for data in photos:
            start = clock()
            image = decode(data)
            decoded_ms.append((clock() - start) / 1e6)
            for res, times in resized_ms.items():
                start = clock()
                resize(image, res)
                times.append((clock() - start) / 1e6)
    return [
        Preprocessing(
            res=res,
            photos=len(photos),
            source=source,
            decode_p50_ms=statistics.median(decoded_ms),
            resize_p50_ms=statistics.median(times),
            total_p90_ms=quantile([[a + b for a, b in zip(decoded_ms, times, strict=True)]], 0.9),
        )
        for res, times in sorted(resized_ms.items())
    ]


def generated_photo(seed: int = 0) -> bytes:
    """Return a JPEG of `PHOTO_SIZE` with about the detail of a photo: smooth noise of several scales."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    width, height = PHOTO_SIZE
    total = np.zeros((height, width, 3), np.float32)
    scales = (2, 8, 32, 128)
    for scale in scales:
        coarse = rng.integers(0, 256, (max(2, height // scale), max(2, width // scale), 3), np.uint8)
        fine = Image.fromarray(coarse).resize(PHOTO_SIZE, Image.Resampling.BILINEAR)
        total += np.asarray(fine, np.float32) * (scale**0.5 / sum(s**0.5 for s in scales))
    buffer = io.BytesIO()
    Image.fromarray(total.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
