import io

import numpy as np
import pytest
from PIL import Image

from edgeretrain.errors import DataError
from edgeretrain.images import MAX_BYTES, decode, load_pixels, read_picture, resize
from tests.conftest import colour_photo


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "MPO"])
def test_every_format_gives_the_picture(kind):
    original = colour_photo((200, 40, 40), 1)
    pixels = resize(decode(encoded(original, kind)), 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    difference = np.abs(pixels.astype(int) - resize(original, 32))
    assert difference.mean() < 12


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "RGBA"])
def test_every_colour_mode_becomes_rgb(mode):
    grey = Image.new("RGB", (40, 40), (180, 180, 180))
    image = grey.convert(mode)
    result = decode(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert result.mode == "RGB"
    assert abs(float(np.asarray(result).mean()) - 180) < 15


def test_sixteen_bit_grey_keeps_its_tones():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    result = np.asarray(decode(encoded(Image.fromarray(ramp), "PNG")))
    assert abs(int(result[32, 32, 0]) - 128) < 3


def test_transparency_lies_over_white():
    image = Image.new("RGBA", (40, 40), (10, 10, 10, 0))
    assert np.asarray(decode(encoded(image, "PNG"))).min() == 255


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (80, 40), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise
    result = decode(encoded(image, "JPEG", exif=exif))
    assert result.size == (40, 80)
    pixels = np.asarray(result)
    assert pixels[:30].mean() > 240
    assert pixels[-30:].mean() < 15


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_matter():
    data = bytearray(encoded(colour_photo((1, 2, 3), 0), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"))
    assert decode(bytes(data)).mode == "RGB"


def test_large_jpegs_are_decoded_reduced_but_large_enough():
    image = decode(encoded(Image.new("RGB", (4000, 3000)), "JPEG"))
    assert 448 <= min(image.size) < 900


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(colour_photo((9, 99, 9), 0), "JPEG")[:-400], "damaged picture"),
        (encoded(colour_photo((9, 99, 9), 0), "PNG")[:-400], "damaged picture"),
        (b"hello, this is no picture", "not a picture but text"),
        (b"\0\1\2" * 50, "or its beginning is damaged"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "HEIC picture: export it as JPEG"),
        (b"II*\0" + bytes(60), "TIFF"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "1 x 1 px is too small"),
    ],
)
def test_unusable_contents_are_named(data, reason):
    with pytest.raises(DataError, match=reason):
        decode(data)


def test_decompression_bomb_is_refused_unopened():
    header = bytearray(encoded(Image.new("1", (10, 10)), "PNG"))
    import struct
    import zlib

    header[16:24] = struct.pack(">II", 60000, 60000)
    header[29:33] = struct.pack(">I", zlib.crc32(header[12:29]))
    with pytest.raises(DataError, match="too large"):
        decode(bytes(header))


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, reason in (
        ("empty.jpg", "empty file"),
        ("dangling.jpg", "link to a file that does not exist"),
        ("missing.jpg", "no such file"),
        ("huge.jpg", "at most 256"),
        (".", "cannot be read"),
    ):
        with pytest.raises(DataError, match=reason):
            read_picture(tmp_path / name)


def test_one_decode_gives_all_resolutions(tmp_path):
    path = tmp_path / "a.png"
    colour_photo((10, 200, 30), 3).save(path)
    small, large = load_pixels(path, [32, 64])
    assert (small.shape, large.shape) == ((32, 32, 3), (64, 64, 3))
    assert np.array_equal(small, load_pixels(path, [32])[0])
