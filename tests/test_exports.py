"""Exports of a real run: written, loaded back in fresh processes, and refused when they are not what they should be."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeretrain.artifact import load_model, verify
from edgeretrain.errors import DataError, QualityError
from edgeretrain.evaluate import evaluate_folder
from edgeretrain.exports.result import export_result
from edgeretrain.exports.spec import ExportSpec, Served
from edgeretrain.exports.writing import CHECK_PHOTOS, _as_jpeg, _spread, write_exports
from edgeretrain.images import load_pixels
from edgeretrain.modules.starter import load_starter
from edgeretrain.pipeline import run
from edgeretrain.spec import ModelSpec, TrainSpec
from edgeretrain.storage import sha256
from tests.conftest import colour_photo

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow, tf_keras and tfmot warn about themselves

SERVING_CLIENT = """
import json, pathlib, sys
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

folder, photos = sys.argv[1], [pathlib.Path(name) for name in sys.argv[3:]]
pictures = np.load(sys.argv[2])

# as TensorFlow Serving: the meta graph tagged `serve`, a request of TensorProtos by key, tensors fed and fetched by name
meta = saved_model_pb2.SavedModel.FromString(pathlib.Path(folder, "saved_model.pb").read_bytes()).meta_graphs[0]
assert "serve" in meta.meta_info_def.tags
requests = {
    "serving_default": {"image": tf.make_tensor_proto(pictures.astype(np.float32))},
    "serving_jpeg": {"image_bytes": tf.make_tensor_proto([photo.read_bytes() for photo in photos])},
}
answers = {}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.saved_model.load(session, ["serve"], folder)
    for name, request in requests.items():
        signature = meta.signature_def[name]
        assert signature.method_name == "tensorflow/serving/predict"
        assert set(signature.inputs) == set(request) and set(signature.outputs) == {"prediction"}
        feed = {}
        for key, proto in request.items():
            sent = type(proto).FromString(proto.SerializeToString())
            assert sent.dtype == signature.inputs[key].dtype
            feed[signature.inputs[key].name] = tf.make_ndarray(sent)
        answers[name] = session.run(signature.outputs["prediction"].name, feed).tolist()

loaded = tf.saved_model.load(folder)
answers["python"] = loaded.signatures["serving_default"](image=tf.constant(pictures))["prediction"].numpy().tolist()
answers["labels"] = pathlib.Path(folder, "assets/labels.txt").read_text().splitlines()
answers["shapes"] = {k: [d.size for d in v.inputs[next(iter(v.inputs))].tensor_shape.dim]
                     for k, v in meta.signature_def.items() if k in requests}
answers["foreign"] = [m for m in sys.modules if m.split(".")[0] in ("edgeretrain", "tensorflow_model_optimization")]
print("ANSWERS" + json.dumps(answers))
"""

GRAPH_CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

graph, source, target = sys.argv[1], sys.argv[3], sys.argv[4]
definition = tf.compat.v1.GraphDef()
with open(graph, "rb") as file:
    definition.ParseFromString(file.read())
assert not definition.library.function
assert not [node.op for node in definition.node if "Variable" in node.op]
with tf.Graph().as_default() as loaded, tf.compat.v1.Session() as session:
    tf.compat.v1.import_graph_def(definition, name="")
    answers = session.run(loaded.get_tensor_by_name(target + ":0"), {source + ":0": np.load(sys.argv[2])})
print("ANSWERS" + json.dumps(answers.tolist()))
"""


