"""Backbone + head -> a .tflite of integers only, written directly: no converter, no TensorFlow.

Operator versions are the oldest that do the job (TensorFlow's lite/tools/versioning/runtime_version.cc): uint8 runs
on any runtime; int8, with its softmax to int16, was run on TensorFlow Lite 2.6 and newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeretrain.backbone import Backbone, Layer, Shape
from edgeretrain.calibrated import Calibrated
from edgeretrain.errors import UsageError
from edgeretrain.flatbuffer import Operator, Tensor, serialize
from edgeretrain.graft import graft
from edgeretrain.rounding import steady_step

SCHEMES = ("int8", "uint8", "float32", "float16")
"""How the network computes: int8 per channel; uint8 per tensor, as in Google's hosted files; float32 for comparison; float16:
float32 with weights and biases stored in half the bytes, which DEQUANTIZE operators widen when the file is loaded.
"""
FLOATS = ("float32", "float16")
IO_TYPES = ("uint8", "int8", "float32")
"""What goes into and comes out of an int8 network."""

_SAME, _VALID, _NONE, _RELU6 = 0, 1, 0, 3  # schema.Padding, schema.ActivationFunctionType
_VERSIONS = {"int8": 3, "uint8": 1, "float32": 1, "float16": 1}  # of both convolutions
_PROBABILITY = np.array([1 / 256], np.float32)  # the only output scale softmax allows
_FINE_PROBABILITY = np.array([1 / 65536], np.float32)  # ... and for int16: what all kernels agree on
_FINE_ZERO_POINT = -32768


@dataclass(frozen=True)
class Head:
    """A softmax layer on the embedding: `logits = embedding @ weights + bias`.

    `layer` holds symmetric per-channel weights [1, 1, features, classes]; `logit_scale` and `logit_zero_point` (int8) are
    the quantization of the logits.
    """

    layer: Layer
    logit_scale: np.float32
    logit_zero_point: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.layer.bias.size)


def write_model(
    backbone: Backbone | Calibrated,
    head: Head | None,
    *,
    scheme: str = "int8",
    io_type: str = "uint8",
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Serialize the network as a .tflite.

    Input `image`: [1, res, res, 3] RGB of `io_type`. Output `probabilities`: [1, classes] of `io_type`, or without a head
    `embedding`: the pooled codes [1, 1, 1, features]. With the uint8 scheme `io_type` is uint8, with float schemes float32.
    Raises UsageError for a Calibrated network in another scheme than int8.
    """
    if isinstance(backbone, Calibrated):
        return _write_calibrated(backbone, head, scheme, io_type, metadata)
    chain = _Chain(scheme)
    if scheme != "int8":
        io_type = chain.kind
    res = backbone.spec.res
    scale, zero_point = backbone.input_quantization
    chain.start("image", (1, res, res, 3), io_type, scale, zero_point)
    for shape, layer in zip(backbone.table, backbone.layers, strict=True):
        chain.convolution(shape, layer)
    chain.pool()
    if head is not None:
        shape = Shape("logits", "head", 1, (1, 1, backbone.spec.features, head.classes))
        chain.convolution(shape, head.layer, logits=(head.logit_scale, head.logit_zero_point))
        chain.softmax(io_type)
    names = ("image", "embedding" if head is None else "probabilities")
    return serialize(chain.operators, names, f"{backbone.spec.name} {scheme} by edgeretrain", metadata)


def _write_calibrated(
    network: Calibrated, head: Head | None, scheme: str, io_type: str, metadata: Mapping[str, bytes] | None
) -> bytes:
    """The converter's network with the input that is wanted in front, and the head behind."""
    check_scheme(network.spec.name, scheme)
    spec, ends, chain = network.spec, network.ends, _Chain(scheme)
    chain.start("image", (1, spec.res, spec.res, 3), io_type, *network.input_quantization)
    before, entry = list(chain.operators), chain.last
    embedding = chain.activation("embedding", (1, spec.features), ends.output_scale, ends.output_zero_point + 128)
    chain.operators, chain.last = [], embedding
    if head is not None:
        shape = (1, 1, 1, spec.features)
        pooled = chain.activation("embedding_map", shape, ends.output_scale, ends.output_zero_point + 128)
        chain.append("RESHAPE", 1, (Tensor("shape", (4,), "int32", np.array(shape, "<i4")),), pooled)
        weights = Shape("logits", "head", 1, (1, 1, spec.features, head.classes))
        chain.convolution(weights, head.layer, logits=(head.logit_scale, head.logit_zero_point))
        chain.softmax(io_type)
    names = ("image", "embedding" if head is None else "probabilities")
    description = f"{spec.name} {scheme} by edgeretrain"
    return graft(network.body, before, entry, embedding, chain.operators, names, description, metadata)


