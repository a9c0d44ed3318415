"""JPEGs decoded and squeezed by TensorFlow against the one decoder."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from edgeretrain.images import decode, resize
from tests.conftest import colour_photo

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow warns about itself


@pytest.fixture(scope="module")
def squeeze():
    from edgeretrain.exports.jpeg import squeezed_jpeg, tf

    function = tf.function(lambda data: squeezed_jpeg(data, 128), input_signature=[tf.TensorSpec([], tf.string)])
    return lambda data: function(data).numpy()


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def picture(width, height):
    """Smooth, and different in all four corners."""
    return colour_photo((90, 160, 60), 3, (96, 80)).resize((width, height), Image.Resampling.BICUBIC)


def exif(order, orientation):
    mark = "<" if order == b"II" else ">"
    maker = struct.pack(f"{mark}HHII", 0x010F, 4, 1, 7)
    entry = struct.pack(f"{mark}HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + order + struct.pack(f"{mark}HIH", 42, 8, 2) + maker + entry + bytes(4)


def assert_same(squeeze, data, most=1, share=0.01):
    apart = np.abs(squeeze(data) - resize(decode(data), 128))
    assert apart.max() <= most
    assert (apart > 0).mean() <= share


@pytest.mark.parametrize("size", [(300, 200), (97, 411), (60, 50), (128, 128), (900, 1000), (1900, 2400), (3600, 3700)])
def test_pixels_are_those_of_the_one_decoder(squeeze, size):
    """Small ones, large ones that libjpeg halves up to three times, enlarged ones; at most 1 in 100 values is one off."""
    assert_same(squeeze, encoded(picture(*size), quality=92))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("order", [b"II", b"MM"], ids=["Intel", "Motorola"])
def test_photos_are_turned_upright(squeeze, order, orientation):
    data = encoded(picture(300, 200), quality=92, exif=exif(order, orientation))
    assert_same(squeeze, data)
    flat = encoded(picture(300, 200), quality=92)
    turned = np.abs(squeeze(data) - squeeze(flat)).max() > 20
    assert turned == (2 <= orientation <= 8)


@pytest.mark.parametrize("block", [exif(b"II", 6)[:-14], b"Exif\0\0I", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
def test_damaged_exif_is_no_obstacle(squeeze, block):
    assert_same(squeeze, encoded(picture(300, 200), exif=block))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colour_modes_become_rgb(squeeze, mode):
    assert_same(squeeze, encoded(picture(300, 200).convert(mode)))


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(picture(300, 200))[:2000]], ids=["empty", "text", "cut"])
def test_what_is_no_whole_jpeg_is_refused(squeeze, data):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG"):
        squeeze(data)
