"""The confusion matrix as a PNG, drawn with Pillow: for TensorBoard, which takes pictures only. Same shades as the page."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_RIGHT, _WRONG, _PAPER, _INK, _RULE = (37, 99, 171), (194, 87, 26), (255, 255, 255), (27, 36, 48), (223, 227, 233)
_SIDE, _LARGEST = 640, 64  # px of the matrix, and of a cell at most
_NAMES = 14  # px of a cell that has room for a line of text
_NUMBERS = 24  # px of a cell that has room for a count
_LABEL = 170  # px of the longest name


def draw_matrix(class_names: Sequence[str], matrix: Sequence[Sequence[int]]) -> tuple[bytes, int, int]:
    """Return (PNG, width, height in px) of a confusion matrix, rows the true classes, shaded by the share of the row.

    Names stand beside the rows and above the columns up to 45 classes, counts in the cells up to 26. Pillow's own font has
    the letters a to z: accents are left out, and a name in another script is shown as `class <number from 1>`.
    """
    counts = np.array(matrix, np.int64)
    cell = max(1, min(_LARGEST, _SIDE // len(counts)))
    side = cell * len(counts)
    names = [_label(name, i) for i, name in enumerate(class_names, 1)] if cell >= _NAMES else []
    margin = 12 + max((name.width for name in names), default=0)
    top = margin + 18
    canvas = Image.new("RGB", (max(margin + side + 10, 210), top + side + 10), _PAPER)
    canvas.paste(Image.fromarray(_shades(counts).repeat(cell, axis=0).repeat(cell, axis=1)), (margin, top))
    draw = ImageDraw.Draw(canvas)
    if cell >= 4:
        for i in range(len(counts) + 1):
            at = i * cell
            draw.line((margin, top + at, margin + side, top + at), _RULE)
            draw.line((margin + at, top, margin + at, top + side), _RULE)
    draw.rectangle((margin, top, margin + side, top + side), outline=_INK)
    draw.text((6, 4), "answered across, true class down", _INK, _font(12))
    for i, name in enumerate(names):
        middle = i * cell + cell // 2
        canvas.paste(_INK, (margin - 6 - name.width, top + middle - name.height // 2), name)
        upright = name.transpose(Image.Transpose.ROTATE_90)
        canvas.paste(_INK, (margin + middle - upright.width // 2, top - 6 - upright.height), upright)
    if cell >= _NUMBERS:
        for row, column in zip(*np.nonzero(counts), strict=True):
            place = (margin + column * cell + cell / 2, top + row * cell + cell / 2)
            draw.text(place, str(counts[row, column]), _INK, _font(13 if cell >= 36 else 10), anchor="mm")
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue(), canvas.width, canvas.height


def _shades(counts: Any) -> Any:
    """Colours uint8 [classes, classes, 3]: the more of its row a cell has, the stronger; empty cells stay white."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(len(counts), dtype=bool)
    strength = np.where(diagonal, 0.06 + 0.54 * share, 0.12 + 0.6 * share) * (counts > 0)
    colour = np.where(diagonal[..., None], _RIGHT, _WRONG)
    paper = np.array(_PAPER)
    return np.rint(paper + (colour - paper) * strength[..., None]).astype(np.uint8)


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


@cache
def _known(letter: str) -> bool:
    """Whether the font has the letter, rather than the box that stands for one it does not have."""
    return letter.isspace() or bytes(_font(13).getmask(letter)) != bytes(_font(13).getmask("\uffff"))


def _label(name: str, number: int) -> Image.Image:
    """The mask (mode L) of a name, cut to `_LABEL` px."""
    font = _font(13)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    name = plain if all(map(_known, plain)) else f"class {number}"
    if font.getlength(name) > _LABEL:
        while name and font.getlength(name + "…") > _LABEL:
            name = name[:-1]
        name += "…"
    mask = Image.new("L", (max(1, round(font.getlength(name)) + 1), 17))
    ImageDraw.Draw(mask).text((0, 0), name, 255, font)
    return mask
