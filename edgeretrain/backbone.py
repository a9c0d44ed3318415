"""MobileNet V1 without its head: a table of 27 convolutions, and the integers that fill it.

The table is that of Howard et al. 2017 (arXiv:1704.04861, table 1) and slim's mobilenet_v1.py: a 3x3 convolution, then 13
pairs of a depthwise 3x3 and a pointwise 1x1 convolution, ReLU6 after each, SAME padding, average pool at the end.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.spec import ModelSpec
from edgeretrain.storage import sha256

# (stride of the depthwise or first convolution, output depth at width 100)
ROWS = (
    (2, 32),  # the 3x3 convolution
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
)
MIN_DEPTH = 8
RELU6_SCALE = np.float32(6 / 255)


@dataclass(frozen=True)
class Shape:
    """One convolution of the table. `kind` is conv, depthwise or pointwise; `weights` is HWIO, depthwise HWC."""

    name: str
    kind: str
    stride: int
    weights: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.weights[-1]


def layer_table(width: str) -> tuple[Shape, ...]:
    """The 27 convolutions of a MobileNet V1 of `width`, input to output, named as in slim."""

    def scaled(depth: int) -> int:
        return max(depth * int(width) // 100, MIN_DEPTH)

    depth = scaled(ROWS[0][1])
    shapes = [Shape("Conv2d_0", "conv", ROWS[0][0], (3, 3, 3, depth))]
    for i, (stride, full) in enumerate(ROWS[1:], start=1):
        shapes.append(Shape(f"Conv2d_{i}_depthwise", "depthwise", stride, (3, 3, depth)))
        shapes.append(Shape(f"Conv2d_{i}_pointwise", "pointwise", 1, (1, 1, depth, scaled(full))))
        depth = scaled(full)
    return tuple(shapes)


@dataclass(frozen=True, eq=False)
class Layer:
    """Integers of one convolution: the real weight is `codes * scale`, the real activation `code * activation_scale`.

    codes: int16, shape of `Shape.weights`, zero point already subtracted (-255..255). scale: float32 [1] for the per-tensor
    weights of quantops networks, [channels] for per-channel ones (codes then within -127..127). zero_point: what was
    subtracted from the stored uint8 codes (0 if per channel). bias: float32 [channels]. activation_scale: float32; the
    output covers [0, 255 * activation_scale].
    """

    codes: NDArray[np.int16]
    scale: NDArray[np.float32]
    zero_point: int
    bias: NDArray[np.float32]
    activation_scale: np.float32

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights as real numbers, float32."""
        return self.codes.astype(np.float32) * self.scale

    @cached_property
    def per_channel(self) -> tuple[NDArray[np.int8], NDArray[np.float32], int]:
        """The weights as symmetric int8: (codes, scale float32 [channels], how many codes differ from `codes`).

        A channel whose codes fit -127..127 keeps them and its step, so nothing is lost; one that does not is quantized
        anew with the step max|w| / 127, keeping its sum.
        """
        largest = np.abs(self.codes).reshape(-1, self.codes.shape[-1]).max(axis=0).astype(np.float32)
        widen = np.maximum(largest / 127, 1).astype(np.float32)
        codes = round_keeping_sums(self.codes / widen).astype(np.int8)
        scale = np.broadcast_to(self.scale, widen.shape).astype(np.float32) * widen
        return codes, scale, int(np.count_nonzero(codes != self.codes))

    @cached_property
    def per_tensor(self) -> tuple[NDArray[np.uint8], np.float32, int]:
        """The weights as asymmetric uint8: (codes, scale, zero point); exact for a quantops network."""
        if self.scale.size == 1:
            return (self.codes + self.zero_point).astype(np.uint8), self.scale[0], self.zero_point
        real = self.weights
        low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
        scale = np.float32((high - low) / 254) or np.float32(1)  # codes 1..255, as TensorFlow's narrow range
        zero_point = int(np.clip(round(1 - low / float(scale)), 1, 255))
        return np.clip(np.rint(real / scale) + zero_point, 1, 255).astype(np.uint8), scale, zero_point


