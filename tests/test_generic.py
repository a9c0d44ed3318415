"""Float modules of every format to a verified integer file, and what is refused on the way."""

import json
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.artifact import load_model, verify
from edgeretrain.console import Console
from edgeretrain.dataset import Photo
from edgeretrain.embed import as_matrix, embed_photos, make_extractor
from edgeretrain.errors import EnvironmentFailure, QualityError, UsageError
from edgeretrain.modules import generic, load_backbone, load_module
from edgeretrain.modules.generic import CALIBRATION_PHOTOS, calibration_photos, network_name, quantize_module
from edgeretrain.modules.quantops import has_fake_quant
from edgeretrain.pipeline import run, save
from edgeretrain.spec import TrainSpec
from tests import float_modules
from tests.conftest import colour_photo, module_folder
from tests.float_modules import FEATURES, RES

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn about themselves


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The modules, by name."""
    folder = tmp_path_factory.mktemp("float")
    model = float_modules.keras_mobilenet()
    paths = {
        "tf1": float_modules.tf1_module(folder / "small_net" / "feature_vector" / "1"),
        "tf2": float_modules.tf2_module(folder / "tf2_net"),
        "any": float_modules.tf2_module(folder / "any_net", None),
        "keras": folder / "mobile.keras",
        "h5": folder / "mobile.h5",
        "saved": folder / "mobile_saved",
        "weights": folder / "mobilenet_2_5_128_tf_no_top.h5",
        "keras3": folder / "mobile3.keras",
        "exported": folder / "exported",
    }
    model.save(paths["keras"])
    model.save(paths["h5"])
    model.save(paths["saved"])
    model.save_weights(paths["weights"])
    twin = float_modules.keras3_twin(model)
    twin.save(paths["keras3"])
    twin.export(paths["exported"], verbose=False)
    return paths


@pytest.fixture
def in_process(monkeypatch):
    """The worker's own code in this process, where TensorFlow is loaded already; jobs are listed."""
    from edgeretrain.modules import worker

    jobs = []

    def work(folder, name):
        jobs.append(json.loads((folder / "job.json").read_text()))
        worker.main(str(folder / "job.json"), str(folder / "out"))
        return 0

    monkeypatch.setattr(generic, "_run_worker", work)
    return jobs


def train(photos, module, spec=TrainSpec(), res=None, **options):  # noqa: B008 (frozen)
    return run(photos, load_module(str(module), None, res), spec, **options)


def test_a_tf1_module_goes_through_the_command_line(made, photos, tmp_path, fresh_cache, command):
    out = tmp_path / "out"
    code, text, said = command("train", "--image-dir", photos, "--module", made["tf1"], "--out", out)
    assert code == 0, said
    assert "calibrating" in said
    assert "Route: post-training quantization, calibrated on" in text
    report = json.loads((out / "report.json").read_text())
    assert report["route"] == "post-training"
    cost = report["quantization"]
    assert cost["input_range"] == [0.0, 1.0]
    assert cost["calibration_photos"] == sum(row["train"] for row in report["data"]["classes"])
    assert cost["float_top1"] - cost["tflite_top1"] == pytest.approx(cost["cost_points"] / 100)
    assert cost["agreement"] == report["accuracy"]["float"]["agreement"] >= 0.85
    model = load_model(out / f"small_net_{RES}.tflite")
    assert all(check.ok for check in verify(model))
    assert set(model.tensor_types) == {"uint8", "int8", "int16", "int32"}
    assert model.contract["module"]["route"] == "post-training"
    assert report["accuracy"]["tflite"]["top1"] >= 0.85
    data = (out / f"small_net_{RES}.tflite").read_bytes()
    code, _, said = command("train", "--image-dir", photos, "--module", made["tf1"], "--out", out, "--force")
    assert code == 0
    assert "TensorFlow" not in said  # neither to describe nor to calibrate
    assert (out / f"small_net_{RES}.tflite").read_bytes() == data


