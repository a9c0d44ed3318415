import io

from PIL import Image

from edgeretrain.benchmark.preprocess import PHOTO_SIZE, generated_photo, measure_preprocessing


def test_measure_preprocessing_times_each_resolution():
    rows = measure_preprocessing([generated_photo(), generated_photo(1)], [192, 128], "generated")
    assert [row.res for row in rows] == [128, 192]
    for row in rows:
        assert (row.photos, row.source) == (2, "generated")
        assert row.decode_p50_ms > 0
        assert row.total_p90_ms >= row.resize_p50_ms > 0


def test_generated_photo_is_a_repeatable_jpeg_with_detail():
    data = generated_photo()
    assert data == generated_photo()
    assert Image.open(io.BytesIO(data)).size == PHOTO_SIZE
    assert 100_000 < len(data) < 2_000_000
