"""The four distortions: geometry on pictures whose answer is known, the ancestor's order, and where the draws come from."""

import numpy as np
import pytest
from PIL import Image

from edgeretrain.distort import Distortions, copy_random, distort
from edgeretrain.images import resize
from tests.conftest import colour_photo

ALL = Distortions(True, 20, 30, 25)


class Fixed:
    """Draws that are chosen: scale, left, top, mirror, brightness, each in [0, 1)."""

    def __init__(self, *draws):
        self.draws = draws

    def random(self, count):
        assert count == len(self.draws)
        return np.array(self.draws)


def noise(width=90, height=70, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def gradient(size=400):
    """Red rises across by column, green down by row, from 0 to 255."""
    ramp = np.linspace(0, 255, size)
    pixels = np.stack([np.tile(ramp, (size, 1)), np.tile(ramp[:, None], (1, size)), np.full((size, size), 7.0)], axis=2)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


@pytest.mark.parametrize("size", [(90, 70), (31, 640), (640, 31), (32, 32), (20, 20)])
def test_all_off_is_exactly_the_plain_resize(size):
    image = noise(*size)
    np.testing.assert_array_equal(distort(image, 32, Distortions(), np.random.default_rng(0)), resize(image, 32))


@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (0.999, 0.0), (0.0, 0.999), (0.5, 0.25)])
def test_a_crop_is_that_of_the_resized_picture(left, top):
    """Against the two steps of the ancestor, done one after the other."""
    image = noise(200, 130)
    whole = resize(image, 48)  # 32 px and half as much again
    x, y = int(left * 17), int(top * 17)
    found = distort(image, 32, Distortions(random_crop=50), Fixed(0.9, left, top, 0.1, 0.9))
    assert np.abs(found.astype(int) - whole[y : y + 32, x : x + 32]).max() <= 1


def test_a_crop_shows_its_part_of_a_gradient():
    random = lambda left, top: Fixed(0.0, left, top, 0.0, 0.0)  # noqa: E731
    corner = distort(gradient(), 100, Distortions(random_crop=100), random(0.0, 0.9999))
    assert corner[:, :, 0].min() < 3
    assert 124 <= corner[:, -1, 0].mean() <= 128
    assert 126 <= corner[0, :, 1].mean() <= 130
    assert corner[-1, :, 1].min() > 252
    np.testing.assert_array_equal(np.unique(corner[:, :, 2]), [7])


def test_scale_is_between_one_and_its_limit():
    """How much of the gradient is left tells the scale that was drawn."""
    shares = []
    for seed in range(200):
        pixels = distort(gradient(), 100, Distortions(random_scale=50), np.random.default_rng(seed)).astype(float)
        shares.append((pixels[50, -1, 0] - pixels[50, 0, 0]) / 255 * 100 / 99)
    scales = 1 / np.array(shares)
    assert scales.min() == pytest.approx(1.0, abs=0.03)
    assert scales.max() == pytest.approx(1.5, abs=0.03)
    assert scales.mean() == pytest.approx(1.25, abs=0.03)


def test_margin_and_scale_multiply():
    image = noise(200, 130)
    found = distort(image, 32, Distortions(random_crop=25, random_scale=20), Fixed(0.5, 0, 0, 0, 0))
    assert np.abs(found.astype(int) - resize(image, 44)[:32, :32]).max() <= 1  # 32 * 1.25 * 1.1


def test_about_half_are_mirrored_and_the_others_left_alone():
    image = noise()
    plain = resize(image, 32)
    mirrored = 0
    for seed in range(200):
        found = distort(image, 32, Distortions(flip_left_right=True), np.random.default_rng(seed))
        flipped = np.array_equal(found, plain[:, ::-1])
        assert flipped or np.array_equal(found, plain)
        mirrored += flipped
    assert 75 <= mirrored <= 125


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.6), (0.5, 1.0), (0.75, 1.2), (1 - 1e-12, 1.4)])
def test_brightness_multiplies_rounds_and_clips(draw, factor):
    image = noise()
    found = distort(image, 32, Distortions(random_brightness=40), Fixed(0, 0, 0, 0, draw))
    expected = np.clip(np.rint(resize(image, 32) * factor), 0, 255)
    np.testing.assert_array_equal(found, expected)


def test_everything_happens_in_the_ancestors_order():
    image = noise(200, 130)
    found = distort(image, 40, Distortions(True, 20, 50, 50), Fixed(0.5, 0.9999, 0.0, 0.2, 0.9))
    cut = resize(image, 60)[:40, 20:]  # 40 px * 1.2 * 1.25, the right upper corner
    expected = np.clip(cut[:, ::-1] * 1.4, 0, 255)
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("distortions", [Distortions(), Distortions(True), ALL])
def test_as_many_numbers_are_drawn_whatever_is_on(distortions):
    random = np.random.default_rng(3)
    distort(noise(), 32, distortions, random)
    other = np.random.default_rng(3)
    other.random(5)
    assert random.random() == other.random()


def test_turning_one_on_leaves_what_the_others_draw():
    image = noise(200, 200)
    crop = distort(image, 32, Distortions(random_crop=50), np.random.default_rng(1))
    both = distort(image, 32, Distortions(flip_left_right=True, random_crop=50), np.random.default_rng(1))
    assert np.array_equal(both, crop) or np.array_equal(both, crop[:, ::-1])


@pytest.mark.parametrize("size", [(8, 8), (3000, 9), (9, 3000), (224, 224)])
def test_any_shape_and_the_strongest_distortions_give_whole_pixels(size):
    for seed in range(20):
        pixels = distort(noise(*size), 128, Distortions(True, 100, 100, 100), np.random.default_rng(seed))
        assert (pixels.shape, pixels.dtype) == ((128, 128, 3), np.uint8)
        assert pixels.flags.c_contiguous


def test_copies_follow_from_seed_photo_and_number_alone():
    image = colour_photo((200, 40, 40), 1)
    draw = lambda *key: distort(image, 64, ALL, copy_random(*key)).tobytes()  # noqa: E731
    keys = [(0, b"a" * 32, 1), (0, b"a" * 32, 2), (0, b"b" * 32, 1), (1, b"a" * 32, 1)]
    assert len({draw(*key) for key in keys}) == 4
    assert [draw(*key) for key in keys] == [draw(*key) for key in keys]


def test_distortions_are_false_when_all_is_off_and_say_what_is_on():
    assert not Distortions()
    for one in (
        Distortions(True),
        Distortions(random_crop=1),
        Distortions(random_scale=1),
        Distortions(False, 0, 0, 1),
    ):
        assert one
    assert str(Distortions()) == "none"
    assert str(Distortions(True, 10, 0, 12.5)) == "flip, crop 10 %, brightness 12.5 %"
