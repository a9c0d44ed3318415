"""Event files, read back by TensorBoard itself."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from edgeretrain import events
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.events import FILE_NAME, EventFile, histogram, image, masked_crc32c, scalar, text


def unmasked(masked):
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this and the next two: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc_is_that_of_the_standard(data, crc):
    assert unmasked(masked_crc32c(data)) == crc


@pytest.mark.parametrize("length", [1, 3, 4, 511, 512, 513, 515, 1024, 1027, 5000])
def test_crc_of_blocks_is_that_of_tensorboard(tensorboard, length):
    from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

    data = np.random.default_rng(length).integers(0, 256, length, dtype=np.uint8).tobytes()
    assert masked_crc32c(data) == pywrap_tensorflow.masked_crc32c(data)


def test_what_is_written_is_what_tensorboard_reads(tensorboard, tmp_path):
    values = np.random.default_rng(0).normal(3, 2, (50, 40))
    buffer = io.BytesIO()
    Image.new("RGB", (7, 5), (1, 2, 3)).save(buffer, "PNG")
    before = time.time()
    with EventFile(tmp_path) as file:
        for step in (1, 130, 3_000_000_000):
            file.add(step, [scalar("loss/a", step / 4), scalar("b", -0.5)])
        file.add(
            5, [histogram("h", values), image("picture", buffer.getvalue(), 7, 5), text("t", "**bold** ёлка " * 99)]
        )
    found = tensorboard(tmp_path)
    tags = {kind: names for kind, names in found.Tags().items() if names}
    assert tags == {
        "scalars": ["loss/a", "b"],
        "histograms": ["h"],
        "distributions": ["h"],
        "images": ["picture"],
        "tensors": ["t"],
    }
    assert [(e.step, e.value) for e in found.Scalars("loss/a")] == [(1, 0.25), (130, 32.5), (3_000_000_000, 7.5e8)]
    assert before <= found.Scalars("b")[0].wall_time <= time.time()
    assert found.file_version == 2.0
    h = found.Histograms("h")[0].histogram_value
    assert (h.min, h.max, h.num) == (values.min(), values.max(), values.size)
    assert (h.sum, h.sum_squares) == (pytest.approx(values.sum()), pytest.approx((values**2).sum()))
    counts, edges = np.histogram(values, events.BINS)
    assert h.bucket == counts.tolist()
    assert h.bucket_limit == pytest.approx(edges[1:])
    picture = found.Images("picture")[0]
    assert (picture.width, picture.height, picture.encoded_image_string) == (7, 5, buffer.getvalue())
    assert found.Tensors("t")[0].tensor_proto.string_val == [("**bold** ёлка " * 99).encode()]
    assert found.SummaryMetadata("t").plugin_data.plugin_name == "text"


@pytest.mark.parametrize(
    ("values", "low", "high", "count"),
    [([2.0, 2.0, 2.0], 2, 2, 3), ([], 0, 0, 0), ([1.0, np.inf, np.nan, 5.0], 1, 5, 2)],
    ids=["equal", "none", "not finite"],
)
def test_odd_histograms_are_written(tensorboard, tmp_path, values, low, high, count):
    with EventFile(tmp_path) as file:
        file.add(1, [histogram("h", values)])
    found = tensorboard(tmp_path).Histograms("h")[0].histogram_value
    assert (found.min, found.max, found.num, sum(found.bucket)) == (low, high, count, count)


def test_a_failed_run_leaves_nothing_and_a_long_one_what_it_flushed(tensorboard, tmp_path):
    with pytest.raises(ZeroDivisionError), EventFile(tmp_path / "short") as file:
        file.add(1, [scalar("a", 1)])
        raise ZeroDivisionError
    assert not (tmp_path / "short").exists()
    with pytest.raises(ZeroDivisionError), EventFile(tmp_path / "long") as file:
        file.add(1, [scalar("a", 1)])
        file.flush()
        file.add(2, [scalar("a", 2)])
        raise ZeroDivisionError
    assert [e.step for e in tensorboard(tmp_path / "long").Scalars("a")] == [1, 2]


def test_a_long_run_can_be_watched(tensorboard, tmp_path, monkeypatch):
    with EventFile(tmp_path) as file:
        file.add(1, [scalar("a", 1)])
        assert not file.path.exists()
        monkeypatch.setattr(events, "FLUSH_SECONDS", -1)
        file.add(2, [scalar("a", 2)])
        watched = tensorboard(tmp_path)
        assert [e.step for e in watched.Scalars("a")] == [1, 2]
        file.add(3, [scalar("a", 3)])
        assert [e.step for e in watched.Reload().Scalars("a")] == [1, 2, 3]


def test_an_earlier_file_is_replaced_or_continued(tensorboard, tmp_path):
    for step in (1, 2):
        with EventFile(tmp_path) as file:
            file.add(step, [scalar("a", step)])
    assert [e.step for e in tensorboard(tmp_path).Scalars("a")] == [2]
    with (tmp_path / FILE_NAME).open("ab") as killed:
        killed.write((tmp_path / FILE_NAME).read_bytes()[:30])  # a part of a record
    for step in (3, 4):
        with EventFile(tmp_path, append=True) as file:
            file.add(step, [scalar("a", step)])
    assert [e.step for e in tensorboard(tmp_path).Scalars("a")] == [2, 3, 4]
    with EventFile(tmp_path / "new", append=True) as file:
        file.add(5, [scalar("a", 5)])
    assert tensorboard(tmp_path / "new").file_version == 2.0


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(EnvironmentFailure, match=r"cannot write .*tfevents.*: (File exists|Not a directory)"),
        EventFile(tmp_path / "file") as file,
    ):
        file.add(1, [scalar("a", 1)])
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(EnvironmentFailure, match=r"cannot write .*: Is a directory"), EventFile(tmp_path / "folder"):
        pass


def test_a_file_that_cannot_be_continued_is_named(tmp_path, monkeypatch):
    with EventFile(tmp_path):
        pass
    monkeypatch.setattr("pathlib.Path.open", lambda *_: open(tmp_path / "absent"))  # noqa: PTH123, SIM115
    with pytest.raises(EnvironmentFailure, match=r"cannot continue .*: No such file"):
        EventFile(tmp_path, append=True)
