import math
import random

import pytest

from edgeretrain.stats import (
    bootstrap_medians,
    mcnemar,
    median_interval,
    quantile,
    ratio_interval,
    rms,
    verdict,
    wilson,
)


def test_mcnemar_matches_binomial_tables():
    # two-sided exact binomial p of 2 heads in 10 tosses, and of 0 in 6
    assert mcnemar(2, 8) == pytest.approx(0.109375)
    assert mcnemar(8, 2) == mcnemar(2, 8)
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1


def test_mcnemar_stands_thousands_of_photos():
    assert 0 < mcnemar(4800, 5200) < 1e-3


def test_wilson_matches_published_example():
    # Newcombe 1998, table I: 81 of 263
    low, high = wilson(81, 263)
    assert low == pytest.approx(0.2553, abs=5e-5)
    assert high == pytest.approx(0.3662, abs=5e-5)


def test_wilson_stays_in_range_at_the_ends():
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert wilson(0, 10)[1] == pytest.approx(0.2775, abs=1e-4)
    assert wilson(0, 0) == (0, 1)


def test_median_interval_holds_the_true_median_about_95_times_in_100():
    rng = random.Random(1)
    held = 0
    for trial in range(200):
        blocks = []
        for _ in range(40):
            shift = rng.gauss(0, 1)  # runs of one block are correlated
            blocks.append([10 + shift + rng.gauss(0, 0.2) for _ in range(5)])
        _, low, high = median_interval(blocks, seed=trial)
        held += low <= 10 <= high
    assert 180 <= held <= 199


def test_median_interval_is_wider_when_runs_of_a_block_agree():
    rng = random.Random(0)
    alike = [[value] * 5 for value in (rng.gauss(10, 1) for _ in range(40))]
    apart = [[rng.gauss(10, 1) for _ in range(5)] for _ in range(40)]
    _, low_a, high_a = median_interval(alike)
    _, low_b, high_b = median_interval(apart)
    assert high_a - low_a > 1.5 * (high_b - low_b)


def test_median_interval_is_repeatable_and_holds_the_median():
    blocks = [[1.0, 2.0, 3.0], [2.0, 3.0, 9.0]]
    middle, low, high = median_interval(blocks, seed=3)
    assert (middle, low, high) == median_interval(blocks, seed=3)
    assert middle == 2.5
    assert low <= middle <= high


def test_bootstrap_refuses_nothing_and_unequal_blocks():
    with pytest.raises(ValueError, match="at least one block"):
        bootstrap_medians([])
    with pytest.raises(ValueError, match="same number of runs"):
        bootstrap_medians([[1.0, 2.0], [1.0]])


def test_ratio_interval_covers_a_ten_percent_slowdown():
    rng = random.Random(2)
    old = [[rng.gauss(10, 0.2) for _ in range(5)] for _ in range(40)]
    new = [[rng.gauss(11, 0.2) for _ in range(5)] for _ in range(40)]
    ratio, low, high = ratio_interval(old, new)
    assert low < 1.1 < high
    assert low > 1.08
    assert ratio == pytest.approx(1.1, abs=0.01)


def test_quantile_interpolates_over_all_blocks():
    assert quantile([[1, 2], [3, 4]], 0.5) == 2.5
    assert quantile([[0, 10]], 0.9) == pytest.approx(9)


def test_rms_squares_before_it_averages():
    assert rms([0.03, -0.04]) == pytest.approx(math.sqrt(0.00125))
    assert rms([]) == 0


@pytest.mark.parametrize(
    ("p50", "low", "high", "aa_error", "expected"),
    [
        (10, 9.9, 10.1, 0.005, "stable"),
        (10, 9, 11, 0.0, "noisy"),
        (10, 9.9, 10.1, -0.05, "noisy"),
        (0, 0, 0, 0, "noisy"),
    ],
)
def test_verdict_needs_a_tight_interval_and_equal_copies(p50, low, high, aa_error, expected):
    assert verdict(p50, low, high, aa_error) == expected
