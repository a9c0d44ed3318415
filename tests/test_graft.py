"""Operators in front of and behind another's flatbuffer."""

import numpy as np
import pytest

from edgeretrain.backbone import Source
from edgeretrain.calibrated import Calibrated, NetworkSpec
from edgeretrain.errors import QualityError
from edgeretrain.flatbuffer import Tensor
from edgeretrain.golden import golden_picture
from edgeretrain.graft import graft, read_ends
from edgeretrain.runtime import load_interpreter
from edgeretrain.write import write_model
from tests.conftest import random_backbone
from tests.test_write import random_head
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Our own int8 extractor as if it came from the converter."""
    body = write_model(random_backbone(), None, io_type="int8")
    spec = NetworkSpec("net_128", 128, 256)
    return Calibrated(spec, body, (-1.0, 1.0), Source("x", "x", "0"), 9, read_ends(body), tmp_path_factory.mktemp("x"))


def answer(model, pixels):
    interpreter = load_interpreter(model, kernels="reference")
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], pixels[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_ends_are_read(calibrated):
    ends = calibrated.ends
    assert (ends.res, ends.features, ends.input_zero_point, ends.output_zero_point) == (128, 256, 0, -128)
    assert ends.input_scale == pytest.approx(1 / 128)
    assert calibrated.input_quantization == (pytest.approx(1 / 128), 128)
    assert random_backbone().parameter_bytes <= calibrated.parameter_bytes <= random_backbone().parameter_bytes + 100


def test_a_grafted_head_computes_what_a_written_one_computes(calibrated):
    head, pixels = random_head(256), golden_picture(1, 128)
    ours, grafted = (write_model(network, head) for network in (random_backbone(), calibrated))
    assert np.array_equal(answer(ours, pixels), answer(grafted, pixels))
    assert np.array_equal(
        answer(write_model(random_backbone(), None), pixels).ravel(),
        answer(write_model(calibrated, None), pixels).ravel(),
    )


def test_the_grafted_file_has_signature_metadata_and_short_names(calibrated):
    model = write_model(calibrated, random_head(256), metadata={"ENTRY": b"some text"})
    interpreter = load_interpreter(model)
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}
    assert interpreter.get_input_details()[0]["name"] == "image"
    assert b"some text" in model
    assert b"Conv2d_13_pointwise" not in model
    assert model == write_model(calibrated, random_head(256), metadata={"ENTRY": b"some text"})


def test_nothing_in_front_or_behind_leaves_the_network_as_it_is(calibrated):
    pixels = (golden_picture(2, 128) ^ 0x80).view(np.int8)
    ends = (Tensor("a", (1, 128, 128, 3), "int8"), Tensor("b", (1, 256), "int8"))
    bare = graft(calibrated.body, [], ends[0], ends[1], [], ("a", "b"), "bare")
    assert np.array_equal(answer(bare, pixels), answer(calibrated.body, pixels))


def test_ends_that_are_not_int8_are_refused(tmp_path):
    with pytest.raises(QualityError, match="the converter left the picture or the embedding unquantized"):
        read_ends(tiny_model(tmp_path / "x.tflite").read_bytes())


def test_a_range_that_is_none_is_refused(calibrated, monkeypatch):
    from edgeretrain import graft as module

    model = module._load(calibrated.body)
    model.subgraphs[0].tensors[int(model.subgraphs[0].outputs[0])].quantization.scale = np.array([0], np.float32)
    monkeypatch.setattr(module, "_load", lambda body: model)
    with pytest.raises(QualityError, match="calibration found no range for the picture or the embedding"):
        read_ends(calibrated.body)
