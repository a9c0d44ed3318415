"""A module is a program from somewhere: what is looked at before any of it runs, and what is refused."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules.keras_file import expected_pixels, read_keras_file
from tests import float_modules
from tests.conftest import module_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn about themselves


def freeze(path, res=None):
    from edgeretrain.modules.frozen import freeze

    return freeze(path, "the module", res)


def refused(path, message, res=None, kind=EnvironmentFailure):
    with pytest.raises(kind, match=message) as raised:
        freeze(path, res)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(("the module", "--res"))


@pytest.mark.parametrize("effect", ["WriteFile", "ReadFile", "PyFunc", "PrintV2", "MatchingFiles"])
def test_a_graph_that_touches_files_or_python_is_not_run(effect, tmp_path):
    tf = load_tensorflow()
    witness = tmp_path / "witness"

    def with_effect(network, x):
        op = {
            "WriteFile": lambda: tf.io.write_file(str(witness), "x"),
            "ReadFile": lambda: tf.io.read_file("/etc/hostname"),
            "MatchingFiles": lambda: tf.io.matching_files("/etc/*"),
            "PrintV2": lambda: tf.print("x", output_stream=f"file://{witness}"),
            "PyFunc": lambda: tf.compat.v1.py_func(lambda: 1.0, [], tf.float64),
        }[effect]()
        with tf.control_dependencies([op] if op is not None else []):
            return tf.reduce_mean(x, [1, 2]) + 0

    folder = float_modules.tf2_module(tmp_path / "m", call=with_effect)
    witness.unlink(missing_ok=True)
    kind = "EagerPyFunc|PyFunc" if effect == "PyFunc" else effect
    refused(folder, f"has the operator ({kind}), which an image network does not need: it is not run")
    assert not witness.exists()


def test_a_savers_operators_are_let_through_only_where_nothing_runs_them(tmp_path):
    tf = load_tensorflow()
    witness = tmp_path / "witness"

    def saving(images, output):
        save = tf.raw_ops.SaveV2(
            prefix=str(witness), tensor_names=["x"], shape_and_slices=[""], tensors=[tf.zeros([1])]
        )
        with tf.control_dependencies([save]):
            return output + 0

    assert freeze(float_modules.tf1_module(tmp_path / "good")).features == float_modules.FEATURES
    refused(float_modules.tf1_module(tmp_path / "bad", extra=saving), "runs the operator SaveV2, which touches files")

    def saving_in_a_function(network, x):
        tf.raw_ops.SaveV2(prefix=str(witness), tensor_names=["x"], shape_and_slices=[""], tensors=[network.first])
        return tf.reduce_mean(x, [1, 2])

    refused(float_modules.tf2_module(tmp_path / "bad2", call=saving_in_a_function), "runs the operator SaveV2")
    assert not list(tmp_path.glob("witness*"))


def test_what_loading_runs_is_looked_at_too(tmp_path):
    load_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    folder = float_modules.tf1_module(tmp_path / "m")
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0]
    save = next(node.name for node in graph.graph_def.node if node.op == "SaveV2")
    graph.collection_def["legacy_init_op"].node_list.value.append(save)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, "runs the operator SaveV2")
    del graph.collection_def["legacy_init_op"]
    graph.saver_def.restore_op_name = save
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, "runs the operator SaveV2")
    graph.saver_def.restore_op_name = ""
    graph.asset_file_def.add().filename = "vocabulary.txt"
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, "brings asset files")
    del graph.asset_file_def[:]
    graph.meta_info_def.tags.append("train")
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, "has no graph for inference")


def test_every_operator_with_effects_that_tensorflow_knows_is_refused():
    load_tensorflow()
    from tensorflow.python.framework import op_def_registry

    from edgeretrain.modules.graph_check import _is_refused

    dangerous = (
        "WriteFile ReadFile PyFunc PyFuncStateless EagerPyFunc PrintV2 Print DebugIdentityV2 DebugIdentity SaveV2"
    )
    dangerous += " DatasetToTFRecord ImmutableConst CreateSummaryFileWriter LMDBReader TextLineDataset TFRecordDataset"
    dangerous += " InitializeTableFromTextFileV2 MergeV2Checkpoints FileSystemSetConfiguration RemoteCall Send Recv"
    dangerous += (
        " SqlDataset SnapshotDatasetV2 HashTableV2 LoadAndRemapMatrix FixedUnigramCandidateSampler NoSuchOperator"
    )
    assert [op for op in dangerous.split() if not _is_refused(op)] == []
    needed = "Conv2D DepthwiseConv2dNative FusedBatchNormV3 Relu6 Mean Pad MatMul AvgPool ConcatV2 ResizeBilinear"
    assert [op for op in needed.split() if _is_refused(op) or op_def_registry.get(op) is None] == []


def test_the_quantops_reader_looks_too(shared, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    from edgeretrain.modules.quantops import read_quantops

    folder = float_modules.copy_of(module_folder(shared, "025"), tmp_path / "m")
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    model.meta_graphs[0].graph_def.node.add(name="evil", op="ReadFile")
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(EnvironmentFailure, match="m has the operator ReadFile"):
        read_quantops(folder, "m")


def test_modules_that_are_no_image_feature_vectors_are_named(tmp_path):
    tf = load_tensorflow()
    tf1, tf2 = float_modules.tf1_module, float_modules.tf2_module

    def reshaped(shape):
        return lambda network, x: tf.reshape(tf.reduce_mean(x, [1, 2]), shape)

    refused(tf1(tmp_path / "text", text=True), "takes string, not float32 pictures")
    refused(tf1(tmp_path / "oblong", shape=[None, 64, 96, 3]), "takes pictures of 96 x 64 px; only square ones")
    refused(tf1(tmp_path / "small", shape=[None, 8, 8, 3]), "takes 8 px: pictures of 16 to 1024 px", kind=UsageError)
    refused(tf2(tmp_path / "rank", call=reshaped([-1, 3, 1])), r"makes \[1, 3, 1\] of a picture; expected a vector")
    refused(
        tf2(tmp_path / "one", call=lambda n, x: x[:, 0, 0, :1]), "makes 1 features of a picture; expected 2 to 16384"
    )
    refused(
        tf2(tmp_path / "bare", call=lambda n, x: {"a": x[:, 0, 0], "b": x[:, 1, 1]}), "has 2 outputs .a, b. and none"
    )
    refused(tf2(tmp_path / "size", None), "--res 9: pictures of 16 to 1024 px are supported", 9, UsageError)
    broken = tf2(tmp_path / "broken")
    (broken / "variables" / "variables.index").write_bytes(b"x")
    refused(broken, "cannot be loaded as an image module: ")


def test_a_signature_without_an_image_is_named(tmp_path):
    tf = load_tensorflow()
    from edgeretrain.modules.signature import choose_signature, feature_output, picture_input

    with pytest.raises(EnvironmentFailure, match=r"x has 2 inputs \(a, b\); expected an image feature-vector module"):
        picture_input({"b": None, "a": None}, "x")
    with pytest.raises(EnvironmentFailure, match=r"x takes an input of \[any, 64, 64\], not RGB pictures"):
        picture_input({"a": tf.TensorSpec([None, 64, 64], tf.float32)}, "x")
    with pytest.raises(EnvironmentFailure, match=r"x takes an input of any shape, not RGB pictures"):
        picture_input({"a": tf.TensorSpec(None, tf.float32)}, "x")
    assert feature_output({"map": tf.TensorSpec([None, 7, 7, 9]), "vector": tf.TensorSpec([None, 9])}, "x") == "vector"
    assert choose_signature(["serving_default", "default"]) == "default"
    assert choose_signature(["mine", "__saved_model_init_op"]) == "mine"
    assert choose_signature(["a", "b"]) is None


def test_callables_and_feature_maps_are_taken(tmp_path):
    tf = load_tensorflow()
    callable_only = float_modules.tf2_module(tmp_path / "callable", signature=False)
    assert list(tf.saved_model.load(str(callable_only)).signatures) == []
    found = freeze(callable_only)
    assert (found.res, found.features) == (float_modules.RES, float_modules.FEATURES)
    maps = float_modules.tf2_module(tmp_path / "maps", call=lambda n, x: tf.nn.conv2d(x, n.first, 2, "SAME"))
    assert freeze(maps).features == float_modules.FEATURES  # averaged over the picture


def test_networks_without_a_way_in_are_named(tmp_path):
    tf = load_tensorflow()
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    refused(tmp_path / "empty", "has no signature to use")
    from tensorflow.core.protobuf import saved_model_pb2

    folder = float_modules.tf1_module(tmp_path / "m")
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signatures = model.meta_graphs[0].signature_def
    signatures["mine"].CopyFrom(signatures["default"])
    signatures["other"].CopyFrom(signatures["default"])
    del signatures["default"]
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, "has no signature to use")


def test_a_module_for_several_pictures_at_a_time_is_refused(tmp_path):
    refused(float_modules.tf1_module(tmp_path / "m", shape=[4, 64, 64, 3]), "takes 4 pictures at a time")


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory):
    load_tensorflow()
    import tf_keras

    folder = tmp_path_factory.mktemp("keras")
    layers = tf_keras.layers
    small = tf_keras.Sequential([layers.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    small.save(folder / "small.keras")
    small.save(folder / "small.h5")
    small.save_weights(folder / "weights.h5")
    evil = tf_keras.Sequential([layers.Input((32, 32, 3)), layers.Lambda(lambda x: x * 2), layers.Flatten()])
    evil.save(folder / "lambda.h5")
    evil.save(folder / "lambda.keras")
    a, b = layers.Input((32, 32, 3)), layers.Input((32, 32, 3))
    tf_keras.Model([a, b], layers.Flatten()(layers.Add()([a, b]))).save(folder / "two.keras")
    return folder


@pytest.mark.parametrize("name", ["lambda.h5", "lambda.keras"])
def test_code_in_keras_files_is_never_read(name, keras_files):
    refused(keras_files / name, "has a part of the class 'Lambda', which is not run")


def changed(source, target, change):
    """A copy of a .keras file with another description."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            new.writestr(info.filename, data)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(class_name="TextVectorization"), "is a Keras TextVectorization; expected a functional"),
        (lambda c: c["config"]["layers"][1].update(module="os"), "has a part from the module 'os', which is not run"),
        (lambda c: c["config"]["layers"][1].update(registered_name="a>B"), "has a part registered as 'a>B'"),
        (lambda c: c["config"]["layers"][1]["config"].update(filters=10**9), "asks for filters 1000000000, at most"),
        (
            lambda c: c["config"]["layers"][1].update(class_name="StringLookup"),
            "has a part of the class 'StringLookup'",
        ),
        (lambda c: c["config"]["layers"][1].pop("config"), "cannot be loaded as an image module: "),
    ],
)
def test_descriptions_that_name_anything_else_are_refused(change, message, keras_files, tmp_path):
    refused(changed(keras_files / "small.keras", tmp_path / "x.keras", change), message)


