"""A whole classifier in training: backbone and head, from the retrained head on. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.backbone import Backbone, quantize_per_channel
from edgeretrain.errors import DataError
from edgeretrain.images import Pixels
from edgeretrain.network import network_input, variables_of
from edgeretrain.softmax_path import logit_range
from edgeretrain.train import TrainedHead
from edgeretrain.trainee import Trainee
from edgeretrain.write import Head

tf = load_tensorflow()
import tf_keras as keras  # noqa: E402

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

MOMENTUM = 0.9
"""Of the moving averages that the range of the logits follows until fake quantization begins."""
EVALUATION_BATCH = 64


class Tuner:
    """`backbone` and `trained`, one network, in training: float with batch norm first, fake-quantized after `quantize`.

    `pictures` uint8 [N, res, res, 3], of all classes, set the batch norms up; `first` is the first convolution that is
    trained; `weights` float32 [classes] weigh the classes in the loss; `smoothing` in 0..1 of the labels; `mixed` computes in
    bfloat16 before fake quantization.
    """

    def __init__(
        self,
        backbone: Backbone,
        trained: TrainedHead,
        pictures: Pixels,
        weights: Floats,
        *,
        first: int,
        smoothing: float,
        mixed: bool = False,
    ) -> None:
        policy = "mixed_bfloat16" if mixed else "float32"
        self._trainee = Trainee(backbone, network_input(backbone, pictures), first, policy)
        self._classes, self._weights, self._smoothing = trained.head.classes, tf.constant(weights), smoothing
        self._dense = [tf.Variable(trained.weights), tf.Variable(trained.bias)]
        self._limits = [tf.Variable(0.0), tf.Variable(0.0)]  # least and largest logit
        self._best: list[NDArray[Any]] = []
        self._compile()
        logits = self.logits(pictures)
        self._limits[0].assign(logits.min())
        self._limits[1].assign(logits.max())

    @property
    def quantized(self) -> bool:
        """Whether the fake-quant network is what trains now."""
        return self._trainee.quantized

    @property
    def trained_layers(self) -> int:
        """Convolutions that are trained, head included."""
        return len(self._trainee.start.layers) - self._trainee.first + 1

    def quantize(self) -> None:
        """Fold batch norm and go over to the fake-quant network, head included; the optimizer begins anew."""
        if not self.quantized:
            self._trainee.quantize(self._head())
            self._compile()

    def _compile(self) -> None:
        network = self._trainee.network
        self._trained = self._trainee.variables()
        if self.quantized:
            self._network = keras.Model(network.input, network.get_layer("logits_flat").output)
        else:
            self._network = network
            self._trained += self._dense
        self._optimizer = keras.optimizers.Adam()
        self._optimizer.build(self._trained)
        self._step, self._answer = tf.function(self._update), tf.function(self._forward)

    def _forward(self, pixels: Any, training: bool = False) -> Any:
        scale, zero_point = self._trainee.start.input_quantization
        found = self._network((tf.cast(pixels, tf.float32) - zero_point) * scale, training=training)
        return found if self.quantized else found @ self._dense[0] + self._dense[1]

    def _update(self, pixels: Any, labels: Any) -> Any:
        wanted = tf.one_hot(labels, self._classes) * (1 - self._smoothing) + self._smoothing / self._classes
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._trained)
            logits = self._forward(pixels, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
            loss = tf.reduce_mean(losses * tf.gather(self._weights, labels))
        if not self.quantized:
            for limit, now in zip(self._limits, (tf.reduce_min(logits), tf.reduce_max(logits)), strict=True):
                limit.assign(MOMENTUM * limit + (1 - MOMENTUM) * now)
        self._optimizer.apply_gradients(zip(tape.gradient(loss, self._trained), self._trained, strict=True))
        if self.quantized:
            self._trainee.follow()
        return loss, logits

    def train(self, pixels: Pixels, labels: Labels, step_size: float) -> tuple[float, Floats]:
        """One step of Adam on pictures uint8 [N, res, res, 3] and labels int64 [N]; returns loss and logits before it."""
        self._optimizer.learning_rate = step_size
        loss, logits = self._step(tf.constant(pixels), tf.constant(labels))
        return float(loss), logits.numpy()

    def logits(self, pixels: Pixels) -> Floats:
        """Logits float32 [N, classes] of pictures uint8 [N, res, res, 3]."""
        parts = [pixels[i : i + EVALUATION_BATCH] for i in range(0, len(pixels), EVALUATION_BATCH)]
        return np.concatenate([self._answer(tf.constant(part)).numpy() for part in parts])

    def cross_entropy(self, logits: Floats, labels: Labels) -> float:
        """Mean loss of logits [N, classes], weighted by class as in training, labels not smoothed."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return float(tf.reduce_mean(losses * tf.gather(self._weights, labels)))

    def now(self) -> tuple[Backbone, Head]:
        """The network of now as integers, for the writer."""
        return self._trainee.backbone(), self._head()

    def keep(self) -> None:
        """Remember the fake-quant network of now as the best; `classifier` returns it."""
        self._best = [variable.numpy() for variable in self._trainee.network.variables]

    def classifier(self) -> tuple[Backbone, Head]:
        """What `keep` kept last, as integers. The network of now is given up for it."""
        self._assign(self._trainee.network.variables, self._best)
        return self.now()

    def layer(self) -> tuple[Floats, Floats]:
        """Weights [features, classes] and bias [classes] of the head of now."""
        kernel, bias = variables_of(self._trainee.network)[-1][:2] if self.quantized else self._dense
        return kernel.numpy().reshape(self._dense[0].shape), bias.numpy()

    def _head(self) -> Head:
        """The head as integers. Its range is what the moving averages say when fake quantization begins, and stays."""
        weights, bias = self.layer()
        limits = np.array([limit.numpy() for limit in self._limits])
        layer = quantize_per_channel(weights[None, None], bias, nearest=self.quantized)
        return Head(layer, *logit_range(limits))

    def state(self) -> list[NDArray[Any]]:
        """Everything that training goes on from, as arrays; `restore` takes them."""
        return [variable.numpy() for variable in self._variables()] + self._best

    def restore(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Go on with what `state` gave in the same phase. Raises DataError if the arrays do not fit."""
        variables, network = self._variables(), self._trainee.network.variables
        own, best = arrays[: len(variables)], arrays[len(variables) :]
        for found, expected in ((own, variables), (best, network if best else [])):
            if [tuple(v.shape) for v in expected] != [a.shape for a in found]:
                raise DataError("the checkpoint's arrays are not those of this network: delete it to begin again")
        self._assign(variables, own)
        self._best = list(best)

    def _variables(self) -> list[Any]:
        return [*self._trainee.network.variables, *self._dense, *self._limits, *self._optimizer.variables]

    @staticmethod
    def _assign(variables: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