def round_keeping_sums(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round real codes so that the sum of each channel (last axis) stays within half a code; result in -127..127.

    Activations are never negative, so an error in a channel's sum shifts its output on every picture. The few codes that were
    rounded the farthest go the other way. On 025/128 this brings the mean difference to Google's file from 1.49 to 1.31
    codes (benchmarks/fidelity.py).
    """
    flat = codes.reshape(-1, codes.shape[-1])
    rounded = np.rint(flat)
    missing = flat - rounded
    surplus = np.rint(missing.sum(axis=0, dtype=np.float64)).astype(int)
    for channel in np.flatnonzero(surplus):
        count = surplus[channel]
        rows = np.argsort(-missing[:, channel] * np.sign(count), kind="stable")[: abs(count)]
        rounded[rows, channel] += np.sign(count)
    return np.clip(rounded, -127, 127).reshape(codes.shape)


def quantize_per_channel(
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    activation_scale: np.float32 = RELU6_SCALE,
    *,
    nearest: bool = False,
) -> Layer:
    """Make a Layer of real weights (last axis: channels): symmetric codes, step max|w| / 127, each channel's sum kept.

    `nearest` rounds each weight on its own instead, as fake quantization does: biases that were trained with it make up for
    what that does to the sums, and keeping them would undo it (-18 points after 20 epochs of fine-tuning on flowers).
    """
    largest = np.abs(weights).reshape(-1, weights.shape[-1]).max(axis=0)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    codes = (np.rint if nearest else round_keeping_sums)(weights / scale).astype(np.int16)
    return Layer(codes, scale, 0, bias.astype(np.float32), np.float32(activation_scale))


@dataclass(frozen=True)
class Source:
    """Where a backbone came from: `kind` (quantops, hosted, starter, ...), the name it was asked by, SHA-256 of its files."""

    kind: str
    name: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Backbone:
    """A MobileNet V1 without head: `layers` in the order of `layer_table`, `input_range` of the real-valued picture."""

    spec: ModelSpec
    layers: tuple[Layer, ...]
    input_range: tuple[float, float]
    source: Source
    route = "quantops"

    def __post_init__(self) -> None:
        table = layer_table(self.spec.width)
        if len(self.layers) != len(table):
            raise EnvironmentFailure(
                f"a MobileNet V1 has {len(table)} convolutions, {self.source.name} has {len(self.layers)}"
            )
        for shape, layer in zip(table, self.layers, strict=True):
            if layer.codes.shape != shape.weights:
                raise EnvironmentFailure(
                    f"{shape.name} of {self.spec.name} has weights {list(shape.weights)}, "
                    f"{self.source.name} has {list(layer.codes.shape)}"
                )
            if not (np.isfinite(layer.scale).all() and np.isfinite(layer.bias).all() and (layer.scale > 0).all()):
                raise EnvironmentFailure(
                    f"{shape.name} of {self.source.name} has scales or biases that are not sane numbers"
                )

    @property
    def table(self) -> tuple[Shape, ...]:
        """The shapes of `layers`."""
        return layer_table(self.spec.width)

    @property
    def input_quantization(self) -> tuple[float, int]:
        """(scale, zero point) of a uint8 picture: 1/128 and 128 for [-1, 1], as in Google's hosted files."""
        low, high = self.input_range
        scale = (high - low) / 256
        return scale, round(-low / scale)

    @property
    def identical_codes(self) -> float:
        """Fraction of int8 per-channel codes that are the source's own codes."""
        total = sum(layer.codes.size for layer in self.layers)
        return 1 - sum(layer.per_channel[2] for layer in self.layers) / total

    @property
    def parameter_bytes(self) -> int:
        """Raw size in bytes: int8 weights and int32 biases."""
        return sum(layer.codes.size + 4 * layer.bias.size for layer in self.layers)

    def at(self, res: int) -> Backbone:
        """The same weights for pictures of `res` px."""
        return replace(self, spec=ModelSpec(self.spec.width, res))


# The file format. One header line of JSON after the magic line, then a zlib stream of, layer by layer: codes (uint8 with
# the zero point of the header if per tensor, else int8), scales, bias (float32, little endian), activation scale (float32).
# Shapes are not in the file: they follow from the width, so a hostile file cannot ask for memory.
MAGIC = b"edgeretrain backbone 1\n"
_MAX_HEADER = 65536


def _payload_size(width: str, per_channel: bool) -> int:
    return sum(
        prod(shape.weights) + 4 * ((shape.channels if per_channel else 1) + shape.channels + 1)
        for shape in layer_table(width)
    )


def pack(backbone: Backbone) -> bytes:
    """Serialize `backbone`: the format above. The header carries the SHA-256 of the payload before compression."""
    per_channel = backbone.layers[0].scale.size > 1
    parts = []
    for layer in backbone.layers:
        codes = layer.codes.astype(np.int8) if per_channel else (layer.codes + layer.zero_point).astype(np.uint8)
        parts += [codes.tobytes(), layer.scale.astype("<f4").tobytes(), layer.bias.astype("<f4").tobytes()]
        parts.append(struct.pack("<f", layer.activation_scale))
    payload = b"".join(parts)
    header = {
        "width": backbone.spec.width,
        "res": backbone.spec.res,
        "input_range": backbone.input_range,
        "per_channel": per_channel,
        "zero_points": [layer.zero_point for layer in backbone.layers],
        "source": asdict(backbone.source),
        "sha256": sha256(payload),
    }
    return MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + zlib.compress(payload, 9)


def unpack(data: bytes, name: str) -> Backbone:
    """Read what `pack` wrote; `name` is for messages. Raises EnvironmentFailure if it is not whole or of another format."""
    damaged = EnvironmentFailure(f"{name} is damaged or not a backbone of this version: delete it or fetch it again")
    end = data.find(b"\n", len(MAGIC), _MAX_HEADER)
    if not data.startswith(MAGIC) or end < 0:
        raise damaged
    try:
        header = json.loads(data[len(MAGIC) : end])
        spec = ModelSpec(header["width"], header["res"])
        per_channel = bool(header["per_channel"])
        low, high = map(float, header["input_range"])
        size = _payload_size(spec.width, per_channel)
        payload = zlib.decompressobj().decompress(data[end + 1 :], size + 1)
        if len(payload) != size or sha256(payload) != header["sha256"]:
            raise damaged
        layers = _layers(payload, spec.width, per_channel, [int(z) for z in header["zero_points"]])
        source = Source(**{key: str(value) for key, value in header["source"].items()})
        return Backbone(spec, layers, (low, high), source)
    except (ValueError, KeyError, TypeError, AttributeError, UsageError, zlib.error) as error:
        raise damaged from error


def _layers(payload: bytes, width: str, per_channel: bool, zero_points: list[int]) -> tuple[Layer, ...]:
    offset = 0

    def take(dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
        nonlocal offset
        array = np.frombuffer(payload, dtype, prod(shape), offset).reshape(shape)
        offset += array.nbytes
        return array

    layers = []
    for shape, zero_point in zip(layer_table(width), zero_points, strict=True):
        codes = take("i1" if per_channel else "u1", shape.weights).astype(np.int16) - np.int16(zero_point)
        scale = take("<f4", (shape.channels if per_channel else 1,)).astype(np.float32)
        bias = take("<f4", (shape.channels,)).astype(np.float32)
        activation_scale = take("<f4", (1,)).astype(np.float32)[0]
        layers.append(Layer(codes, scale, zero_point, bias, activation_scale))
    return tuple(layers)