def test_keras_files_that_are_none_are_named(keras_files, tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(tmp_path / "x.h5", "is damaged or not a Keras file")
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    refused(tmp_path / "x.keras", r"is not a Keras file: it has no metadata\.json")
    refused(keras_files / "weights.h5", "holds weights alone, and not those of a MobileNet")
    refused(keras_files / "two.keras", "has 2 inputs and 1 outputs; expected one picture and one vector")
    assert freeze(keras_files / "small.h5").pixels is None
    from edgeretrain.modules import keras_file

    monkeypatch.setattr(keras_file, "MAX_BYTES", 100)
    refused(keras_files / "small.keras", "unpacks to more than 0 MiB")
    refused(keras_files / "small.h5", "holds more than 0 MiB of weights")
    monkeypatch.undo()
    monkeypatch.setattr(keras_file, "_MAX_CONFIG", 100)
    refused(keras_files / "small.h5", "describes its network in more than 0 MiB")


def test_hdf5_that_leads_elsewhere_is_not_read(keras_files, tmp_path):
    import h5py

    secret = tmp_path / "secret"
    secret.write_bytes(bytes(400))
    for kind in ("link", "external"):
        path = shutil.copyfile(keras_files / "small.h5", tmp_path / f"{kind}.h5")
        with h5py.File(path, "a") as file:
            if kind == "link":
                file["extra"] = h5py.ExternalLink(str(secret), "/x")
            else:
                file.create_dataset("extra", (100,), np.float32, external=[(str(secret), 0, 400)])
    refused(tmp_path / "link.h5", "links to another place")
    refused(tmp_path / "external.h5", "keeps 'extra' in another file")


def test_pixels_follow_from_the_networks_description(keras_files):
    config = read_keras_file(keras_files / "small.keras", "x").config
    assert expected_pixels(config) is None
    config["config"]["name"] = "mobilenet_0.25_128"
    assert expected_pixels(config) == (-1, 1)
    config["config"]["layers"].insert(1, {"class_name": "Rescaling"})
    assert expected_pixels(config) == (0, 255)
