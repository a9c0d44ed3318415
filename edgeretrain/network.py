"""Backbone + head as a fake-quant instrumented tf_keras model (tensorflow-model-optimization), the writer's twin.

Weights are quantized per channel and symmetric, depthwise kernels too, with the steps that the writer uses; activations
keep the ranges of the module. tfmot's stock registry does neither, hence the quantizers here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain._tensorflow import load_tensorflow
from edgeretrain.backbone import Backbone, Layer
from edgeretrain.dataset import Photo
from edgeretrain.evaluate import Evaluation
from edgeretrain.images import load_pixels
from edgeretrain.parallel import ordered_map
from edgeretrain.write import Head

BATCH = 32

tf = load_tensorflow()
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras as keras  # noqa: E402

_quantization = tfmot.quantization.keras


class ChannelQuantizer(_quantization.quantizers.Quantizer):  # type: ignore[misc,name-defined]
    """Symmetric 8-bit fake quantization along the last axis of codes, codes -127..127; `scale` float32 [channels]."""

    def __init__(self, scale: NDArray[np.float32]) -> None:
        self.scale = np.asarray(scale, np.float32)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Add the range of each channel as a weight that is not trained."""
        limit = keras.initializers.Constant(127 * self.scale)
        return {
            "limit": layer.add_weight(name=f"{name}_limit", shape=self.scale.shape, initializer=limit, trainable=False)
        }

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Fake-quantize a kernel [h, w, in, out] or depthwise [h, w, channels, 1]."""
        limit = weights["limit"]
        depthwise = inputs.shape[-1] != self.scale.size
        # TensorFlow quantizes per channel along the last axis only, which is 1 in a depthwise kernel
        flat = tf.reshape(inputs, inputs.shape[:3]) if depthwise else inputs
        flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -limit, limit, 8, narrow_range=True)
        return tf.reshape(flat, inputs.shape) if depthwise else flat

    def get_config(self) -> dict[str, Any]:
        """For Keras."""
        return {"scale": self.scale.tolist()}


class RangeQuantizer(_quantization.quantizers.Quantizer):  # type: ignore[misc,name-defined]
    """8-bit fake quantization of activations in a given range."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = float(low), float(high)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Add the range as weights that are not trained."""
        return {
            key: layer.add_weight(
                name=f"{name}_{key}", initializer=keras.initializers.Constant(value), shape=(), trainable=False
            )
            for key, value in (("low", self.low), ("high", self.high))
        }

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Fake-quantize activations of any shape."""
        return tf.quantization.fake_quant_with_min_max_vars(inputs, weights["low"], weights["high"], 8)

    def get_config(self) -> dict[str, Any]:
        """For Keras."""
        return {"low": self.low, "high": self.high}


class LayerConfig(_quantization.QuantizeConfig):  # type: ignore[misc,name-defined]
    """What to quantize in one layer: its kernel per channel (unless `scale` is None), and its output in a range."""

    def __init__(self, scale: NDArray[np.float32] | None, low: float, high: float) -> None:
        self.scale, self.low, self.high = scale, float(low), float(high)

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The kernel."""
        return [] if self.scale is None else [(_kernel(layer), ChannelQuantizer(self.scale))]

    def set_quantize_weights(self, layer: Any, quantize_weights: Sequence[Any]) -> None:
        """Put the fake-quantized kernel in place for the forward pass."""
        if quantize_weights:
            setattr(layer, _kernel_name(layer), quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """None: the output is quantized, after the activation."""
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: Sequence[Any]) -> None:
        """Nothing to do."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """The range of the output."""
        return [RangeQuantizer(self.low, self.high)]

    def get_config(self) -> dict[str, Any]:
        """For Keras."""
        return {"scale": None if self.scale is None else self.scale.tolist(), "low": self.low, "high": self.high}


def _kernel_name(layer: Any) -> str:
    return "depthwise_kernel" if isinstance(layer, keras.layers.DepthwiseConv2D) else "kernel"


def _kernel(layer: Any) -> Any:
    return getattr(layer, _kernel_name(layer))


def build_network(backbone: Backbone, head: Head | None) -> Any:
    """The instrumented tf_keras model: pictures float32 [N, res, res, 3] in `backbone.input_range` to probabilities
    [N, classes], or without a head to pooled features [N, features].
    """
    scale, zero_point = backbone.input_quantization
    picture = keras.Input((backbone.spec.res, backbone.spec.res, 3), name="image")
    low, high = -zero_point * scale, (255 - zero_point) * scale
    x = _wrap(keras.layers.Activation("linear", name="input"), LayerConfig(None, low, high))(picture)
    for shape, layer in zip(backbone.table, backbone.layers, strict=True):
        x = _convolution(shape.name, shape.kind, shape.stride, layer, 255 * float(layer.activation_scale))(x)
    top = 255 * float(backbone.layers[-1].activation_scale)
    pool = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")
    x = _wrap(pool, LayerConfig(None, 0.0, top))(x)
    if head is None:
        x = keras.layers.Reshape((backbone.spec.features,), name="embedding")(x)
    else:
        step, zero = float(head.logit_scale), head.logit_zero_point
        config = LayerConfig(head.layer.per_channel[1], (-128 - zero) * step, (127 - zero) * step)
        dense = keras.layers.Conv2D(head.classes, 1, name="logits")
        x = keras.layers.Reshape((head.classes,), name="logits_flat")(_wrap(dense, config)(x))
        x = keras.layers.Softmax(name="probabilities")(x)
    model = keras.Model(picture, x, name=backbone.spec.name)
    layers = list(backbone.layers) + ([head.layer] if head is not None else [])
    for (kernel, bias, _), layer in zip(variables_of(model), layers, strict=True):
        codes, steps, _ = layer.per_channel  # so that fake quantization finds the very codes that are written
        kernel.assign((codes * steps).reshape(kernel.shape))
        bias.assign(layer.bias)
    return model


def variables_of(model: Any) -> list[tuple[Any, Any, Any]]:
    """(kernel, bias, limit) of each convolution of a `build_network`, in order; codes are kernel * 127 / limit [channels].

    The kernel is the wrapper's: the layer's own attribute is replaced during calls.
    """
    wrapped = [w for w in model.layers if hasattr(w, "layer") and hasattr(w.layer, "bias")]
    return [(kernel, w.layer.bias, own["limit"]) for w in wrapped for kernel, _, own in w._weight_vars]


def _wrap(layer: Any, config: LayerConfig) -> Any:
    return _quantization.QuantizeWrapperV2(layer, config, name=f"quant_{layer.name}")


def _convolution(name: str, kind: str, stride: int, layer: Layer, high: float) -> Any:
    config = LayerConfig(layer.per_channel[1], 0.0, high)
    options: dict[str, Any] = {"strides": stride, "padding": "same", "activation": tf.nn.relu6, "name": name}
    if kind == "depthwise":
        return _wrap(keras.layers.DepthwiseConv2D(3, **options), config)
    return _wrap(keras.layers.Conv2D(layer.codes.shape[-1], layer.codes.shape[0], **options), config)


def network_input(backbone: Backbone, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures uint8 [..., res, res, 3] as the real numbers that the network expects."""
    scale, zero_point = backbone.input_quantization
    return (pixels.astype(np.float32) - zero_point) * np.float32(scale)


def evaluate_instrumented(
    backbone: Backbone, head: Head, photos: Sequence[Photo], class_names: tuple[str, ...]
) -> Evaluation:
    """Evaluate the instrumented network on the very pixels that the .tflite gets."""
    model = build_network(backbone, head)
    answers = []
    for start in range(0, len(photos), BATCH):
        part = photos[start : start + BATCH]
        pixels = ordered_map(lambda photo: load_pixels(photo.path, [backbone.spec.res])[0], part)
        answers.append(model(network_input(backbone, np.stack(pixels)), training=False).numpy().argmax(axis=1))
    truth = np.array([photo.label for photo in photos], np.int64)
    return Evaluation(class_names, truth, np.concatenate(answers).astype(np.int64))