@pytest.mark.parametrize(
    ("which", "res", "pixels"),
    [
        ("tf2", None, (0.0, 1.0)),
        ("any", 96, (0.0, 1.0)),
        ("keras", None, (-1.0, 1.0)),
        ("weights", None, (-1.0, 1.0)),
        ("keras3", None, (-1.0, 1.0)),
    ],
)
def test_every_format_becomes_a_verified_integer_file(which, res, pixels, made, photos, tmp_path, in_process):
    result = train(photos, made[which], res=res)
    model = load_model(save(result, tmp_path / "out"))
    assert all(check.ok for check in verify(model))
    assert set(model.tensor_types) <= {"uint8", "int8", "int16", "int32"}
    assert result.report["quantization"]["input_range"] == list(pixels)
    assert result.report["accuracy"]["float"]["n"] == result.evaluation.n
    assert result.report["accuracy"]["head"]["agreement"] >= 0.9
    assert model.res == (res or {"tf2": RES}.get(which, 128))
    assert result.evaluation.top1 >= 0.7
    assert (model.mean, model.std) == pytest.approx((0, 255) if pixels == (0, 1) else (127.5, 127.5), abs=0.6)


@pytest.mark.parametrize("io_type", ["int8", "float32"])
def test_other_input_types_answer_as_the_uint8_file(io_type, made, photos, in_process):
    a, b = (train(photos, made["tf2"], TrainSpec(io_type=kind)).model for kind in ("uint8", io_type))
    assert all(check.ok for check in verify(b))
    assert (b.input.dtype, b.output.dtype) == (io_type, io_type)
    pixels = np.asarray(colour_photo((200, 40, 40), 5, (RES, RES)))
    assert b.predict(pixels) == pytest.approx(a.predict(pixels), abs=1 / 256)


def test_random_labels_stay_near_chance(made, tmp_path, in_process):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for i in range(160):
        colour = tuple(int(v) for v in random.integers(0, 255, 3))
        colour_photo(colour, i).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    result = train(tmp_path, made["tf2"], TrainSpec(testing_percentage=40))
    assert result.evaluation.n > 40
    assert result.evaluation.interval[0] < 0.6


def test_the_extractor_computes_what_the_float_module_computes(made, photos, in_process):
    module = load_module(str(made["saved"]))
    paths = sorted(photos.rglob("*.jpg"))
    listed = [Photo(path, path.name, i % 3, bytes([i]) * 32, i) for i, path in enumerate(paths)]
    network, real = quantize_module(module, listed[:40], listed[40:])
    extractor = make_extractor(network)
    codes = as_matrix(embed_photos(paths[40:], [extractor], cache=None), range(len(listed) - 40), extractor)
    assert codes.shape == real.shape == (32, 256)
    cosine = (codes * real).sum(1) / np.linalg.norm(codes, axis=1) / np.linalg.norm(real, axis=1)
    assert cosine.min() > 0.98


def test_an_embedding_with_negative_values_keeps_its_zero_point(tmp_path, photos, in_process):
    tf = load_tensorflow()

    def centred(network, x):
        return tf.reduce_mean(tf.nn.conv2d(x, network.first, 2, "SAME"), [1, 2])

    result = train(photos, float_modules.tf2_module(tmp_path / "centred", call=centred))
    assert result.backbone.ends.output_zero_point > -100
    assert result.report["accuracy"]["head"]["agreement"] >= 0.9
    assert result.evaluation.top1 >= 0.85


def test_calibration_sees_training_photos_alone(made, photos, tmp_path, in_process, fresh_cache):
    folder = shutil.copytree(photos, tmp_path / "photos")
    result = train(folder, made["tf2"])
    job = in_process[-1]
    parts = {
        part: {str(photo.path.resolve()) for photo in getattr(result.dataset, part)}
        for part in ("train", "validation", "test")
    }
    assert set(job["calibration"]) == parts["train"]
    assert set(job["compare"]) == parts["test"]
    for path in parts["test"] | parts["validation"]:  # other pixels under the same names
        colour_photo((250, 250, 0), 1).save(path)
    module = load_module(str(made["tf2"]))
    shutil.rmtree(fresh_cache)
    again, _ = quantize_module(module, result.dataset.train, result.dataset.test)
    assert again.body == result.backbone.body
    shutil.rmtree(fresh_cache)
    other, _ = quantize_module(module, result.dataset.train[:5], result.dataset.test)
    assert other.body != again.body


