"""Small float networks in every format that `train` takes, with weights that keep activations alive."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgeretrain._tensorflow import load_tensorflow

RES = 64
FEATURES = 24


def _weights(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(seed)
    return [random.normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape).astype(np.float32) for shape in shapes]


def tf1_module(
    folder: Path, *, extra: Any = None, text: bool = False, name: str = "default", shape: Any = None
) -> Path:
    """A TF1-Hub module with reference variables and batch norm; `extra(images, output)` replaces the output."""
    tf = load_tensorflow()

    tf1 = tf.compat.v1
    first, second = _weights(0, (3, 3, 3, 16), (3, 3, 16, FEATURES))
    with tf.Graph().as_default(), tf1.Session() as session:
        if text:
            images = tf1.placeholder(tf.string, [None], name="text")
            output = tf.zeros([tf.size(images), 8])
        else:
            images = tf1.placeholder(tf.float32, shape or [None, RES, RES, 3], name="images")
            x = images * 2 - 1
            for i, kernel in enumerate((first, second)):
                w = tf1.get_variable(f"w{i}", initializer=kernel, use_resource=False)
                mean = tf1.get_variable(f"mean{i}", initializer=np.full(kernel.shape[3], 0.05, np.float32))
                x = tf.nn.conv2d(x, w, 2, "SAME")
                x = tf.nn.relu6(tf1.nn.batch_normalization(x, mean, 0.9, 0.1, 1.1, 1e-3))
            output = tf.reduce_mean(x, [1, 2])
        if extra is not None:
            output = extra(images, output)
        session.run(tf1.global_variables_initializer())
        signature = tf1.saved_model.predict_signature_def({"images": images}, {name: output})
        builder = tf1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [], {name: signature})
        builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


def tf2_module(folder: Path, res: int | None = RES, *, call: Any = None, signature: bool = True) -> Path:
    """A TF2 SavedModel feature vector; `call(module, x)` replaces what it computes. Without `signature` only a callable."""
    tf = load_tensorflow()

    spec = tf.TensorSpec([None, res, res, 3], tf.float32, name="inputs")

    class Network(tf.Module):
        def __init__(self) -> None:
            first, second = _weights(1, (3, 3, 3, FEATURES), (3, 3, FEATURES, 1))
            self.first, self.second = tf.Variable(first), tf.Variable(second)

        @tf.function(input_signature=[spec] if signature else None)
        def __call__(self, x: Any) -> Any:
            if call is not None:
                return call(self, x)
            x = tf.nn.relu(tf.nn.conv2d(x, self.first, 2, "SAME"))
            x = tf.nn.relu(tf.nn.depthwise_conv2d(x, self.second, [1, 2, 2, 1], "SAME"))
            return tf.reduce_mean(x, [1, 2])

    network = Network()
    network.__call__.get_concrete_function(spec)
    tf.saved_model.save(network, str(folder), signatures=network.__call__ if signature else None)
    return folder


def keras_mobilenet(top: bool = False, **options: Any) -> Any:
    """keras.applications' MobileNet 0.25 at 128 px with random weights (Keras 2)."""
    load_tensorflow()
    import tf_keras

    model = tf_keras.applications.MobileNet(
        (128, 128, 3),
        0.25,
        include_top=top,
        weights=None,
        **({"classes": 11} if top else {"pooling": "avg"}),
        **options,
    )
    random = np.random.default_rng(2)
    for weight in model.weights:
        if "kernel" in weight.name:
            fan_in = weight.shape[0] * weight.shape[1] * (1 if "depthwise" in weight.name else weight.shape[2])
            weight.assign(random.normal(0, (2 / fan_in) ** 0.5, weight.shape))
        elif "beta" in weight.name:
            weight.assign(random.uniform(0, 0.3, weight.shape))
    return model


def keras3_twin(model: Any) -> Any:
    """The same network in Keras 3."""
    import keras

    twin = keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, pooling="avg", weights=None)
    for mine, other in zip(twin.weights, model.weights, strict=True):
        mine.assign(other.numpy())
    return twin


def copy_of(folder: Path, target: Path) -> Path:
    """A copy of a module folder."""
    return Path(shutil.copytree(folder, target))
