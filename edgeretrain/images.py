"""The one decoder: a picture file becomes uint8 [res, res, 3] RGB, the same for training, evaluation and prediction.

The whole picture is squeezed to a square, as the ancestor retrain.py did: bilinear with the triangle filter widened when
the picture shrinks (Pillow's BILINEAR). On flowers this equals a centre crop (benchmarks/results) and loses no border.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgeretrain.errors import DataError

Pixels = NDArray[np.uint8]

PREPROCESSING = "rgb-squeeze-bilinear-1"
"""Name and version of what happens here; part of the cache key of embeddings and of every model's contract."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Accepted contents, by Pillow's names. JPEG includes the multi-picture files of many phones."""
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"))
"""What pictures are usually called. Only for telling a stray picture from a stray note, never for decoding."""

MAX_BYTES = 256 << 20
MAX_PIXELS = 178_000_000  # where Pillow itself refuses to go on
MIN_SIDE = 8  # px; smaller ones are icons or tracking pixels
DRAFT_SIDE = 448  # px; large JPEGs are decoded at 1/2, 1/4 or 1/8, never below twice the largest input size

_FOREIGN = (  # (offset, magic bytes, what to tell the owner)
    (4, b"ftyphei", "a HEIC picture: export it as JPEG"),
    (4, b"ftypmif1", "a HEIC picture: export it as JPEG"),
    (4, b"ftypavif", "an AVIF picture: export it as JPEG"),
    (4, b"ftyp", "a video"),
    (0, b"II*\0", "a TIFF or raw camera picture: export it as JPEG"),
    (0, b"MM\0*", "a TIFF or raw camera picture: export it as JPEG"),
    (0, b"%PDF", "a PDF"),
    (0, b"<svg", "an SVG drawing: export it as PNG"),
)

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `decode` bounds sizes itself
warnings.filterwarnings("ignore", message="(Corrupt|Invalid) EXIF", module="PIL")  # and does without a damaged one


def read_picture(path: Path) -> bytes:
    """Return the bytes of the file at `path`. Raises DataError with a short reason when it cannot be read."""
    try:
        size = path.stat().st_size
        if size == 0:
            raise DataError("empty file")
        if size > MAX_BYTES:
            raise DataError(f"file of {size >> 20} MiB (at most {MAX_BYTES >> 20})")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError("link to a file that does not exist" if path.is_symlink() else "no such file") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None


def decode(data: bytes) -> Image.Image:
    """Decode a picture fully: by content, turned upright by EXIF, any colour mode to RGB, transparency over white.

    Of an animation the first frame counts. Large JPEGs come back reduced, both sides at least `DRAFT_SIDE` px.
    Raises DataError with a short reason (no path) for anything that is not a whole, sane picture.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(f"{width} x {height} px is too large (at most {MAX_PIXELS // 1_000_000} megapixels)")
        if min(width, height) < MIN_SIDE:
            raise DataError(f"{width} x {height} px is too small (at least {MIN_SIDE} px a side)")
        image.draft("RGB", (DRAFT_SIDE, DRAFT_SIDE))
        image.load()
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"too large (at most {MAX_PIXELS // 1_000_000} megapixels)") from None
    except UnidentifiedImageError:
        raise DataError(_what_instead(data)) from None
    except Exception as error:  # a damaged file makes Pillow's plug-ins raise nearly anything
        raise DataError(f"damaged picture: {_first_line(error)}") from None
    return _to_rgb(_upright(image))


def resize(image: Image.Image, res: int) -> Pixels:
    """Squeeze an RGB image to uint8 [res, res, 3].

    In two calls, across and then down: left alone, Pillow 13 takes tall pictures the other way round, other versions do not.
    """
    return resize_box(image, res, (0, 0, *image.size))


def resize_box(image: Image.Image, res: int, box: tuple[float, float, float, float]) -> Pixels:
    """What `resize` makes of the `box` (left, top, right, bottom, in pixels) of a larger RGB image, uint8 [res, res, 3].

    The filter reaches beyond the box: it is the crop of a resized picture, not the resize of a cropped one.
    """
    left, top, right, bottom = box
    across = image.resize((res, image.height), Image.Resampling.BILINEAR, (left, 0, right, image.height))
    return np.asarray(across.resize((res, res), Image.Resampling.BILINEAR, (0, top, res, bottom)))


def load_pixels(path: Path, resolutions: Sequence[int]) -> list[Pixels]:
    """Decode the file at `path` once and return uint8 [res, res, 3] for each of `resolutions`. Raises DataError."""
    image = decode(read_picture(path))
    return [resize(image, res) for res in resolutions]


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the pixels
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion would clip at 255
        grey = np.clip(np.asarray(image, dtype=np.int64), 0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _what_instead(data: bytes) -> str:
    for offset, magic, what in _FOREIGN:
        if data[offset : offset + len(magic)] == magic:
            return f"not a picture this tool reads: {what}"
    kinds = "JPEG, PNG, WebP, BMP or GIF"
    if b"\0" not in data[:512]:
        return f"not a picture but text (expected {kinds})"
    return f"not a picture, or its beginning is damaged (expected {kinds})"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
