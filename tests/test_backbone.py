import json
import zlib

import numpy as np
import pytest

from edgeretrain.backbone import MAGIC, Layer, layer_table, pack, quantize_per_channel, round_keeping_sums, unpack
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.modules import starter
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.modules.quantops import read_quantops
from edgeretrain.modules.starter import load_starter, read_layers, starter_card
from edgeretrain.spec import FEATURES, GRID, WIDTHS, ModelSpec
from tests.conftest import NATIVE, hosted_file, module_folder, random_backbone

# FACTS of mobilenet_v1.md: multiply-accumulates in millions of the whole network, with its ImageNet head of 1001 classes
MACS = {"100": (186, 291, 418, 569), "075": (104, 162, 233, 317), "050": (49, 77, 110, 150), "025": (14, 21, 34, 41)}
WEIGHTS = {"025": 207_600, "050": 807_648, "075": 1_800_144, "100": 3_185_088}


@pytest.mark.parametrize("width", WIDTHS)
def test_layer_table_has_the_published_weights_and_features(width):
    table = layer_table(width)
    assert len(table) == 27
    assert sum(int(np.prod(shape.weights)) for shape in table) == WEIGHTS[width]
    assert table[-1].channels == FEATURES[width]


@pytest.mark.parametrize("spec", GRID, ids=lambda spec: spec.name)
def test_layer_table_has_the_published_macs(spec):
    side, macs = spec.res, 0
    for shape in layer_table(spec.width):
        side = -(-side // shape.stride)
        macs += side * side * int(np.prod(shape.weights))
    macs += spec.features * 1001
    published = MACS[spec.width][(128, 160, 192, 224).index(spec.res)]
    # the page has 317 M for 075 / 224 where the paper (table 6) has 325 M; and 34 M for 025 / 192, which is 30 M
    assert macs / 1e6 == pytest.approx(published, rel=0.03 if spec.name != "mobilenet_v1_025_192" else 0.13, abs=1)


def test_lossless_channels_keep_their_codes_and_wide_ones_are_quantized_anew():
    codes = np.array([[[[100, 254]]], [[[-127, -254]]]], np.int16)
    layer = Layer(codes, np.array([0.5], np.float32), 7, np.zeros(2, np.float32), np.float32(0.02))
    int8, scale, changed = layer.per_channel
    assert int8.tolist() == [[[[100, 127]]], [[[-127, -127]]]]
    assert scale.tolist() == [0.5, 1.0]
    assert changed == 2
    assert layer.per_tensor[0].tolist() == [[[[107, 5]]], [[[136, 9]]]]  # 261 and -247 wrap: such codes cannot occur


def test_per_channel_quantization_errs_by_less_than_a_step_and_keeps_sums():
    weights = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype(np.float32)
    layer = quantize_per_channel(weights, np.zeros(6, np.float32))
    assert np.abs(layer.codes).max() == 127
    error = (layer.weights - weights) / layer.scale
    assert np.abs(error).max() < 1
    assert np.mean(np.abs(error) <= 0.5001) > 0.9
    assert np.abs(error.sum(axis=(0, 1, 2))).max() <= 0.501
    assert layer.per_channel[2] == 0


def test_rounding_changes_only_what_the_sum_needs():
    codes = np.array([[1.4, 0.1], [2.4, 0.2], [3.4, -0.3], [-4.0, 127.0]], np.float32)
    # the first channel loses 1.2 by plain rounding: one of its three is rounded the other way; the second is fine
    assert round_keeping_sums(codes).sum(axis=0).tolist() == [3.0, 127.0]
    assert np.abs(round_keeping_sums(codes) - codes).max() < 0.61


def test_uint8_of_a_per_channel_layer_errs_by_half_a_step():
    weights = np.random.default_rng(0).normal(0.3, 1, size=(1, 1, 8, 6)).astype(np.float32)
    layer = quantize_per_channel(weights, np.zeros(6, np.float32))
    codes, scale, zero_point = layer.per_tensor
    assert codes.min() >= 1
    assert np.abs((codes.astype(float) - zero_point) * scale - layer.weights).max() <= 0.51 * scale


@pytest.mark.parametrize("width", ["025", "100"])
def test_pack_gives_back_the_same_backbone(width):
    backbone = random_backbone(width)
    data = pack(backbone)
    again = unpack(data, "x")
    assert (again.spec, again.source, again.input_range) == (backbone.spec, backbone.source, backbone.input_range)
    for a, b in zip(again.layers, backbone.layers, strict=True):
        assert np.array_equal(a.codes, b.codes)
        assert np.array_equal(a.scale, b.scale)
        assert np.array_equal(a.bias, b.bias)
    assert pack(again) == data


def damaged_files():
    data = pack(random_backbone())
    header, payload = data[len(MAGIC) :].split(b"\n", 1)
    fields = json.loads(header)

    def with_header(**changes):
        return MAGIC + json.dumps(fields | changes).encode() + b"\n" + payload

    yield "cut short", data[:-100]
    yield "bit flipped in the payload", data[:-50] + bytes([data[-50] ^ 1]) + data[-49:]
    yield "another file", b"PK\3\4" + data
    yield "header without end", MAGIC + b"x" * 70000
    yield "header not JSON", MAGIC + b"{\n" + payload
    yield "header a list", MAGIC + b"[]\n" + payload
    yield "other width", with_header(width="050")
    yield "unknown width", with_header(width="999")
    yield "too few zero points", with_header(zero_points=[0])
    yield "checksum of something else", with_header(sha256="0" * 64)
    yield "payload too long", MAGIC + header + b"\n" + zlib.compress(bytes(10_000_000))
    yield "source of other keys", with_header(source={"a": 1})


@pytest.mark.parametrize(
    ("what", "data"), list(damaged_files()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_damaged_backbone_files_are_refused(what, data):
    with pytest.raises(EnvironmentFailure, match="is damaged or not a backbone"):
        unpack(data, what)


def test_backbone_of_wrong_shape_or_numbers_is_refused():
    backbone = random_backbone()
    layers = list(backbone.layers)
    with pytest.raises(EnvironmentFailure, match="has 27 convolutions"):
        type(backbone)(backbone.spec, tuple(layers[:-1]), (-1, 1), backbone.source)
    with pytest.raises(EnvironmentFailure, match="has weights"):
        type(backbone)(ModelSpec("050"), tuple(layers), (-1, 1), backbone.source)
    bad = Layer(layers[0].codes, layers[0].scale * np.nan, 0, layers[0].bias, layers[0].activation_scale)
    with pytest.raises(EnvironmentFailure, match="not sane numbers"):
        type(backbone)(backbone.spec, (bad, *layers[1:]), (-1, 1), backbone.source)


@pytest.mark.parametrize("width", WIDTHS)
def test_starters_fill_the_table_and_serve_all_resolutions(width):
    for res in (128, 224):
        backbone = load_starter(ModelSpec(width, res))
        assert (backbone.spec.width, backbone.spec.res) == (width, res)
        assert backbone.source.kind == "starter"
        assert backbone.identical_codes == 1


def test_starters_are_small_and_have_a_card():
    from importlib.resources import files

    sizes = [len(files("edgeretrain").joinpath(f"starters/starter_{width}.backbone").read_bytes()) for width in WIDTHS]
    assert sum(sizes) < 7_000_000
    assert "How they were made" in starter_card()


def test_a_damaged_or_missing_starter_is_named(tmp_path, monkeypatch):
    (tmp_path / "starters").mkdir()
    monkeypatch.setattr(starter, "files", lambda package: tmp_path)
    with pytest.raises(EnvironmentFailure, match="the package's own starter_050.backbone cannot be read"):
        load_starter(ModelSpec("050"))
    (tmp_path / "starters/starter_050.backbone").write_bytes(pack(random_backbone("050"))[:-500])
    with pytest.raises(EnvironmentFailure, match="the package's own starter_050.backbone is damaged"):
        load_starter(ModelSpec("050"))


def test_starters_are_what_the_script_makes_of_the_distilled_networks(shared):
    for width in WIDTHS:
        made = read_layers(shared / "starter" / f"starter_{width}.npz", width)
        assert pack(made) == pack(load_starter(made.spec))


def test_files_that_are_no_layers_are_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nonsense")
    with pytest.raises(EnvironmentFailure, match="is not a file of layers"):
        read_layers(tmp_path / "x.npz", "025")
    np.savez(tmp_path / "y.npz", a=np.zeros(3))
    with pytest.raises(EnvironmentFailure, match="is not a file of layers"):
        read_layers(tmp_path / "y.npz", "025")


@pytest.mark.parametrize("width", WIDTHS)
def test_quantops_module_and_hosted_file_give_the_same_integers(shared, width):
    """The modules carry the hosted files' weights behind random batch norms: folding must undo them exactly."""
    path = hosted_file(shared, width)
    hosted = read_hosted(path.read_bytes(), path.name)
    module = read_quantops(module_folder(shared, width), "module")
    assert module.spec == hosted.spec == ModelSpec(width, NATIVE[width][0])
    assert module.input_range == hosted.input_range == (-1, 1)
    for a, b in zip(module.layers, hosted.layers, strict=True):
        assert np.array_equal(a.codes, b.codes)
        assert a.zero_point == b.zero_point
        assert a.scale == pytest.approx(b.scale, rel=1e-6)
        assert a.activation_scale == b.activation_scale
        assert np.abs(a.bias - b.bias).max() < 0.01 * float(a.scale[0]) * float(a.activation_scale)
    assert module.identical_codes >= 0.98


@pytest.mark.parametrize("res", [160, 192, 224])
def test_quantops_modules_of_other_resolutions_are_read_by_their_own_size(shared, res):
    folder = shared / f"modules/google/imagenet/mobilenet_v1_025_{res}/quantops/feature_vector/3"
    assert read_quantops(folder, "module").spec == ModelSpec("025", res)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"garbage" * 100, "is not a TFLite file"),
        (lambda data: data[:3000], "cannot be read as a TFLite file|is not a MobileNet V1"),
        (lambda data: data[:4] + b"TFL3" + bytes(100), "cannot be read as a TFLite file|is not a MobileNet V1"),
    ],
)
def test_files_that_are_no_hosted_model_are_refused(shared, change, message):
    data = hosted_file(shared, "025").read_bytes()
    with pytest.raises(EnvironmentFailure, match=message):
        read_hosted(change(data), "file")


def test_a_written_int8_model_is_no_hosted_one(trained):
    with pytest.raises(EnvironmentFailure, match="expected Google's quantized"):
        read_hosted((trained / "mobilenet_v1_025_128.tflite").read_bytes(), "file")
