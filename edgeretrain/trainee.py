"""A backbone in training: first a float network with batch norm, then, folded, the fake-quant network that ships.

Batch norm makes weights of all sizes learn alike. Training folded weights instead, with fake quantization from the start, took
flowers *away* from a 050/160 network that gains two points this way (benchmarks/fine_tuning.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.backbone import RELU6_SCALE, Backbone, quantize_per_channel
from edgeretrain.network import build_network, variables_of
from edgeretrain.write import Head

tf = load_tensorflow()
import tf_keras as keras  # noqa: E402

EPSILON = 1e-3  # of batch norm, as slim's
MOMENTUM = 0.9  # of its moving averages: runs are short

Floats = NDArray[np.float32]


class Trainee:
    """`network` is the tf_keras model in training: pictures to pooled features, or with a head to probabilities.

    `start` gives the weights, `pictures` (float32 [N, res, res, 3] in the input range) set the batch norms up; layers before
    number `first` stay as they are. The activations' range is ReLU6's own, 0 to 6. `policy` is Keras's for the layers before
    fake quantization, which needs float32. Imports TensorFlow.
    """

    def __init__(self, start: Backbone, pictures: Floats, first: int = 0, policy: str = "float32") -> None:
        self.start, self.first = start, first
        self.quantized = False
        self.network, self._pairs = _float_network(start, pictures, first, policy)

    def quantize(self, head: Head | None = None) -> None:
        """Go over to the fake-quant network, with `head` on it."""
        self.network = build_network(self.backbone(), head)
        self.quantized = True

    def variables(self) -> list[Any]:
        """What is trained: kernels, biases and, before quantization, what batch norm learns."""
        if not self.quantized:
            return list(self.network.trainable_variables)
        return [variable for kernel, bias, _ in variables_of(self.network)[self.first :] for variable in (kernel, bias)]

    def follow(self) -> None:
        """Let the ranges of the fake-quant weights follow the weights: step max|w| / 127 per channel."""
        for kernel, _, limit in variables_of(self.network)[self.first :]:
            limit.assign(_largest(kernel, limit.shape[0]))

    def backbone(self) -> Backbone:
        """The network as integers: step max|w| / 127 as in training. `source` is the start's; so are untrained layers."""
        if self.quantized:
            real = [(kernel.numpy(), bias.numpy()) for kernel, bias, _ in variables_of(self.network)]
        else:
            real = [_folded(*pair) for pair in self._pairs]
        own = list(zip(self.start.table, self.start.layers, real, strict=False))  # a head would be behind them
        layers = [
            quantize_per_channel(weights.reshape(shape.weights), bias, RELU6_SCALE, nearest=self.quantized)
            if number >= self.first
            else before
            for number, (shape, before, (weights, bias)) in enumerate(own)
        ]
        return Backbone(self.start.spec, tuple(layers), self.start.input_range, self.start.source)


def _largest(kernel: Any, channels: int) -> Any:
    """max|w| per channel of a kernel [h, w, in, out] or [h, w, channels, 1]; a dead channel keeps a range."""
    flat = tf.reshape(kernel, (-1, channels))
    return tf.maximum(tf.reduce_max(tf.abs(flat), axis=0), 1e-6)


def _float_network(start: Backbone, pictures: Floats, first: int, policy: str) -> tuple[Any, list[tuple[Any, Any]]]:
    """The backbone as a float tf_keras model with batch norm, and its (convolution, batch norm) pairs.

    Each norm is set to undo what it does to `pictures`, so that the network begins as `start`. (Random weights learn faster
    so, too, than from activations of unit variance: loss 0.91 against 0.95 after 120 steps.)
    """
    image = keras.Input((start.spec.res, start.spec.res, 3), name="image")
    x, seen, pairs = image, tf.constant(pictures), []
    for number, (shape, layer) in enumerate(zip(start.table, start.layers, strict=True)):
        options: dict[str, Any] = {"strides": shape.stride, "padding": "same", "use_bias": False, "name": shape.name}
        options["dtype"] = policy
        if shape.kind == "depthwise":
            convolution = keras.layers.DepthwiseConv2D(3, **options)
        else:
            convolution = keras.layers.Conv2D(shape.channels, shape.weights[0], **options)
        norm = keras.layers.BatchNormalization(
            momentum=MOMENTUM, epsilon=EPSILON, name=f"{shape.name}_norm", dtype=policy
        )
        x = tf.nn.relu6(norm(convolution(x)))
        convolution.set_weights([layer.weights.reshape(convolution.weights[0].shape)])
        linear = tf.cast(convolution(seen), tf.float32)
        mean, variance = (part.numpy() for part in tf.nn.moments(linear, axes=(0, 1, 2)))
        norm.set_weights([np.sqrt(variance + EPSILON), mean + layer.bias, mean, variance])
        convolution.trainable = norm.trainable = number >= first
        seen = tf.nn.relu6(linear + layer.bias)
        pairs.append((convolution, norm))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(dtype="float32")(x), name=start.spec.name), pairs


def _folded(convolution: Any, norm: Any) -> tuple[Floats, Floats]:
    """(weights, bias) of a convolution with its batch norm folded in (Jacob et al. 2018, arXiv:1712.05877, section 3.2)."""
    (weights,) = convolution.get_weights()
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + EPSILON)
    per_channel = factor[:, None] if isinstance(convolution, keras.layers.DepthwiseConv2D) else factor
    return weights * per_channel, beta - mean * factor