def test_calibration_photos_are_even_over_classes_whatever_they_are_called():
    photos = [Photo(Path(f"{i}"), f"{i}", 0 if i < 500 else 1 + i % 2, i.to_bytes(32, "big"), i) for i in range(540)]
    chosen = calibration_photos(photos)
    assert len(chosen) == CALIBRATION_PHOTOS
    assert [sum(photo.label == label for photo in chosen) for label in range(3)] == [160, 20, 20]
    renamed = [replace(photo, name=f"x{photo.name}") for photo in reversed(photos)]
    assert [photo.digest for photo in calibration_photos(renamed)] == [photo.digest for photo in chosen]


def test_a_fake_quant_graph_is_known_by_its_graph_not_its_name(shared, made, tmp_path, in_process):
    copy = float_modules.copy_of(module_folder(shared, "025"), tmp_path / "inception_v3")
    backbone = load_module(str(copy))
    assert (backbone.route, backbone.spec.name) == ("quantops", "mobilenet_v1_025_128")
    named = float_modules.copy_of(made["tf1"], tmp_path / "mobilenet_v1_025_128" / "quantops" / "feature_vector" / "3")
    assert load_module(str(named)).route == "post-training"


def test_fake_quant_is_an_operator_not_the_name_of_a_node(shared, tmp_path):
    tf = load_tensorflow()
    named = float_modules.tf1_module(
        tmp_path / "m", extra=lambda images, output: tf.identity(output, name="FakeQuantWithMinMaxVars")
    )
    assert b"FakeQuantWithMinMaxVars" in (named / "saved_model.pb").read_bytes()
    assert not has_fake_quant(named)
    assert has_fake_quant(module_folder(shared, "050"))


def test_another_network_with_fake_quant_is_calibrated_anew(tmp_path, photos, in_process):
    import io

    tf = load_tensorflow()

    def quantized(images, output):
        return tf.quantization.fake_quant_with_min_max_vars(output, 0.0, 6.0)

    folder = float_modules.tf1_module(tmp_path / "odd", extra=quantized)
    said = io.StringIO()
    module = load_module(str(folder), console=Console(stderr=said))
    assert module.fake_quant
    assert "it goes through post-training quantization instead" in said.getvalue()
    assert run(photos, module, TrainSpec()).evaluation.top1 >= 0.85


def test_the_second_run_decodes_no_photo(made, photos, in_process, monkeypatch):
    train(photos, made["tf2"])
    from edgeretrain import embed

    monkeypatch.setattr(embed, "decode", lambda data: pytest.fail("decoded again"))
    train(photos, made["tf2"])


def test_a_network_that_quantizes_badly_is_said_to(made, photos, in_process, monkeypatch):
    import io

    said = io.StringIO()
    train(photos, made["tf2"], console=Console(stderr=said))
    assert "quantizes badly" not in said.getvalue()
    quantize = generic.quantize_module

    def worse(*arguments, **options):
        network, real = quantize(*arguments, **options)
        return network, -real

    monkeypatch.setattr(generic, "quantize_module", worse)
    train(photos, made["tf2"], console=Console(stderr=said))
    assert "of test photos: it quantizes badly" in said.getvalue()


def test_an_archive_and_a_url_are_kept(made, tmp_path, fresh_cache, in_process, monkeypatch):
    archive = tmp_path / "small.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(made["tf1"], ".")
    module = load_module(str(archive))
    assert module.spec == generic.NetworkSpec(f"small_{RES}", RES, FEATURES)
    assert module.path.is_relative_to(fresh_cache)
    from edgeretrain import modules

    monkeypatch.setattr(modules, "download", lambda url, target, **options: shutil.copyfile(archive, target))
    url = "https://tfhub.dev/google/imagenet/inception_v9/feature_vector/3"
    fetched = load_module(url)
    assert (fetched.spec.name, fetched.source.name) == (f"inception_v9_{RES}", url)
    monkeypatch.setattr(modules, "download", lambda *arguments, **options: pytest.fail("fetched again"))
    assert load_module(url, offline=True).path == fetched.path
    (fetched.path / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(EnvironmentFailure, match="is not in the cache and --offline forbids"):
        load_module(url, offline=True)


def test_a_keras_file_from_a_url_is_kept(made, fresh_cache, in_process, monkeypatch):
    from edgeretrain import modules

    monkeypatch.setattr(modules, "download", lambda url, target, **options: shutil.copyfile(made["h5"], target))
    module = load_module("https://example.org/models/mine.h5?x=1")
    assert module.spec == generic.NetworkSpec("mine_128", 128, 256)
    assert module.path.name == "model.h5"


def test_what_cannot_be_loaded_is_not_kept(fresh_cache, in_process, monkeypatch, tmp_path):
    from edgeretrain import modules

    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "saved_model.pb", "saved_model.pb")
    monkeypatch.setattr(modules, "download", lambda url, target, **o: shutil.copyfile(tmp_path / "m.tar.gz", target))
    with pytest.raises(EnvironmentFailure, match=r"as a TF1-Hub or TF2 module: its saved_model\.pb is damaged"):
        load_module("https://example.org/m.tar.gz")
    assert not [path for path in (fresh_cache / "modules").iterdir() if path.is_dir()]


