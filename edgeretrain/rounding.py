"""Weight steps that every kernel rounds alike.

A quantized convolution ends in `code = round(sum * m)`, m = input scale * weight step / output scale. With uint8 weights
XNNPACK does it in float32 on x86 and in fixed point on ARM. A sum whose product lies within float32's precision of a half is
rounded both ways then, and the networks part: in Google's 100/224, 2290 * 0.01375546 = 31.4999998 is 32 on x86 and 31 on ARM,
30 to 40 times in a photo, which grew to 28 codes at the last convolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ULPS = 8


def steady_step(step: np.float32, input_scale: np.float32, output_scale: np.float32, zero_point: int) -> np.float32:
    """The float32 nearest to `step` with which float32 and exact arithmetic round every sum to the same code.

    `zero_point` (of uint8) and `output_scale` are the output's: they bound the sums that count. Of `_ULPS` float32 numbers to
    either side the one is taken that gives the fewest sums another code than `step` itself does; among equals the one that
    changes only large sums, which are rare. `step` stays where none is steady.
    """
    multiplier = _multiplier(step, input_scale, output_scale)
    sums = np.arange(np.ceil(-(zero_point + 0.5) / multiplier), np.floor((255.5 - zero_point) / multiplier) + 1)
    codes = _exact(sums, multiplier)
    candidates = []
    for ulps in sorted(range(-_ULPS, _ULPS + 1), key=abs):
        near = np.float32(step + ulps * np.spacing(step))
        multiplier = _multiplier(near, input_scale, output_scale)
        found = _exact(sums, multiplier)
        if np.array_equal(found, np.rint(sums.astype(np.float32) * multiplier)):
            changed = np.abs(sums[found != codes])
            if not changed.size:
                return near
            candidates.append((changed.size, -changed.min(), near))
    return min(candidates, key=lambda candidate: candidate[:2])[2] if candidates else step


def _multiplier(step: np.float32, input_scale: np.float32, output_scale: np.float32) -> np.float32:
    """As XNNPACK's delegate multiplies: float32, in this order."""
    return np.float32(np.float32(input_scale * step) / output_scale)


def _exact(sums: NDArray[np.float64], multiplier: np.float32) -> NDArray[np.float64]:
    """`sums * multiplier`, exact in float64, rounded half up."""
    rounded: NDArray[np.float64] = np.floor(sums * np.float64(multiplier) + 0.5)
    return rounded
