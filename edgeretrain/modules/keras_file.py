"""Keras files (.keras, .h5): what they may hold, and which pixels their networks expect. Neither Keras nor TensorFlow here.

A Keras file can name classes to import and, in a Lambda layer, carry code. So nothing is handed to Keras before its own
description was read as plain JSON and every class in it found in a list of harmless layers.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeretrain.errors import EnvironmentFailure

MAX_BYTES = 512 << 20
"""Most weights, in bytes, whatever a file claims."""
_MAX_CONFIG = 16 << 20
_MAX_NUMBER = 16384  # filters, units and picture sides; a file cannot ask for more memory than its weights fill
_BOUNDED = ("filters", "units", "kernel_size", "target_shape", "size", "padding", "batch_input_shape", "batch_shape")
_HDF5 = b"\x89HDF\r\n\x1a\n"

_NETWORKS = ("Functional", "Model", "Sequential")
_LAYERS = re.compile(
    "Functional|Model|Sequential|InputLayer|(Depthwise|Separable)?Conv2D|Dense|(Sync)?BatchNormalization|Activation|"
    "(Leaky|P)?ReLU|ELU|Softmax|ZeroPadding2D|Cropping2D|(Global)?(Max|Average)Pooling2D|(Spatial)?Dropout(2D)?|"
    "Gaussian(Noise|Dropout)|Flatten|Reshape|Permute|Add|Subtract|Multiply|Average|Maximum|Minimum|Concatenate|Rescaling|"
    "Normalization|Resizing|UpSampling2D"
)
_PARTS = re.compile(  # of layers' descriptions
    "(DType)?Policy|__keras_tensor__|__tuple__|__ellipsis__|(Glorot|He|Lecun)(Uniform|Normal)|VarianceScaling|Zeros|Ones|"
    "Constant|(Random|Truncated)Normal|RandomUniform|Orthogonal|Identity|L1|L2|L1L2|(Max|MinMax|Unit)Norm|NonNeg"
)
_MODULES = re.compile(r"(tf_)?keras(\.\w+)*")

_SYMMETRIC = ("mobilenet_", "mobilenetv2_", "inception_v3", "inception_resnet_v2", "xception", "nasnet", "resnet50v2")
"""Names that keras.applications gives to networks whose preprocess_input is x / 127.5 - 1."""


@dataclass(frozen=True)
class KerasFile:
    """A checked file: `config` describes the model, None for weights alone; `version` is that of the Keras that wrote it."""

    config: dict[str, Any] | None
    version: str


def is_keras_file(data: bytes) -> bool:
    """Whether a file that begins with `data` is HDF5, or a ZIP, as .keras files are."""
    return data.startswith((_HDF5, b"PK\x03\x04"))


def read_keras_file(path: Path, name: str) -> KerasFile:
    """Check the file at `path`, which messages call `name`. Raises EnvironmentFailure for anything but a plain network."""
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
        found = _read_zip(path, name) if zipped else _read_hdf5(path, name)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise EnvironmentFailure(f"{name} is damaged or not a Keras file ({reason})") from None
    if found.config is not None:
        _check_config(found.config, name)
    return found


def expected_pixels(config: dict[str, Any]) -> tuple[float, float] | None:
    """What a Keras network's pixels span, from its own description; None if that does not say.

    A Rescaling or Normalization layer near the picture takes 0..255; keras.applications' MobileNet and others of its
    "tf" mode take -1..1.
    """
    inner = config.get("config", config)
    layers = inner.get("layers", []) if isinstance(inner, dict) else []
    if any(
        layer.get("class_name") in ("Rescaling", "Normalization") for layer in layers[:4] if isinstance(layer, dict)
    ):
        return (0.0, 255.0)
    named = str(inner.get("name", "")).lower() if isinstance(inner, dict) else ""
    return (-1.0, 1.0) if named.startswith(_SYMMETRIC) else None


def _read_zip(path: Path, name: str) -> KerasFile:
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if sum(sizes.values()) > MAX_BYTES or sizes.get("config.json", 0) > _MAX_CONFIG:
            raise EnvironmentFailure(f"{name} unpacks to more than {MAX_BYTES >> 20} MiB")
        missing = [part for part in ("config.json", "metadata.json", "model.weights.h5") if part not in sizes]
        if missing:
            raise EnvironmentFailure(f"{name} is not a Keras file: it has no {missing[0]}")
        config = json.loads(archive.read("config.json"))
        version = str(json.loads(archive.read("metadata.json"))["keras_version"])
        _check_hdf5(io.BytesIO(archive.read("model.weights.h5")), name)
    return KerasFile(dict(config), version)


def _read_hdf5(path: Path, name: str) -> KerasFile:
    attributes = _check_hdf5(path, name)
    config = attributes.get("model_config")
    if config is not None and len(config) > _MAX_CONFIG:
        raise EnvironmentFailure(f"{name} describes its network in more than {_MAX_CONFIG >> 20} MiB")
    return KerasFile(None if config is None else dict(json.loads(config)), str(attributes.get("keras_version", "2")))


def _check_hdf5(file: Any, name: str) -> dict[str, str]:
    """The text attributes of an HDF5 file that holds nothing but plain arrays of numbers."""
    import h5py

    total = 0

    def visit(group: Any) -> None:
        nonlocal total
        for key in group:
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise EnvironmentFailure(f"{name} links to another place ({key!r}): it is not read")
            item = group[key]
            if isinstance(item, h5py.Group):
                visit(item)
                continue
            if item.external or item.is_virtual:
                raise EnvironmentFailure(f"{name} keeps {key!r} in another file: it is not read")
            total += item.nbytes
            if item.nbytes > MAX_BYTES or total > MAX_BYTES:
                raise EnvironmentFailure(f"{name} holds more than {MAX_BYTES >> 20} MiB of weights")

    with h5py.File(file, "r") as root:
        visit(root)
        texts = {key: root.attrs[key] for key in ("model_config", "keras_version") if key in root.attrs}
    return {key: value.decode() if isinstance(value, bytes) else str(value) for key, value in texts.items()}


def _check_config(config: dict[str, Any], name: str) -> None:
    top = config.get("class_name")
    if top not in _NETWORKS:
        raise EnvironmentFailure(f"{name} is a Keras {top}; expected a functional or sequential network")
    for item in _walk(config):
        kind, module, registered = (item.get(key) for key in ("class_name", "module", "registered_name"))
        if kind is not None and not (_LAYERS.fullmatch(str(kind)) or _PARTS.fullmatch(str(kind))):
            raise EnvironmentFailure(
                f"{name} has a part of the class {kind!r}, which is not run (no Lambda, no own classes)"
            )
        if module is not None and kind is not None and not _MODULES.fullmatch(str(module)):
            raise EnvironmentFailure(f"{name} has a part from the module {module!r}, which is not run")
        if registered is not None and kind is not None and registered != kind:
            raise EnvironmentFailure(f"{name} has a part registered as {registered!r}, which is not run")
        for key, value in item.items():
            numbers = value if isinstance(value, list) else [value]
            large = [n for n in numbers if isinstance(n, int | float) and abs(n) > _MAX_NUMBER]
            if large and key in _BOUNDED:
                raise EnvironmentFailure(f"{name} asks for {key} {large[0]}, at most {_MAX_NUMBER} is taken")


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)