def test_a_damaged_cache_is_made_anew(made, photos, in_process, fresh_cache):
    result = train(photos, made["tf2"])
    before = len(in_process)
    for path in (fresh_cache / "modules").iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    assert train(photos, made["tf2"]).model.data == result.model.data
    assert len(in_process) == before + 2


def test_a_cache_that_cannot_be_written_is_done_without(made, photos, tmp_path, monkeypatch, in_process):
    import io

    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("EDGERETRAIN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    said = io.StringIO()
    train(photos, made["tf2"], console=Console(stderr=said))
    assert "what TensorFlow made is not kept: cannot write" in said.getvalue()
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as tar:
        tar.add(made["tf2"], ".")
    with pytest.raises(EnvironmentFailure, match="cannot keep a module in"):
        load_module(str(tmp_path / "m.tar.gz"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5", "inception_v3_299"),
        ("https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow1/feature-vector/1", "mobilenet_v2_299"),
        ("https://example.org/My%20Net.tar.gz?download=1#x", "my_20net_299"),
        ("/modules/net_299", "net_299"),
        ("/x/mobilenet_1_0_224_tf_no_top.h5", "mobilenet_1_0_224_tf_no_top_299"),
        ("/1/2", "module_299"),
    ],
)
def test_models_are_called_after_what_tells(name, expected):
    assert network_name(name, 299) == expected


def test_modules_show_tells_route_size_and_features(made, command, in_process):
    code, out, _ = command("modules", "show", "--module", made["any"], "--res", "96")
    assert code == 0
    for text in ("any_net_96", "post-training", "96 x 96 px, other sizes too", "0 to 1", f"{FEATURES} features"):
        assert text in out
    code, out, _ = command("modules", "show", "--module", made["exported"], "--json")
    document = json.loads(out)
    assert (document["route"], document["res"], document["input_range"]) == ("post-training", 128, None)
    assert "not said (give --input-range)" in command("modules", "show", "--module", made["exported"])[1]


def test_pixels_that_nobody_describes_are_asked_for(made, photos, command, in_process, tmp_path):
    arguments = ("train", "--image-dir", photos, "--module", made["exported"], "--out", tmp_path / "out")
    code, _, said = command(*arguments)
    assert code == 2
    assert "does not say what its pixels span: give --input-range" in said
    assert not (tmp_path / "out").exists()
    code, _, _ = command(*arguments, "--input-range", "-1..1")
    assert code == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["quantization"]["input_range"] == [-1, 1]


def test_copies_and_exports_work_for_a_float_module(made, photos, command, in_process, tmp_path):
    served, graph = tmp_path / "served", tmp_path / "graph.pb"
    options = ("--flip-left-right", "--copies", "2", "--saved-model-dir", served, "--output-graph", graph)
    arguments = ("train", "--image-dir", photos, "--module", made["h5"], "--out", tmp_path / "out")
    code, _, said = command(*arguments, *options)
    assert code == 0, said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["training"]["distortions"]
    assert {entry["kind"] for entry in report["exports"]} == {"saved_model", "graph"}
    assert (served / "saved_model.pb").is_file()
    code, _, said = command(*arguments, "--force", "--export", "float32")
    assert code == 2
    assert "--export float32 is for MobileNet V1 networks; leave it out for mobile_128" in said
    assert "--plan is for MobileNet V1 networks" in command(*arguments, "--force", "--plan")[2]


def test_options_that_make_no_sense_are_named(made, photos, in_process, backbone):
    with pytest.raises(UsageError, match="--scheme uint8 is for MobileNet V1 networks"):
        train(photos, made["tf2"], TrainSpec(scheme="uint8"))
    with pytest.raises(UsageError, match="--fine-tune is for MobileNet V1 networks"):
        train(photos, made["tf2"], TrainSpec(fine_tune=1))
    with pytest.raises(UsageError, match="--width 050 is for MobileNet V1 networks of the grid"):
        load_module(str(made["tf2"]), "050")
    with pytest.raises(UsageError, match=f"--res 96 was asked for, but .* has res {RES}: leave out --res"):
        load_module(str(made["tf2"]), None, 96)
    with pytest.raises(UsageError, match="--res 2000: pictures of 16 to 1024 px are supported"):
        load_module(str(made["any"]), None, 2000)
    with pytest.raises(UsageError, match="--input-range is for float modules"):
        run(photos, backbone, TrainSpec(input_range="0..1"))
    with pytest.raises(UsageError, match="is a float module .* only `edgeretrain train` takes"):
        load_backbone(str(made["tf2"]))


def test_a_size_is_224_where_nobody_says(made, in_process):
    module = load_module(str(made["any"]))
    assert (module.spec.res, module.any_res) == (224, True)


def test_float_network_gives_probabilities_of_the_float_module(made, photos, in_process):
    from edgeretrain.modules.frozen import float_network

    result = train(photos, made["tf2"])
    network = float_network(result.backbone, result.trained.head)
    picture = np.asarray(colour_photo((200, 40, 40), 5, (RES, RES)), np.float32)[None].repeat(3, 0) / 255
    answers = network(picture).numpy()
    assert answers.shape == (3, 3)
    assert answers.sum(1) == pytest.approx(1, abs=1e-5)
    file = result.model.predict((picture[0] * 255).round().astype(np.uint8))
    assert np.abs(answers[0] - file).max() < 0.1


def test_a_worker_that_ends_badly_is_explained(made, fresh_cache, monkeypatch):
    monkeypatch.setattr(generic, "MAX_SECONDS", 0.01)
    with pytest.raises(EnvironmentFailure, match="TensorFlow was not done after 0 min"):
        load_module(str(made["tf2"]))
    monkeypatch.undo()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(EnvironmentFailure, match=r"TensorFlow ended with code 1 \(no message\)"):
        load_module(str(made["tf2"]))


def test_a_network_that_int8_does_not_know_is_refused(tmp_path, photos, in_process):
    tf = load_tensorflow()

    def unusual(network, x):
        features = tf.reduce_mean(tf.nn.conv2d(x, network.first, 2, "SAME"), [1, 2])
        return tf.math.igamma(tf.abs(features) + 1, tf.abs(features) + 1)

    with pytest.raises(EnvironmentFailure, match="cannot be quantized by TensorFlow's converter: ") as raised:
        train(photos, float_modules.tf2_module(tmp_path / "unusual", call=unusual))
    assert "\n" not in str(raised.value)


def test_a_network_that_breaks_in_integers_is_refused(tmp_path, photos, in_process):
    tf = load_tensorflow()

    def fragile(network, x):  # its integer form divides by zero
        return tf.math.lgamma(tf.reduce_mean(tf.nn.conv2d(x, network.first, 2, "SAME"), [1, 2]) + 3)

    with pytest.raises(QualityError, match="the quantized network does not run"):
        train(photos, float_modules.tf2_module(tmp_path / "fragile", call=fragile))


def test_a_body_that_does_not_fit_is_refused(made, photos, in_process):
    module = load_module(str(made["tf2"]))
    path = next(photos.rglob("*.jpg"))
    photo = Photo(path, "a", 0, b"a" * 32, 0)
    wrong = replace(module, spec=replace(module.spec, features=FEATURES + 1))
    with pytest.raises(QualityError, match=f"the converter made {FEATURES} features of {RES} px from"):
        quantize_module(wrong, [photo], [])
