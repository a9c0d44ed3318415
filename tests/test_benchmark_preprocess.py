import io

from PIL import Image

from edgeretrain.benchmark.preprocess import PHOTO_SIZE, decode_photo, generated_photo, measure_preprocessing


def test_measure_preprocessing_times_each_resolution():
    rows = measure_preprocessing([generated_photo(), generated_photo(1)], [192, 128], "generated")
    assert [row.res for row in rows] == [128, 192]
    for row in rows:
        assert (row.photos, row.source) == (2, "generated")
        assert row.decode_p50_ms > 0
        assert row.total_p90_ms >= row.resize_p50_ms > 0


def test_measure_preprocessing_uses_the_given_decoder():
    seen = []

    def decode(data):
        seen.append(data)
        return Image.new("RGB", (8, 8))

    resized = []
    measure_preprocessing([b"a", b"b"], [4], "x", decode=decode, resize=lambda image, res: resized.append(res))
    assert seen == [b"a", b"b"] * 3
    assert resized == [4] * 6


def test_generated_photo_is_a_repeatable_jpeg_with_detail():
    data = generated_photo()
    assert data == generated_photo()
    assert Image.open(io.BytesIO(data)).size == PHOTO_SIZE
    assert 100_000 < len(data) < 2_000_000


def test_decode_photo_turns_upright_and_to_rgb():
    image = Image.new("L", (40, 20), 200)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    found = decode_photo(buffer.getvalue())
    assert (found.size, found.mode) == ((20, 40), "RGB")