def check_scheme(name: str, scheme: str) -> None:
    """Raise UsageError for a scheme that a float module cannot be written in."""
    if scheme != "int8":
        raise UsageError(
            f"--scheme {scheme} is for MobileNet V1 networks; {name} is written as int8: leave out --scheme"
        )


class _Chain:
    """A network being built: `last` is the tensor that the next operator reads."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.kind = "float32" if scheme in FLOATS else scheme  # the dtype of activations
        self.operators: list[Operator] = []
        self.last: Tensor

    def append(
        self, code: str, version: int, constants: tuple[Tensor, ...], output: Tensor, options: str = "", **fields: float
    ) -> None:
        self.operators.append(Operator(code, version, (self.last, *constants), output, options, fields))
        self.last = output

    def activation(self, name: str, shape: tuple[int, ...], scale: float, uint8_zero_point: int) -> Tensor:
        """A tensor of the scheme's own type; int8 codes are the uint8 codes less 128."""
        if self.kind == "float32":
            return Tensor(name, shape, "float32")
        zero_point = uint8_zero_point - (128 if self.scheme == "int8" else 0)
        return Tensor(name, shape, self.scheme, None, np.array([scale], np.float32), zero_point)

    def like_last(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of the same type and quantization as `last`."""
        return replace(self.last, name=name, shape=shape)

    def start(self, name: str, shape: tuple[int, ...], io_type: str, scale: float, zero_point: int) -> None:
        inner = self.activation(name if io_type == self.kind else "pixels", shape, scale, zero_point)
        if io_type == self.kind:
            self.last = inner
        elif io_type == "float32":
            self.last = Tensor(name, shape, "float32")
            self.append("QUANTIZE", 1, (), inner)
        else:
            self.last = Tensor(name, shape, "uint8", None, inner.scale, zero_point)
            self.append("QUANTIZE", 1, (), inner)

    def convolution(self, shape: Shape, layer: Layer, logits: tuple[np.float32, int] | None = None) -> None:
        stride = shape.stride
        _, height, width, _ = self.last.shape
        out_shape = (1, -(-height // stride), -(-width // stride), shape.channels)
        if logits is None:
            output = self.activation(shape.name, out_shape, float(layer.activation_scale), 0)
        else:
            output = self.activation(shape.name, out_shape, float(logits[0]), logits[1] + 128)
        depthwise = shape.kind == "depthwise"
        constants = self.constants(layer, depthwise, output)
        options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        fields = {"DepthMultiplier": 1} if depthwise else {}
        fused = _RELU6 if logits is None else _NONE
        self.append(
            code,
            _VERSIONS[self.scheme],
            constants,
            output,
            options,
            Padding=_SAME,
            StrideW=stride,
            StrideH=stride,
            FusedActivationFunction=fused,
            **fields,
        )

    def constants(self, layer: Layer, depthwise: bool, output: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and bias of a convolution, in TFLite's layout: [out, h, w, in], depthwise [1, h, w, channels]."""

        def laid_out(weights: NDArray[np.generic]) -> NDArray[np.generic]:
            return weights[None] if depthwise else weights.transpose(3, 0, 1, 2)

        if self.kind == "float32":
            return self.real("weights", laid_out(layer.weights)), self.real("bias", layer.bias)
        assert self.last.scale is not None and output.scale is not None
        codes: NDArray[np.generic]
        if self.scheme == "int8":
            codes, scale, _ = layer.per_channel
            steady, zero_point, axis = scale, 0, 3 if depthwise else 0
        else:
            codes, step, zero_point = layer.per_tensor
            scale, axis = np.array([step], np.float32), 0
            steady = np.array([steady_step(step, self.last.scale[0], output.scale[0], output.zero_point)], np.float32)
        data = laid_out(codes)
        weights = Tensor("weights", data.shape, self.scheme, data, steady, zero_point, axis)
        limits = np.iinfo(np.int32)
        integers = np.rint(layer.bias.astype(np.float64) / (self.last.scale * scale))
        integers = np.clip(integers, limits.min, limits.max).astype("<i4")
        bias = Tensor("bias", layer.bias.shape, "int32", integers, self.last.scale * steady)
        return weights, bias

    def real(self, name: str, values: NDArray[np.generic]) -> Tensor:
        """A float32 constant; in the float16 scheme it is stored as float16 and widened."""
        if self.scheme == "float32":
            return Tensor(name, values.shape, "float32", values)
        largest = np.finfo(np.float16).max
        half = Tensor(f"{name}_half", values.shape, "float16", np.clip(values, -largest, largest).astype("<f2"))
        wide = Tensor(name, values.shape, "float32")
        self.operators.append(Operator("DEQUANTIZE", 3, (half,), wide))  # version 3: float16, runtime 1.15 or newer
        return wide

    def pool(self) -> None:
        """Average over the picture. The uint8 scheme keeps the hosted files' operator."""
        _, height, width, channels = self.last.shape
        output = self.like_last("pool", (1, 1, 1, channels))
        if self.scheme == "uint8":
            fields = {"Padding": _VALID, "StrideW": 1, "StrideH": 1, "FilterWidth": width, "FilterHeight": height}
            self.append("AVERAGE_POOL_2D", 1, (), output, "Pool2DOptions", **fields)
        elif self.kind == "float32":
            self.append("MEAN", 1, (_numbers("axes", 1, 2),), output, "ReducerOptions", KeepDims=True)
        else:
            self.pool_by_product(height * width, channels, output)

    def pool_by_product(self, pixels: int, channels: int, output: Tensor) -> None:
        """Average int8 codes as a matrix product with equal weights, rounded half up as the hosted files' pooling does.

        MEAN has been rounded in several ways by LiteRT's kernels over time, and a depthwise convolution is slow in XNNPACK
        beyond 25 pixels. The codes from -128 up are `sum / pixels`, in units of the input's scale; a scale larger by a
        millionth moves exact halves, and nothing else, so that every kernel's rounding gives the same code.
        """
        assert self.last.scale is not None
        scale = np.array([(1 + 2**-20) / (127 * pixels)], np.float32)
        weights = Tensor("pool_weights", (1, pixels), "int8", np.full((1, pixels), 127, np.int8), scale)
        bias = Tensor("pool_bias", (1,), "int32", np.zeros(1, "<i4"), self.last.scale * scale)
        self.append(
            "RESHAPE", 1, (_numbers("shape", pixels, channels),), self.like_last("pixels_channels", (pixels, channels))
        )
        transposed = self.like_last("channels_pixels", (channels, pixels))
        self.append("TRANSPOSE", 2, (_numbers("order", 1, 0),), transposed, "TransposeOptions")
        averages = self.like_last("averages", (channels, 1))
        self.append(
            "FULLY_CONNECTED", 4, (weights, bias), averages, "FullyConnectedOptions", FusedActivationFunction=_NONE
        )
        self.append("RESHAPE", 1, (_numbers("shape", *output.shape),), output)

    def softmax(self, io_type: str) -> None:
        classes = self.last.shape[-1]
        self.append("RESHAPE", 1, (_numbers("shape", 1, classes),), self.like_last("logits_flat", (1, classes)))
        output = self.activation("probabilities", (1, classes), float(_PROBABILITY[0]), 0)
        if self.scheme == "int8":
            # LiteRT's 8-bit softmax on ARM64 is another than on x86, 1 code off in up to 2 % of answers; this one is the same
            fine = Tensor("probabilities_int16", (1, classes), "int16", None, _FINE_PROBABILITY, _FINE_ZERO_POINT)
            self.append("SOFTMAX", 2, (), fine, "SoftmaxOptions", Beta=1.0)
            self.append("QUANTIZE", 1, (), output)
        else:
            self.append("SOFTMAX", 1, (), output, "SoftmaxOptions", Beta=1.0)
        if io_type == "float32" and self.kind != "float32":
            self.append("DEQUANTIZE", 2, (), Tensor("probabilities", (1, classes), "float32"))
        elif io_type != self.kind:
            self.append("QUANTIZE", 1, (), Tensor("probabilities", (1, classes), "uint8", None, _PROBABILITY, 0))


def _numbers(name: str, *values: int) -> Tensor:
    return Tensor(name, (len(values),), "int32", np.array(values, "<i4"))
