"""The student in training: first a float network with batch norm, then, folded, the fake-quant network that ships.

Measured (docs/distill.md): in short runs this comes as near to the teacher as fake quantization from the start, where batch
norm is folded away at once, or a little nearer. `quantized_share` 1 goes straight to the second network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.backbone import Backbone
from edgeretrain.distill.quality import Floats
from edgeretrain.distill.spec import DistillSpec
from edgeretrain.errors import DataError
from edgeretrain.images import Pixels
from edgeretrain.network import network_input
from edgeretrain.trainee import Trainee

tf = load_tensorflow()
import tf_keras as keras  # noqa: E402

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
        self.trainee = Trainee(start, network_input(start, pictures))
        self._compile()

    @property
    def quantized(self) -> bool:
        """Whether the fake-quant network is what trains now."""
        return self.trainee.quantized

    def _quantize(self) -> None:
        """Go over to the fake-quant network."""
        self.trainee.quantize()
        self._compile()

    def _compile(self) -> None:
        """A new optimizer and a new graph for the network of this phase."""
        self.trained = [*self.trainee.variables(), *self.linear, *self.logits]
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
        with tf.GradientTape() as tape:
            own = self.trainee.network(pictures, training=True)
            weights, bias = self.linear
            loss = tf.reduce_mean((own @ weights + bias - features) ** 2)
            if self.logits:
                weights, bias = self.logits
                wanted = tf.nn.softmax(logits / TEMPERATURE)
                found = tf.nn.log_softmax((own @ weights + bias) / TEMPERATURE)
                entropy = tf.math.xlogy(wanted, wanted) - wanted * found
                loss += self.spec.logit_weight * tf.reduce_mean(tf.reduce_sum(entropy, axis=1))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trained), self.trained, strict=True))
        if self.quantized:
            self.trainee.follow()
        return loss

    def backbone(self) -> Backbone:
        """The student as integers: per channel, step max|w| / 127 as in training. Its `source` is still the start's."""
        return self.trainee.backbone()

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
        return [*self.trainee.network.variables, *self.linear, *self.logits, *self.optimizer.variables]
