import numpy as np
import pytest

from edgeretrain import rounding
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.rounding import steady_step
from tests.conftest import hosted_file

STEP, SCALE = np.float32(0.013755458), np.float32(0.023528477)
"""Conv2d_3_pointwise of Google's 100/224."""


def rounded(step, input_scale, output_scale, zero_point=0):
    """Codes of all sums that are no more than a uint8 can say: by float32, half to even, and exactly, half up."""
    multiplier = np.float32(np.float32(input_scale * step) / output_scale)
    sums = np.arange(-int((zero_point + 0.5) / multiplier), int((255.5 - zero_point) / multiplier) + 1)
    in_float32 = np.rint(sums.astype(np.float32) * multiplier)
    exact = np.floor(sums * np.float64(multiplier) + 0.5)
    return sums, in_float32, exact


def test_a_step_that_is_rounded_two_ways_gives_way_by_one_ulp_and_keeps_every_code():
    sums, in_float32, exact = rounded(STEP, SCALE, SCALE)
    assert sums[in_float32 != exact].tolist() == [2290, 11450]
    step = steady_step(STEP, SCALE, SCALE, 0)
    assert step == np.nextafter(STEP, np.float32(0))
    _, in_float32, after = rounded(step, SCALE, SCALE)
    assert np.array_equal(in_float32, after)
    assert np.array_equal(after, exact)


def test_a_steady_step_stays():
    step = np.float32(0.0123)
    _, in_float32, exact = rounded(step, SCALE, SCALE)
    assert np.array_equal(in_float32, exact)
    assert steady_step(step, SCALE, SCALE, 0) == step


def test_exact_halves_of_both_signs_are_moved():
    """float32 rounds 0.5 to 0 and -1.5 to -2, fixed point to 1 and -1."""
    half, one = np.float32(0.5), np.float32(1)
    step = steady_step(half, one, one, 100)
    assert 0 < abs(step - half) < 1e-6
    _, in_float32, exact = rounded(step, one, one, 100)
    assert np.array_equal(in_float32, exact)


def test_a_step_without_a_steady_neighbour_stays(monkeypatch):
    monkeypatch.setattr(rounding, "_ULPS", 0)
    assert steady_step(STEP, SCALE, SCALE, 0) == STEP


@pytest.mark.parametrize("width", ["025", "075", "100"])
def test_googles_networks_become_steady_at_the_price_of_at_most_one_rare_sum(shared, width):
    backbone = read_hosted(hosted_file(shared, width).read_bytes(), "hosted")
    scale, unsteady, changed = np.float32(backbone.input_quantization[0]), 0, 0
    for layer in backbone.layers:
        step = layer.per_tensor[1]
        _, in_float32, exact = rounded(step, scale, layer.activation_scale)
        _, in_float32_after, after = rounded(
            steady_step(step, scale, layer.activation_scale, 0), scale, layer.activation_scale
        )
        shorter = min(len(exact), len(after))
        unsteady += not np.array_equal(in_float32, exact)
        changed += int((exact[:shorter] != after[:shorter]).sum())
        assert np.array_equal(in_float32_after, after)
        scale = layer.activation_scale
    assert unsteady == {"025": 1, "075": 1, "100": 3}[width]
    assert changed == {"025": 0, "075": 0, "100": 1}[width]
