"""The student in training: first a float network with batch norm, then, folded, the fake-quant network that ships.

Measured (docs/distill.md): in short runs this comes as near to the teacher as fake quantization from the start, where batch
norm is folded away at once, or a little nearer. `quantized_share` 1 goes straight to the second network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.backbone import RELU6_SCALE, Backbone, quantize_per_channel
from edgeretrain.distill.quality import Floats
from edgeretrain.distill.spec import DistillSpec
from edgeretrain.errors import DataError
from edgeretrain.images import Pixels
from edgeretrain.network import build_network, network_input, variables_of

tf = load_tensorflow()
import tf_keras as keras  # noqa: E402

EPSILON = 1e-3  # of batch norm, as slim's
MOMENTUM = 0.9  # of its moving averages: runs are short
TEMPERATURE = 2.0  # of the logits (Hinton et al. 2015, arXiv:1503.02531)
WEIGHT_DECAY = 1e-4


class Student:
    """A backbone in training, with the linear layers that read the teacher's features and logits out of its own.

    `start` gives the weights; `readout` (weights [features, teacher's features], bias) the linear layer; `classes` the
    teacher's logits, 0 for none; `pictures` uint8 [N, res, res, 3] set the batch norms up.
    The activations' range is ReLU6's own, 0 to 6. Imports TensorFlow.
    """

    def __init__(
        self, start: Backbone, readout: tuple[Floats, Floats], classes: int, spec: DistillSpec, pictures: Pixels
    ) -> None:
        self.start, self.spec = start, spec
        self.linear = [tf.Variable(part) for part in readout]
        features = start.spec.features
        sizes = ((features, classes), (classes,)) if classes else ()
        self.logits = [tf.Variable(tf.zeros(size)) for size in sizes]
        self.step_number = 0
        self.quantized = False
        self.network, self.pairs = _float_network(start, network_input(start, pictures))
        self._compile()

    def _quantize(self) -> None:
        """Go over to the fake-quant network."""
        self.network = build_network(self.backbone(), None)
        self.quantized = True
        self._compile()

    def _compile(self) -> None:
        """A new optimizer and a new graph for the network of this phase."""
        self.trained = [*self.network.trainable_variables, *self.linear, *self.logits]
        self.optimizer = keras.optimizers.AdamW(self.spec.learning_rate, weight_decay=WEIGHT_DECAY, beta_2=0.99)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(self.trained)
        self._graph = tf.function(self._update)

    def train(self, pixels: Pixels, features: Floats, logits: Floats) -> float:
        """One step on views uint8 [N, res, res, 3] and the teacher's standardized features [N, ...] and logits of them;
        returns the loss. Fake quantization begins by itself when it is due.
        """
        if not self.quantized and self.step_number >= self.spec.float_steps:
            self._quantize()
        self.optimizer.learning_rate = self.spec.rate(self.step_number)
        loss = float(self._graph(network_input(self.start, pixels), features, logits))
        self.step_number += 1
        return loss

    def _update(self, pictures: Any, features: Any, logits: Any) -> Any:
        if self.quantized:
            for kernel, _, limit in variables_of(self.network):
                limit.assign(_largest(kernel, limit.shape[0]))
        with tf.GradientTape() as tape:
            own = self.network(pictures, training=True)
            weights, bias = self.linear
            loss = tf.reduce_mean((own @ weights + bias - features) ** 2)
            if self.logits:
                weights, bias = self.logits
                wanted = tf.nn.softmax(logits / TEMPERATURE)
                found = tf.nn.log_softmax((own @ weights + bias) / TEMPERATURE)
                entropy = tf.math.xlogy(wanted, wanted) - wanted * found
                loss += self.spec.logit_weight * tf.reduce_mean(tf.reduce_sum(entropy, axis=1))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trained), self.trained, strict=True))
        return loss

    def backbone(self) -> Backbone:
        """The student as integers: per channel, step max|w| / 127 as in training. Its `source` is still the start's."""
        if self.quantized:
            real = [(kernel.numpy(), bias.numpy()) for kernel, bias, _ in variables_of(self.network)]
        else:
            real = [_folded(*pair) for pair in self.pairs]
        layers = tuple(
            quantize_per_channel(weights.reshape(shape.weights), bias, RELU6_SCALE)
            for shape, (weights, bias) in zip(self.start.table, real, strict=True)
        )
        return Backbone(self.start.spec, layers, self.start.input_range, self.start.source)

    def state(self) -> list[NDArray[Any]]:
        """Everything that training goes on from, as arrays; `restore` takes them."""
        return [variable.numpy() for variable in self._variables()]

    def restore(self, step_number: int, arrays: Sequence[NDArray[Any]]) -> None:
        """Go on from step `step_number` with what `state` gave then. Raises DataError if the arrays do not fit."""
        if step_number > self.spec.float_steps and not self.quantized:
            self._quantize()
        self.step_number = step_number
        variables = self._variables()
        if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
            raise DataError("the checkpoint's arrays are not those of this network: delete it to begin again")
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def _variables(self) -> list[Any]:
        return [*self.network.variables, *self.linear, *self.logits, *self.optimizer.variables]


def _largest(kernel: Any, channels: int) -> Any:
    """max|w| per channel of a kernel [h, w, in, out] or [h, w, channels, 1]; a dead channel keeps a range."""
    flat = tf.reshape(kernel, (-1, channels))
    return tf.maximum(tf.reduce_max(tf.abs(flat), axis=0), 1e-6)


def _float_network(start: Backbone, pictures: Floats) -> tuple[Any, list[tuple[Any, Any]]]:
    """The backbone as a float tf_keras model with batch norm, and its (convolution, batch norm) pairs.

    Each norm is set to undo what it does to `pictures`, so that the network begins as `start`. (Random weights learn faster
    so, too, than from activations of unit variance: loss 0.91 against 0.95 after 120 steps.)
    """
    image = keras.Input((start.spec.res, start.spec.res, 3), name="image")
    x, seen, pairs = image, tf.constant(pictures), []
    for shape, layer in zip(start.table, start.layers, strict=True):
        options: dict[str, Any] = {"strides": shape.stride, "padding": "same", "use_bias": False, "name": shape.name}
        if shape.kind == "depthwise":
            convolution = keras.layers.DepthwiseConv2D(3, **options)
        else:
            convolution = keras.layers.Conv2D(shape.channels, shape.weights[0], **options)
        norm = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=f"{shape.name}_norm")
        x = tf.nn.relu6(norm(convolution(x)))
        convolution.set_weights([layer.weights.reshape(convolution.weights[0].shape)])
        linear = convolution(seen)
        mean, variance = (part.numpy() for part in tf.nn.moments(linear, axes=(0, 1, 2)))
        norm.set_weights([np.sqrt(variance + EPSILON), mean + layer.bias, mean, variance])
        seen = tf.nn.relu6(linear + layer.bias)
        pairs.append((convolution, norm))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x), name=start.spec.name), pairs


def _folded(convolution: Any, norm: Any) -> tuple[Floats, Floats]:
    """(weights, bias) of a convolution with its batch norm folded in (Jacob et al. 2018, arXiv:1712.05877, section 3.2)."""
    (weights,) = convolution.get_weights()
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + EPSILON)
    per_channel = factor[:, None] if isinstance(convolution, keras.layers.DepthwiseConv2D) else factor
    return weights * per_channel, beta - mean * factor
