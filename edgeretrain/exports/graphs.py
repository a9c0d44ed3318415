"""A trained network as TensorFlow graphs: a SavedModel for TensorFlow Serving and a frozen GraphDef.

Both are made of one graph of constants, so neither needs Keras or tfmot when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.exports.jpeg import squeezed_jpeg
from edgeretrain.exports.spec import GRAPH_INPUT, IMAGE, IMAGE_BYTES, JPEG_SIGNATURE, PREDICTION, Served
from edgeretrain.images import Pixels

tf = load_tensorflow()
from tensorflow.python.framework.convert_to_constants import (  # noqa: E402
    convert_variables_to_constants_v2,
)

BATCH = 32
Floats = NDArray[np.float32]


def classifier_graph(served: Served, output: str) -> Any:
    """The GraphDef of `served`: the placeholder `GRAPH_INPUT` float32 [N, res, res, 3] RGB in [0, 1], and the tensor `output`
    float32 [N, classes] of probabilities. No variables, no functions.
    """
    pictures = tf.TensorSpec((None, served.res, served.res, 3), tf.float32, "pictures")
    frozen = convert_variables_to_constants_v2(tf.function(served.network).get_concrete_function(pictures))
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, pictures.shape, name=GRAPH_INPUT)
        # by way of the pixel's own numbers, which the network was trained on: 1.0 is the pixel 255
        real = (image * 255 - served.zero_point) * served.scale
        feed = {frozen.inputs[0].name: real}
        (answer,) = tf.graph_util.import_graph_def(
            frozen.graph.as_graph_def(), feed, [frozen.outputs[0].name], name="network"
        )
        tf.identity(answer, name=output)
    return graph.as_graph_def()


def save_graph(served: Served, path: Path, output: str) -> None:
    """Write `classifier_graph` as a binary GraphDef."""
    path.write_bytes(classifier_graph(served, output).SerializeToString(deterministic=True))


def save_serving(served: Served, folder: Path, labels: Path) -> None:
    """Write a SavedModel into `folder`, which tensorflow_model_server takes as one numbered version.

    Signature `serving_default`: `image` float32 [N, res, res, 3] RGB in [0, 1] to `prediction` float32 [N, classes], as the
    ancestor's. Signature `serving_jpeg`: `image_bytes` string [N], encoded JPEGs of any size, to `prediction`. `labels`, a file
    called labels.txt, is copied to assets/.
    """
    graph = classifier_graph(served, PREDICTION)

    @tf.function(input_signature=[tf.TensorSpec((None, served.res, served.res, 3), tf.float32, IMAGE)])  # type: ignore[untyped-decorator]
    def predict(image: Any) -> dict[str, Any]:
        (answer,) = tf.graph_util.import_graph_def(graph, {f"{GRAPH_INPUT}:0": image}, [f"{PREDICTION}:0"], name="")
        return {PREDICTION: answer}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, IMAGE_BYTES)])  # type: ignore[untyped-decorator]
    def predict_jpeg(image_bytes: Any) -> dict[str, Any]:
        shape = tf.TensorSpec((served.res, served.res, 3), tf.float32)
        pixels = tf.map_fn(lambda data: squeezed_jpeg(data, served.res), image_bytes, fn_output_signature=shape)
        answers: dict[str, Any] = predict(pixels / 255)
        return answers

    module = tf.Module()
    module.labels = tf.saved_model.Asset(str(labels))
    signatures = {tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: predict, JPEG_SIGNATURE: predict_jpeg}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def network_answers(served: Served, pixels: Pixels) -> Floats:
    """Probabilities float32 [N, classes] of pictures uint8 [N, res, res, 3] by the network itself."""
    return _in_batches(lambda part: served.network(tf.constant(_real(served, part))).numpy(), pixels)


def graph_answers(path: Path, output: str, pixels: Pixels) -> Floats:
    """The same by the GraphDef at `path`, imported anew and run by the names of its tensors."""
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(definition, name="")
        source, target = graph.get_tensor_by_name(f"{GRAPH_INPUT}:0"), graph.get_tensor_by_name(f"{output}:0")
        return _in_batches(lambda part: session.run(target, {source: _unit(part)}), pixels)


def serving_answers(folder: Path, pixels: Pixels, jpegs: Sequence[bytes]) -> tuple[Floats, Floats]:
    """The same by both signatures of the SavedModel in `folder`, loaded anew: (of `pixels`, of the encoded `jpegs`)."""
    signatures = tf.saved_model.load(str(folder)).signatures
    by_image, by_jpeg = signatures[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY], signatures[JPEG_SIGNATURE]
    return (
        _in_batches(lambda part: by_image(**{IMAGE: tf.constant(_unit(part))})[PREDICTION].numpy(), pixels),
        _in_batches(lambda part: by_jpeg(**{IMAGE_BYTES: tf.constant(part)})[PREDICTION].numpy(), jpegs),
    )


def _real(served: Served, pixels: Pixels) -> Floats:
    return ((pixels.astype(np.float32) - served.zero_point) * served.scale).astype(np.float32)


def _unit(pixels: Pixels) -> Floats:
    return pixels.astype(np.float32) / np.float32(255)


def _in_batches(answer: Callable[[Any], Floats], items: Any) -> Floats:
    return np.concatenate([answer(items[start : start + BATCH]) for start in range(0, len(items), BATCH)])