def fresh_process(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert "ANSWERS" in finished.stdout, finished.stderr[-2000:]
    return json.loads(finished.stdout.rpartition("ANSWERS")[2])


@pytest.fixture(scope="module")
def result(photos):
    return run(photos, load_starter(ModelSpec("025", 128)), TrainSpec(testing_percentage=30))


@pytest.fixture(scope="module")
def exported(result, tmp_path_factory):
    """(folder, report entries by kind) of every export."""
    folder = tmp_path_factory.mktemp("exports")
    spec = ExportSpec(
        folder / "models/flowers/1", folder / "graph.pb", "answer", folder / "labels.txt", ("float32", "float16")
    )
    entries = export_result(result, spec, folder)
    return folder, {entry["kind"]: entry for entry in entries}


@pytest.fixture(scope="module")
def tested(result, tmp_path_factory):
    """(photo paths, file of their pictures float32 in [0, 1], the integer .tflite's answers)."""
    paths = [photo.path for photo in result.dataset.test]
    pixels = np.stack([load_pixels(path, [128])[0] for path in paths])
    file = tmp_path_factory.mktemp("pictures") / "pictures.npy"
    np.save(file, pixels.astype(np.float32) / 255)
    return paths, file, np.stack([result.model.predict(picture) for picture in pixels])


def test_every_export_is_listed_with_size_digest_and_agreement(exported, result):
    folder, entries = exported
    assert set(entries) == {"tflite float32", "tflite float16", "saved_model", "graph", "labels"}
    for kind in ("graph", "labels"):
        data = Path(entries[kind]["path"]).read_bytes()
        assert (entries[kind]["size_bytes"], entries[kind]["sha256"]) == (len(data), sha256(data))
    for kind in ("float32", "float16"):
        entry = entries[f"tflite {kind}"]
        data = (folder / entry["path"]).read_bytes()
        assert entry["path"] == f"mobilenet_v1_025_128_{kind}.tflite"
        assert (entry["size_bytes"], entry["sha256"]) == (len(data), sha256(data))
        assert entry["to_tflite"]["photos"] == len(result.dataset.test)
    compared = [entries["graph"], *entries["saved_model"]["signatures"].values()]
    assert set(entries["saved_model"]["signatures"]) == {"serving_default", "serving_jpeg"}
    for entry in compared:
        assert entry["to_network"]["moved"] <= 0.05
        assert 0 < entry["to_tflite"]["moved"] <= 0.1  # floats are never exactly the integers' answers
        assert entry["to_tflite"]["agreement"] >= 0.9
    files = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    tflites = {f"mobilenet_v1_025_128_{kind}.tflite" for kind in ("float32", "float16")}
    assert files == {"models", "graph.pb", "labels.txt", *tflites}
    assert (folder / "labels.txt").read_text() == "blue\ngreen things\nred\n"


def test_a_serving_client_gets_the_integer_files_answers(exported, tested):
    folder, _ = exported
    paths, pictures, expected = tested
    answers = fresh_process(SERVING_CLIENT, folder / "models/flowers/1", pictures, *paths)
    assert answers["labels"] == ["blue", "green things", "red"]
    assert answers["shapes"] == {"serving_default": [-1, 128, 128, 3], "serving_jpeg": [-1]}
    assert answers["foreign"] == []
    for way in ("serving_default", "serving_jpeg", "python"):
        found = np.array(answers[way])
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 0.15
        assert np.abs(found - expected).mean() < 0.02
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9
    assert np.abs(np.array(answers["python"]) - answers["serving_default"]).max() < 1e-3


def test_the_graph_runs_by_tensor_names_in_a_fresh_process(exported, tested):
    folder, entries = exported
    _, pictures, expected = tested
    names = entries["graph"]["input"], entries["graph"]["output"]
    assert names == ("Placeholder", "answer")
    found = np.array(fresh_process(GRAPH_CLIENT, folder / "graph.pb", pictures, *names))
    assert found.shape == expected.shape
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-4
    assert np.abs(found - expected).mean() < 0.02
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_float_files_carry_contract_labels_and_their_own_accuracy(exported, photos, kind):
    folder, entries = exported
    model = load_model(folder / f"mobilenet_v1_025_128_{kind}.tflite")
    checks = verify(model)
    assert all(check.ok for check in checks)
    assert "floats only" in [check.subject for check in checks]
    assert model.contract["scheme"] == kind
    again = evaluate_folder(model, photos)
    assert again.which == "test"
    assert again.evaluation.top1 == model.contract["accuracy"]["top1"] == entries[f"tflite {kind}"]["top1"]


def test_a_file_that_is_not_of_the_floats_it_promises_fails_its_verification(exported):
    folder, _ = exported
    model = load_model(folder / "mobilenet_v1_025_128_float32.tflite")
    claimed = replace(model, contract={**model.contract, "scheme": "float16"})
    assert [check.subject for check in verify(claimed) if not check.ok] == ["floats only"]


def served_by(network, result):
    backbone = result.backbone
    return lambda: Served(network, backbone.spec.res, *backbone.input_quantization, result.dataset.class_names)


def wrong_network(result):
    """The right network on pictures with red and blue swapped."""
    from edgeretrain.network import build_network

    network = build_network(result.backbone, result.head)
    return lambda pictures: network(pictures[..., ::-1], training=False)


def test_a_network_that_is_not_the_files_is_refused_and_nothing_appears(result, tmp_path):
    spec = ExportSpec(output_graph=tmp_path / "graph.pb", output_labels=tmp_path / "labels.txt")
    served = served_by(wrong_network(result), result)
    with pytest.raises(QualityError, match=r"the frozen graph, .*: against the integer \.tflite it moves 0\.\d+ of"):
        write_exports(spec, tmp_path, result.model, result.dataset.test, served=served, float_model=lambda kind: b"")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_not_its_network_is_refused(result, tmp_path, monkeypatch):
    from edgeretrain.exports import graphs

    save, wrong = graphs.save_serving, served_by(wrong_network(result), result)()
    monkeypatch.setattr(graphs, "save_serving", lambda served, *rest: save(wrong, *rest))
    with pytest.raises(QualityError, match=r"the SavedModel, loaded back, .*: against its network it moves 0\.\d+ of"):
        export_result(result, ExportSpec(tmp_path / "1"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_float_file_with_another_head_is_refused(result, tmp_path):
    from edgeretrain.write import write_model

    head = result.head
    other = replace(head, layer=replace(head.layer, codes=head.layer.codes[..., ::-1], scale=head.layer.scale[::-1]))
    with pytest.raises(QualityError, match=r"the float16 \.tflite, .*: against the integer \.tflite it moves"):
        write_exports(
            ExportSpec(float_types=("float16",)),
            tmp_path,
            result.model,
            result.dataset.test,
            served=served_by(None, result),
            float_model=lambda kind: write_model(result.backbone, other, scheme=kind),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_float_file_that_holds_other_types_is_refused(result, tmp_path):
    from edgeretrain.write import write_model

    with pytest.raises(QualityError, match=r"the float16 \.tflite, .* floats only: "):
        write_exports(
            ExportSpec(float_types=("float16",)),
            tmp_path,
            result.model,
            result.dataset.test,
            served=served_by(None, result),
            float_model=lambda kind: write_model(result.backbone, result.head, scheme="float32"),
        )


def test_a_fine_tuned_network_is_what_is_exported(photos, tmp_path):
    start = load_starter(ModelSpec("025", 128))
    tuned = run(photos, start, TrainSpec(testing_percentage=30, steps=100, fine_tune=2, fine_tune_rate=0.003))
    layers = zip(start.layers, tuned.backbone.layers, strict=True)
    assert any(not np.array_equal(a.weights, b.weights) for a, b in layers)
    entries = export_result(tuned, ExportSpec(output_graph=tmp_path / "g.pb", float_types=("float32",)), tmp_path)
    assert all(entry["to_tflite"]["moved"] < 0.05 for entry in entries)


def test_a_photo_that_vanishes_before_the_export_is_named(result, tmp_path):
    gone = [replace(result.dataset.test[0], path=tmp_path / "gone.jpg")]
    changed = replace(result, dataset=replace(result.dataset, test=tuple(gone)))
    with pytest.raises(DataError, match=r"gone\.jpg was usable a moment ago, now it is not \(no such file\)"):
        export_result(changed, ExportSpec(float_types=("float32",)), tmp_path)


def test_photos_that_are_no_jpegs_are_encoded_for_the_check(result, tmp_path):
    colour_photo((10, 200, 30), 1).save(tmp_path / "photo.png")
    photo = result.dataset.test[0]
    assert _as_jpeg(photo) == photo.path.read_bytes()
    encoded = _as_jpeg(replace(photo, path=tmp_path / "photo.png"))
    assert encoded.startswith(b"\xff\xd8\xff")


def test_checks_are_spread_over_the_photos(result):
    photos = [replace(result.dataset.test[0], row=row) for row in range(100)]
    rows = [photo.row for photo in _spread(photos, CHECK_PHOTOS)]
    assert (len(rows), rows[0], rows[-1]) == (32, 0, 99)
    assert len(set(rows)) == 32
    assert len(_spread(photos[:3], CHECK_PHOTOS)) == 3
