"""How sure a figure is: intervals of medians and of proportions, an exact paired test, the noise of a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution: half the width of a 95 % interval in standard errors."""
REPLICATES = 1000
"""Bootstrap resamples behind each interval."""
STABLE = 0.02
"""A timing is called stable when its interval's half-width and its A/A error are both below this share of it."""

Blocks = Sequence[Sequence[float]]
"""Samples in the order they were taken, grouped in blocks of consecutive runs; all blocks of one length."""


def bootstrap_medians(blocks: Blocks, *, seed: int = 0, replicates: int = REPLICATES) -> NDArray[np.float64]:
    """Return `replicates` medians, float64 [replicates], of resamples of `blocks` (drawn whole, with replacement).

    Runs of one block share the state of the machine, so they are not independent; the block is the unit that is drawn
    (Künsch 1989, "The jackknife and the bootstrap for general stationary observations"). Raises ValueError when there
    is no block, or when blocks differ in length.
    """
    import numpy as np

    if not blocks or not blocks[0]:
        raise ValueError("an interval needs at least one block of one run")
    if len({len(block) for block in blocks}) != 1:
        raise ValueError("blocks must all have the same number of runs")
    samples = np.asarray(blocks, np.float64)
    rng = np.random.default_rng(seed)
    medians = np.empty(replicates)
    chunk = max(1, 2_000_000 // samples.size)  # bounds the memory of long measurements
    for start in range(0, replicates, chunk):
        count = min(chunk, replicates - start)
        drawn = samples[rng.integers(0, len(samples), (count, len(samples)))]
        medians[start : start + count] = np.median(drawn.reshape(count, -1), axis=1)
    return medians


def median_interval(blocks: Blocks, *, seed: int = 0) -> tuple[float, float, float]:
    """Return the median of all samples and the bounds of its 95 % bootstrap interval, in the samples' unit."""
    import numpy as np

    low, high = np.quantile(bootstrap_medians(blocks, seed=seed), (0.025, 0.975))
    middle = float(np.median(np.asarray(blocks, np.float64)))
    return middle, min(float(low), middle), max(float(high), middle)


def ratio_interval(old: Blocks, new: Blocks, *, seed: int = 0) -> tuple[float, float, float]:
    """Return median(new) / median(old) and the bounds of its 95 % bootstrap interval."""
    import numpy as np

    ratios = bootstrap_medians(new, seed=seed) / bootstrap_medians(old, seed=seed + 1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    middle = float(np.median(np.asarray(new, np.float64)) / np.median(np.asarray(old, np.float64)))
    return middle, min(float(low), middle), max(float(high), middle)


def quantile(blocks: Blocks, share: float) -> float:
    """Return the `share` quantile (0 to 1) of all samples, linearly interpolated."""
    import numpy as np

    return float(np.quantile(np.asarray(blocks, np.float64), share))


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Return the bounds of the 95 % Wilson score interval of `correct / total` (Wilson 1927). (0, 1) for no trials."""
    if total <= 0:
        return 0.0, 1.0
    share, z2 = correct / total, Z95 * Z95
    centre = share + z2 / (2 * total)
    spread = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    scale = 1 + z2 / total
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return (low if correct else 0.0), (high if correct < total else 1.0)  # both ends exactly, despite rounding


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's exact test: is one of two classifiers better on the same photos?

    `only_first` photos are right for the first classifier alone, `only_second` for the second alone; without a
    difference each of them is a fair coin (McNemar 1947; the binomial form needs no large sample).
    """
    total = only_first + only_second
    tail = term = 1  # binomial coefficients, each from the one before: exact, and fast for thousands of photos
    for k in range(min(only_first, only_second)):
        term = term * (total - k) // (k + 1)
        tail += term
    return min(1.0, float(2 * tail / 2**total))


def rms(values: Sequence[float]) -> float:
    """Return the root mean square of `values`; 0 for none."""
    return math.sqrt(sum(value * value for value in values) / len(values)) if values else 0.0


def verdict(p50: float, low: float, high: float, aa_error: float) -> str:
    """Return `stable` or `noisy` for a median, its interval and the relative difference of its two copies."""
    half_width = (high - low) / 2 / p50 if p50 else math.inf
    return "stable" if half_width < STABLE and abs(aa_error) < STABLE else "noisy"
