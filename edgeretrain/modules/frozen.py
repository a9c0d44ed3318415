"""Any image feature-vector network as one frozen TensorFlow graph: TF1-Hub module, TF2 SavedModel or Keras file.

Imported only where TensorFlow is wanted: by the worker process, and by whoever exports the float network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules.graph_check import checked_graph
from edgeretrain.modules.keras_file import KerasFile, expected_pixels, read_keras_file
from edgeretrain.modules.signature import DEFAULT_RES, choose_signature, feature_output, picture_input, picture_side

if TYPE_CHECKING:
    from edgeretrain.calibrated import Calibrated
    from edgeretrain.modules.generic import FloatModule
    from edgeretrain.write import Head

MAX_FEATURES = 16384
HUB_PIXELS = (0.0, 1.0)
"""What the values of pictures span by the hub's convention (tensorflow.org/hub/common_signatures/images)."""
SOURCE, RESULT = "image:0", "embedding:0"
"""Names of the tensors in a frozen graph: pictures float32 [N, res, res, 3], embeddings float32 [N, features]."""

tf = load_tensorflow()


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network without variables: `graph` (GraphDef) leads from `SOURCE` to `RESULT`.

    `pixels` is what the values of pictures span, None if nothing says. `any_res`: the module takes other sizes too.
    `batch` is 1 if it takes one picture at a time, else None. `fake_quant`: fake-quant operators were taken out.
    """

    graph: Any
    res: int
    features: int
    pixels: tuple[float, float] | None
    any_res: bool
    batch: int | None
    fake_quant: bool

    def __call__(self, pictures: Any) -> Any:
        """Embeddings [N, features] of pictures float32 [N, res, res, 3]; for use inside a graph or a tf.function."""
        (result,) = tf.graph_util.import_graph_def(
            self.graph, input_map={SOURCE: pictures}, return_elements=[RESULT], name="module"
        )
        return result


def freeze(path: Path, name: str, res: int | None) -> Frozen:
    """Read the module at `path`, a SavedModel folder or a Keras file, which messages call `name`.

    `res` in px is what the user asked for, None for the module's own. Raises EnvironmentFailure for what is no image feature
    vector or does more than compute, UsageError when the module takes another size.
    """
    try:
        if path.is_file():
            return _freeze_keras(path, name, res)
        meta_graph = checked_graph(path, name)
        if meta_graph.object_graph_def.nodes:
            return _freeze_tf2(path, name, res)
        return _freeze_tf1(path, meta_graph, name, res)
    except (EnvironmentFailure, UsageError):
        raise
    except Exception as error:  # TensorFlow and Keras raise nearly anything for a damaged module
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        raise EnvironmentFailure(f"{name} cannot be loaded as an image module: {reason}") from error


def _freeze_tf1(path: Path, meta_graph: Any, name: str, res: int | None) -> Frozen:
    tf1 = tf.compat.v1
    key = choose_signature(meta_graph.signature_def)
    if key is None:
        raise EnvironmentFailure(f"{name} has no signature to use; expected an image feature-vector module")
    signature = meta_graph.signature_def[key]
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        tf1.saved_model.loader.load(session, list(meta_graph.meta_info_def.tags), str(path))
        inputs = {label: graph.get_tensor_by_name(info.name) for label, info in signature.inputs.items()}
        outputs = {label: graph.get_tensor_by_name(info.name) for label, info in signature.outputs.items()}
        pictures = inputs[picture_input(inputs, name)]
        result = outputs[feature_output(outputs, name)]
        side, any_res = picture_side(pictures.shape, name, res)
        constant = tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [result.op.name])
    return _whole(constant, pictures.name, result.name, pictures.shape[0], side, HUB_PIXELS, any_res, name)


def _freeze_tf2(path: Path, name: str, res: int | None) -> Frozen:
    module = tf.saved_model.load(str(path))
    key = choose_signature(module.signatures)
    if key is not None:
        signature = module.signatures[key]
        inputs = dict(signature.structured_input_signature[1])
        label = picture_input(inputs, name)
        result = feature_output(signature.structured_outputs, name)
        shape = inputs[label].shape

        def call(x: Any) -> Any:
            return signature(**{label: x})[result]

    elif callable(module):
        call, shape = module, _shape_of_call(module)
    else:
        raise EnvironmentFailure(f"{name} has no signature to use; expected an image feature-vector module")
    side, any_res = picture_side(shape, name, res)
    return _freeze_function(call, shape[0], side, _pixels_of(module, path), any_res, name)


def _shape_of_call(module: Any) -> Any:
    """The shape of the pictures that a callable without signature was traced with."""
    for function in getattr(module.__call__, "concrete_functions", ()):
        for spec in tf.nest.flatten(function.structured_input_signature):
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 4:
                return spec.shape
    return tf.TensorShape([None, None, None, 3])


def _pixels_of(module: Any, path: Path) -> tuple[float, float] | None:
    """What pictures span for a TF2 SavedModel: what Keras 2 wrote about its network, else the hub's convention.

    None for what Keras 3 exported: it is no hub module, and nothing says which preprocessing belongs to it.
    """
    described = path / "keras_metadata.pb"
    if not described.is_file():
        return None if hasattr(module, "_misc_assets") else HUB_PIXELS
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata.FromString(described.read_bytes())
    root = next((node for node in metadata.nodes if node.node_path == "root"), None)
    return expected_pixels(json.loads(root.metadata)) if root is not None else None


def _freeze_keras(path: Path, name: str, res: int | None) -> Frozen:
    found = read_keras_file(path, name)
    pixels: tuple[float, float] | None = (-1.0, 1.0)
    if found.config is None:
        model = _mobilenet(path, name, res)
    else:
        model = _keras_of(found).models.load_model(str(path), compile=False, safe_mode=True)
        pixels = expected_pixels(found.config)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EnvironmentFailure(
            f"{name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one picture and one vector"
        )
    spec = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype)
    picture_input({"image": spec}, name)
    side, any_res = picture_side(spec.shape, name, res)
    return _freeze_function(lambda x: model(x, training=False), spec.shape[0], side, pixels, any_res, name)


def _keras_of(found: KerasFile) -> Any:
    """Keras 3 for its own files, Keras 2 (tf_keras) for older ones."""
    if found.version.startswith("3."):
        import keras

        return keras
    import tf_keras

    return tf_keras


def _mobilenet(path: Path, name: str, res: int | None) -> Any:
    """keras.applications' MobileNet around a file of weights alone, as Keras keeps them in ~/.keras/models."""
    import h5py
    import tf_keras

    shapes: list[tuple[int, ...]] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda key, item: shapes.append(tuple(item.shape)) if isinstance(item, h5py.Dataset) else None)
    first = [shape[3] for shape in shapes if len(shape) == 4 and shape[:3] == (3, 3, 3)]
    if len(first) != 1 or first[0] not in (8, 16, 24, 32):
        raise EnvironmentFailure(
            f"{name} holds weights alone, and not those of a MobileNet of width 0.25, 0.5, 0.75 or 1.0"
        )
    depth = 32 * first[0]
    top = [shape[3] for shape in shapes if len(shape) == 4 and shape[:3] == (1, 1, depth) and shape[3] != depth]
    named = re.search(r"_(128|160|192|224)(_|\.)", name)
    side = res or (int(named[1]) if named else DEFAULT_RES)
    model = tf_keras.applications.MobileNet(
        (side, side, 3), first[0] / 32, include_top=bool(top), weights=None, classes=top[0] if top else 1000
    )
    model.load_weights(str(path))
    return tf_keras.Model(model.input, model.get_layer("conv_pw_13_relu").output, name=model.name)


