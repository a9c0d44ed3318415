from pathlib import Path

import numpy as np
import pytest

from edgeretrain.benchmark import probe as module
from edgeretrain.benchmark.probe import check_image_input, one_line, probe, random_input
from edgeretrain.errors import DataError
from tests.tiny import tiny_model

HOSTED = Path(__file__).parents[2] / "shared" / "hosted"


def test_probe_reports_shape_memory_and_ops(tmp_path):
    found = probe(tiny_model(tmp_path / "m.tflite"), 2)
    assert (found.threads, found.input_shape, found.input_dtype) == (2, (1, 16, 16, 3), "uint8")
    assert (found.output_shape, found.output_dtype) == ((1, 1, 1, 3), "uint8")
    assert found.init_ms > 0
    assert found.first_ms > 0
    assert found.peak_memory_bytes > found.model_memory_bytes >= 0
    assert (found.op_count, found.delegated_count, found.left_ops) == (1, 0, ("AVERAGE_POOL_2D",))


def test_probe_sees_that_xnnpack_took_every_op(tmp_path):
    found = probe(tiny_model(tmp_path / "m.tflite", dtype="float32"))
    assert (found.op_count, found.delegated_count, found.left_ops) == (1, 1, ())


@pytest.mark.skipif(not HOSTED.is_dir(), reason="needs ../shared/hosted with Google's hosted quantized files")
def test_probe_counts_the_ops_of_hosted_files():
    found = probe(HOSTED / "mobilenet_v1_0.25_128_quant.tflite")
    assert (found.op_count, found.delegated_count) == (31, 29)
    assert found.left_ops == ("AVERAGE_POOL_2D", "SOFTMAX")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"hello, I am text", "found something else"),
        (b"\xff\xd8\xff\xe0\0\0\0\0", "found a JPEG picture"),
        (b"version https://git-lfs", "found a Git LFS pointer"),
        (b"\x20\0\0\0TFL3" + bytes(range(200)), "LiteRT refuses it: .*not a valid Flatbuffer"),
    ],
)
def test_probe_names_what_is_no_model(tmp_path, content, message):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"m.tflite: .*{message}"):
        probe(path)


def test_probe_names_a_truncated_model(tmp_path):
    path = tiny_model(tmp_path / "m.tflite", dtype="float32")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"m\.tflite: LiteRT refuses it"):
        probe(path)


def test_probe_names_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match=r"expected a \.tflite file, found nothing"):
        probe(tmp_path / "none.tflite")
    with pytest.raises(DataError, match=r"expected a \.tflite file, found a folder"):
        probe(tmp_path)


def test_probe_survives_a_model_that_corrupts_memory(tmp_path):
    with pytest.raises(DataError, match=r"LiteRT (refuses it|crashed)"):
        probe(tiny_model(tmp_path / "m.tflite", outputs=np.int32([-1])))


def test_probe_survives_a_child_that_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHILD", "import os; os.abort()")
    with pytest.raises(DataError, match=r"LiteRT crashed while it loaded or ran this file \((signal|exit code) \d+\)"):
        probe(tiny_model(tmp_path / "m.tflite"))


def test_probe_gives_up_on_a_child_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHILD", "import time; time.sleep(60)")
    with pytest.raises(DataError, match="did not load and run once within 0 s"):
        probe(tiny_model(tmp_path / "m.tflite"), timeout_s=0.2)


def test_probe_bounds_the_memory_of_a_greedy_model(tmp_path):
    with pytest.raises(DataError, match=r"LiteRT (refuses it|crashed)"):
        probe(tiny_model(tmp_path / "m.tflite", dtype="float32", shape=(1, 30000, 30000, 3)))


def test_probe_never_imports_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    assert probe(tiny_model(tmp_path / "m.tflite")).op_count == 1


def test_probe_cannot_read_a_locked_file(tmp_path, monkeypatch):
    path = tiny_model(tmp_path / "m.tflite")

    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataError, match=r"m\.tflite: cannot be read: Permission denied"):
        probe(path)


def test_probe_refuses_inputs_that_are_no_image(tmp_path):
    with pytest.raises(DataError, match=r"expected an image input like .* found the shape \[1, 1, 1, 1024\]"):
        probe(tiny_model(tmp_path / "m.tflite", shape=(1, 1, 1, 1024)))
    with pytest.raises(DataError, match="expected one input, an image; this model has 2 inputs"):
        probe(tiny_model(tmp_path / "m.tflite", inputs=2))


def test_probe_refuses_a_model_without_output(tmp_path):
    with pytest.raises(DataError, match="expected a model with an output, found none"):
        probe(tiny_model(tmp_path / "m.tflite", outputs=np.int32([])))


@pytest.mark.parametrize("shape", [(1, 224, 224, 3), (1, 3, 96, 96), (1, 28, 28, 1)])
def test_check_image_input_takes_pictures(shape):
    check_image_input([{"shape": np.array(shape), "shape_signature": np.array(shape)}])


def test_check_image_input_refuses_a_size_that_is_not_fixed():
    detail = {"shape": np.array([1, 1, 1, 3]), "shape_signature": np.array([-1, -1, -1, 3])}
    with pytest.raises(DataError, match=r"fixed size, found the shape \[-1, -1, -1, 3\]"):
        check_image_input([detail])


def test_random_input_uses_the_whole_range_of_a_type():
    for dtype in ("uint8", "int8", "int16"):
        picture = random_input((1, 64, 64, 3), dtype, 0)
        info = np.iinfo(dtype)
        assert picture.dtype == dtype
        assert picture.min() < info.min + (int(info.max) - info.min) / 50
        assert picture.max() > info.max - (int(info.max) - info.min) / 50
    floats = random_input((1, 64, 64, 3), "float32", 0)
    assert floats.dtype == np.float32
    assert -1 <= floats.min() < -0.9 < 0.9 < floats.max() < 1
    assert (random_input((4, 4), "uint8", 1) == random_input((4, 4), "uint8", 1)).all()


def test_random_input_refuses_text():
    with pytest.raises(DataError, match="expected an image input of numbers, found the type bytes"):
        random_input((1,), "bytes", 0)


def test_one_line_folds_and_cuts():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line(ValueError("x" * 500))) == 200
