import pytest

from edgeretrain.errors import UsageError
from edgeretrain.spec import GRID, ModelSpec, TrainSpec, parse_res, parse_width


@pytest.mark.parametrize(
    ("text", "width"),
    [
        *(("050", "050"), ("50", "050"), ("0.5", "050"), (".5", "050"), ("025", "025"), ("0.25", "025"), ("75", "075")),
        *(("1.0", "100"), ("1", "100"), ("100", "100"), (" 100 ", "100")),
    ],
)
def test_width_is_accepted_in_all_common_spellings(text, width):
    assert parse_width(text) == width


@pytest.mark.parametrize("text", ["033", "", "wide", "-0.5", "5", "nan"])
def test_width_outside_the_grid_is_refused_by_name(text):
    with pytest.raises(UsageError, match="width must be one of 025, 050, 075, 100"):
        parse_width(text)


@pytest.mark.parametrize("text", ["100", "224.0", "", "big"])
def test_res_outside_the_grid_is_refused_by_name(text):
    with pytest.raises(UsageError, match="res must be one of 128, 160, 192, 224"):
        parse_res(text)


def test_grid_has_16_cells_from_narrow_and_small():
    assert len(set(GRID)) == 16
    assert GRID[0].name == "mobilenet_v1_025_128"
    assert GRID[-1].name == "mobilenet_v1_100_224"
    assert ModelSpec("0.5").multiplier == 0.5


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("https://tfhub.dev/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3", ModelSpec("050", 160)),
        ("mobilenet_v1_0.25_128_quant.tflite", ModelSpec("025", 128)),
        ("mobilenet_v1_1.0_224_quant.tgz", ModelSpec("100", 224)),
        ("mobilenet_v2_050_160", None),
        ("mobilenet_v1_050_999", None),
    ],
)
def test_spec_is_found_in_names(name, spec):
    assert ModelSpec.parse(name) == spec


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "int4"}, "--scheme must be one of int8, uint8, not 'int4'"),
        ({"steps": 0}, "--steps must be between 1 and"),
        ({"learning_rate": float("nan")}, "--learning-rate must be between"),
        ({"random_crop": -1.0}, "--random-crop must be between 0 and 100, not -1"),
        ({"random_scale": 101.0}, "--random-scale must be between 0 and 100, not 101"),
        ({"random_brightness": float("nan")}, "--random-brightness must be between 0 and 100, not nan"),
        ({"copies": 0}, "--copies must be between 1 and 1000, not 0"),
        ({"class_weights": "yes"}, "--class-weights must be one of none, auto, not 'yes'"),
        ({"seed": -1}, "--seed must be at least 0, not -1"),
        ({"train_batch_size": 0}, "--train-batch-size must be -1"),
        ({"testing_percentage": 60.0}, "--testing-percentage must be between 1 and 45"),
        ({"scheme": "uint8", "io_type": "int8"}, "--scheme uint8 writes a uint8 input"),
    ],
)
def test_train_spec_refuses_values_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        TrainSpec(**options)