def _freeze_function(
    call: Callable[[Any], Any],
    batch: int | None,
    side: int,
    pixels: tuple[float, float] | None,
    any_res: bool,
    name: str,
) -> Frozen:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def traced(x: Any) -> Any:
        result = call(x)
        return tf.identity(result[feature_output(result, name)] if isinstance(result, Mapping) else result)

    spec = tf.TensorSpec([batch, side, side, 3], tf.float32)
    constant = convert_variables_to_constants_v2(tf.function(traced, autograph=False).get_concrete_function(spec))
    source, result = constant.inputs[0].name, constant.outputs[0].name
    return _whole(constant.graph.as_graph_def(), source, result, batch, side, pixels, any_res, name)


def _whole(
    graph: Any,
    source: str,
    result: str,
    batch: int | None,
    side: int,
    pixels: tuple[float, float] | None,
    any_res: bool,
    name: str,
) -> Frozen:
    """Take fake-quant operators out, average over what is left of the picture, and count the features."""
    if batch not in (None, 1):
        raise EnvironmentFailure(f"{name} takes {batch} pictures at a time; expected any number")
    fake_quant = _without_fake_quant(graph)
    with tf.Graph().as_default() as whole, tf.compat.v1.Session(graph=whole) as session:
        picture = tf.compat.v1.placeholder(tf.float32, [batch, side, side, 3], name=SOURCE.partition(":")[0])
        (found,) = tf.graph_util.import_graph_def(graph, {source: picture}, [result], name="inner")
        shape = session.run(found, {picture: np.zeros([1, side, side, 3], np.float32)}).shape
        if len(shape) not in (2, 4) or shape[0] != 1:
            raise EnvironmentFailure(f"{name} makes {list(shape)} of a picture; expected a vector [1, features]")
        if len(shape) == 4:
            found = tf.reduce_mean(found, [1, 2])
        features = int(shape[-1])
        if not 1 < features <= MAX_FEATURES:
            raise EnvironmentFailure(f"{name} makes {features} features of a picture; expected 2 to {MAX_FEATURES}")
        tf.reshape(found, [-1, features], name=RESULT.partition(":")[0])
        return Frozen(whole.as_graph_def(), side, features, pixels, any_res, batch, fake_quant)


def _without_fake_quant(graph: Any) -> bool:
    """Turn fake-quant operators of `graph` into Identity; whether there were any.

    Their weights' ranges are asymmetric and per tensor, which int8 kernels refuse: calibration finds ranges anew.
    """
    found = False
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            if node.op.startswith("FakeQuantWithMinMax"):
                found, node.op = True, "Identity"
                del node.input[1:]
                node.attr.clear()
                node.attr["T"].type = tf.float32.as_datatype_enum
    return found


def float_network(module: Calibrated | FloatModule, head: Head) -> Any:
    """The float network with `head`: a tf.function from pictures float32 [N, res, res, 3], which span the module's own input
    range (`Calibrated.input_range`), to probabilities [N, classes]. The counterpart of `network.build_network`.

    Raises what `freeze` raises.
    """
    frozen = freeze(module.path, module.source.name, module.spec.res)
    weights, bias = head.layer.weights[0, 0], head.layer.bias
    spec = tf.TensorSpec([frozen.batch, frozen.res, frozen.res, 3], tf.float32, name="image")

    def probabilities(pictures: Any) -> Any:
        return tf.nn.softmax(tf.matmul(frozen(pictures), weights) + bias)

    return tf.function(probabilities, input_signature=[spec], autograph=False)
