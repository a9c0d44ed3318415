"""Encoded JPEGs inside a TensorFlow graph: decoded, turned upright and squeezed as `edgeretrain.images` does it.

The same steps as there, with TensorFlow's operators: large pictures are decoded at 1/2, 1/4 or 1/8 by libjpeg itself, the
picture is turned by its EXIF orientation, and squeezed with the triangle filter, across and then down, rounding to 8 bits after
each pass. What is left of a difference is that Pillow's filter has whole numbers for weights: of 100 flower photos' values
0.02 % at 128 px, 0.3 % at 160, 0.1 % at 192 and 3 % at 224 are one of 255 off, two at most (benchmarks/exports.py).
"""

from __future__ import annotations

from typing import Any

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.images import DRAFT_SIDE

EXIF_BYTES = 65536
"""Where EXIF is looked for: it comes first, and a segment of a JPEG is no longer than this."""
MAX_ENTRIES = 256
ORIENTATION = 0x0112

tf = load_tensorflow()


def squeezed_jpeg(data: Any, res: int) -> Any:
    """Pixels float32 [res, res, 3], whole numbers 0..255, of the JPEG in the string scalar `data`.

    Running it raises tf.errors.InvalidArgumentError for anything that is not a JPEG.
    """
    picture = tf.cast(_upright(_decoded(data), _orientation(data)), tf.float32)
    across = _rounded(tf.image.resize(picture, tf.stack([tf.shape(picture)[0], res]), antialias=True))
    return tf.ensure_shape(_rounded(tf.image.resize(across, [res, res], antialias=True)), [res, res, 3])


def _rounded(values: Any) -> Any:
    """Halves go up, as Pillow's do; tf.round would send every other one down."""
    return tf.floor(values + 0.5)


def _decoded(data: Any) -> Any:
    """uint8 [height, width, 3], reduced as Pillow's `draft` does: both sides stay at `DRAFT_SIDE` px or more."""

    def decode(ratio: int) -> Any:
        # the accurate transform is what Pillow uses; TensorFlow's default is the fast one
        return lambda: tf.io.decode_jpeg(data, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    shrink = tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]) // DRAFT_SIDE
    return tf.case([(shrink >= ratio, decode(ratio)) for ratio in (8, 4, 2)], default=decode(1))


def _orientation(data: Any) -> Any:
    """The EXIF orientation as an int32 scalar: 1..8, or anything else where there is none that makes sense.

    A JPEG's EXIF segment holds a TIFF header (byte order, offset of the first directory) and directories of 12-byte entries;
    the orientation is a 16-bit number with tag 0x0112 in the first one (CIPA DC-008).
    """
    start = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 0, EXIF_BYTES), tf.uint8), tf.int32)
    windows = tf.shape(start)[0] - 10
    parts = zip((0, 1, 4, 5, 6, 7, 8, 9), b"\xff\xe1Exif\0\0", strict=True)
    found = tf.where(tf.reduce_all([start[i : windows + i] == value for i, value in parts], axis=0))
    return tf.cond(tf.size(found) > 0, lambda: _first_directory(start, tf.cast(found[0, 0], tf.int32) + 10), lambda: 1)


def _first_directory(values: Any, tiff: Any) -> Any:
    """The orientation in the TIFF structure that begins at byte `tiff` of `values`, 1 if it has none."""
    little = values[tiff] == ord("I")

    def number(at: Any, size: int) -> Any:
        """Integers of `size` bytes at the offsets `at`; what lies behind the end reads as the last byte."""
        order = tf.where(little, tf.range(size), tf.range(size)[::-1])
        parts = tf.gather(values, tf.clip_by_value(at[..., None] + order, 0, tf.shape(values)[0] - 1))
        return tf.reduce_sum(parts * 256 ** tf.range(size), axis=-1)

    directory = tiff + number(tiff + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), MAX_ENTRIES))
    found = tf.boolean_mask(entries, number(entries, 2) == ORIENTATION)
    return tf.cond(tf.size(found) > 0, lambda: number(found[0] + 8, 2), lambda: 1)


def _upright(picture: Any, orientation: Any) -> Any:
    """Undo an EXIF orientation: 5 to 8 are transposed, then mirrored across (2, 3, 6, 7) and down (3, 4, 7, 8)."""

    def one_of(*codes: int) -> Any:
        return tf.reduce_any(tf.equal(orientation, codes))

    picture = tf.cond(one_of(5, 6, 7, 8), lambda: tf.transpose(picture, [1, 0, 2]), lambda: picture)
    picture = tf.cond(one_of(2, 3, 6, 7), lambda: tf.reverse(picture, [1]), lambda: picture)
    return tf.cond(one_of(3, 4, 7, 8), lambda: tf.reverse(picture, [0]), lambda: picture)
