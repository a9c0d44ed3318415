"""The .tflite as an artifact: it carries its contract, its labels and its golden vectors, and can be asked for all of them.

The contract is `edgeretrain.json` in the ZIP behind the model (docs/contract.md describes it).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain import __version__
from edgeretrain.errors import DataError
from edgeretrain.golden import GENERATOR, Vector, make_vectors, replay, run
from edgeretrain.images import PREPROCESSING, Pixels
from edgeretrain.metadata import LABELS_FILE, append_files, read_files, read_normalization
from edgeretrain.runtime import KERNELS, load_interpreter
from edgeretrain.storage import sha256
from edgeretrain.write import FLOATS

CONTRACT_FILE = "edgeretrain.json"
CONTRACT_VERSION = 1
MAX_MODEL_BYTES = 512 << 20
VERSIONED = ("ai-edge-litert", "numpy", "pillow")
"""The packages whose versions, with our own, decide the bytes of a model."""


def versions() -> dict[str, str]:
    """Our version and those of `VERSIONED`, by package."""
    return {"edgeretrain": __version__} | {name: version(name) for name in VERSIONED}


@dataclass(frozen=True)
class TensorInfo:
    """The model's input or output: numpy name of the dtype, shape, and quantization (scale 0: none)."""

    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @classmethod
    def of(cls, detail: dict[str, Any]) -> TensorInfo:
        """From LiteRT's tensor details."""
        scale, zero_point = detail["quantization"]
        shape = tuple(int(side) for side in detail["shape"])
        return cls(np.dtype(detail["dtype"]).name, shape, float(scale), int(zero_point))

    def as_dict(self) -> dict[str, Any]:
        """For the contract and reports."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "scale": self.scale,
            "zero_point": self.zero_point,
        }


@dataclass(frozen=True)
class Model:
    """An image classifier in a .tflite: ours, with a contract, or a foreign one, without.

    `data` is the whole file, `flatbuffer` the model in it. `labels` come from the file, else they are `class 0`, ... .
    `mean` and `std` prepare a float32 input: (pixel - mean) / std.
    """

    name: str
    data: bytes
    flatbuffer: bytes
    contract: dict[str, Any] | None
    labels: tuple[str, ...]
    input: TensorInfo
    output: TensorInfo
    mean: float
    std: float
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @property
    def res(self) -> int:
        """Side of the input picture in px."""
        return self.input.shape[1]

    @cached_property
    def tensor_types(self) -> dict[str, int]:
        """How many tensors of each dtype the network holds."""
        counts: dict[str, int] = {}
        for detail in load_interpreter(self.flatbuffer, kernels="builtin").get_tensor_details():
            if detail["name"]:
                kind = np.dtype(detail["dtype"]).name
                counts[kind] = counts.get(kind, 0) + 1
        return counts

    def predict(self, pixels: Pixels) -> NDArray[np.float32]:
        """Probabilities float32 [classes] of one picture uint8 [res, res, 3]; each thread runs its own interpreter."""
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = load_interpreter(self.flatbuffer)
        raw = run(self._local.interpreter, pixels, self.mean, self.std)
        if raw.dtype == np.float32:
            return raw
        result: NDArray[np.float32] = (raw.astype(np.float32) - self.output.zero_point) * np.float32(self.output.scale)
        return result


def load_model(path: Path) -> Model:
    """Read the .tflite at `path`. Raises DataError when it is not an image classifier that LiteRT can run."""
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise DataError(f"{path} is larger than {MAX_MODEL_BYTES >> 20} MiB: expected a .tflite image classifier")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}: expected a .tflite image classifier") from None
    return model_from_bytes(data, str(path))


def model_from_bytes(data: bytes, name: str) -> Model:
    """Read a .tflite from memory; `name` is for messages. Raises DataError."""
    try:
        flatbuffer, files = read_files(data)
        interpreter = load_interpreter(flatbuffer, kernels="builtin")
    except DataError as error:
        raise DataError(f"{name}: {error}: expected a .tflite image classifier") from None
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise DataError(
            f"{name} has {len(inputs)} inputs and {len(outputs)} outputs; an image classifier has one of each"
        )
    source, result = TensorInfo.of(inputs[0]), TensorInfo.of(outputs[0])
    shape = source.shape
    if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3 or shape[1] < 2:
        raise DataError(
            f"{name} takes an input of shape {list(shape)}; expected one square RGB picture [1, res, res, 3]"
        )
    for tensor in (source, result):
        if tensor.dtype not in ("uint8", "int8", "float32"):
            raise DataError(f"{name} has a {tensor.dtype} input or output; expected uint8, int8 or float32")
    mean, std = read_normalization(flatbuffer) or (127.5, 127.5)
    contract = _contract(files, name)
    classes = int(np.prod(result.shape))
    labels = tuple(_labels(files)) or tuple(f"class {i}" for i in range(classes))
    if len(labels) != classes:
        raise DataError(f"{name} has {len(labels)} labels for {classes} outputs: it was put together wrongly")
    return Model(name, data, flatbuffer, contract, labels, source, result, mean, std)


def _contract(files: dict[str, bytes], name: str) -> dict[str, Any] | None:
    if CONTRACT_FILE not in files:
        return None
    try:
        contract = json.loads(files[CONTRACT_FILE])
        if int(contract["contract"]) > CONTRACT_VERSION:
            raise DataError(f"{name} was written by a newer edgeretrain: update this one")
        return dict(contract)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{name}: its contract is damaged ({error})") from None


def _labels(files: dict[str, bytes]) -> list[str]:
    texts = [data for name, data in files.items() if name.endswith(".txt") and "label" in name]
    return texts[0].decode("utf-8", "replace").splitlines() if texts else []


def seal(flatbuffer: bytes, class_names: tuple[str, ...], facts: dict[str, Any]) -> bytes:
    """Return the finished file: `flatbuffer`, labels, and the contract made of `facts`, tensors, golden vectors, versions."""
    interpreter = load_interpreter(flatbuffer, kernels="builtin")
    source = TensorInfo.of(interpreter.get_input_details()[0])
    result = TensorInfo.of(interpreter.get_output_details()[0])
    contract = {
        "contract": CONTRACT_VERSION,
        **facts,
        "classes": list(class_names),
        "input": {**source.as_dict(), "color": "RGB", "preprocessing": PREPROCESSING},
        "output": result.as_dict(),
        "flatbuffer_sha256": sha256(flatbuffer),
        "versions": versions(),
        "golden": {
            "generator": GENERATOR,
            "vectors": [
                {"seed": vector.seed, **{kernels: vector.outputs[kernels].hex() for kernels in KERNELS}}
                for vector in make_vectors(flatbuffer, source.shape[1])
            ],
        },
    }
    text = json.dumps(contract, ensure_ascii=False, separators=(",", ":"))
    labels = "".join(f"{name}\n" for name in class_names)
    return append_files(flatbuffer, {LABELS_FILE: labels.encode(), CONTRACT_FILE: text.encode()})


@dataclass(frozen=True)
class Check:
    """One line of `verify`: what was checked, whether it holds, and what was seen."""

    subject: str
    ok: bool
    seen: str


def verify(model: Model) -> list[Check]:
    """Hold a model against its own contract: bytes, labels, tensors, and the golden vectors on this machine.

    Raises DataError if the model has no contract or the contract misses something.
    """
    contract = model.contract
    if contract is None:
        raise DataError(f"{model.name} has no contract: only models written by edgeretrain can be verified")
    try:
        same = sha256(model.flatbuffer) == contract["flatbuffer_sha256"]
        checks = [
            Check("network", same, "the bytes are those that were checked" if same else "the bytes were changed"),
            Check("labels", list(model.labels) == contract["classes"], f"{len(model.labels)} classes"),
            *(_tensor_check(which, getattr(model, which), contract[which]) for which in ("input", "output")),
            _type_check(model, contract["scheme"]),
            _golden_check(model, contract["golden"]),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{model.name}: its contract is damaged ({error!r})") from None
    return checks


def _tensor_check(which: str, found: TensorInfo, expected: dict[str, Any]) -> Check:
    same = all(value == expected[key] for key, value in found.as_dict().items())
    return Check(
        which, same, f"{found.dtype} {list(found.shape)}, scale {found.scale:g}, zero point {found.zero_point}"
    )


def _type_check(model: Model, scheme: str) -> Check:
    """Integers only but for a float32 input and output, unless the file was asked for as one of floats."""
    types = model.tensor_types
    seen = ", ".join(f"{count} {kind}" for kind, count in sorted(types.items()))
    if scheme in FLOATS:
        return Check("floats only", scheme in types and not {"int8", "uint8"} & set(types), seen)
    allowed = (model.input.dtype == "float32") + (model.output.dtype == "float32")
    return Check("integers only", types.get("float32", 0) + types.get("float16", 0) <= allowed, seen)


MOST_CODES = 1
"""How far apart, in codes of 1/256, two processors' answers may be. Networks of int8 give the same bytes; the 8-bit softmax
of uint8 ones is another on ARM64 than on x86 (at most 1 code in up to 2 % of answers), and float32 networks vary."""


def codes_apart(a: bytes, b: bytes, dtype: str) -> int:
    """Largest difference of two outputs of `dtype` in codes of 1/256, rounded up; 256 for different lengths or no numbers."""
    if len(a) != len(b):
        return 256
    first, second = (np.frombuffer(data, dtype).astype(np.float64) for data in (a, b))
    largest = float(np.abs(first - second).max(initial=0)) * (256 if dtype == "float32" else 1)
    return ceil(largest) if largest < 256 else 256


def _golden_check(model: Model, golden: dict[str, Any]) -> Check:
    """Bytes of either kind of kernels; answers that are one code off on another processor pass, and it is said."""
    if golden["generator"] != GENERATOR:
        raise DataError(f"{model.name} has golden vectors of kind {golden['generator']!r}: update edgeretrain")
    vectors = [Vector(int(v["seed"]), {k: bytes.fromhex(v[k]) for k in KERNELS}) for v in golden["vectors"]]
    answers = replay(model.flatbuffer, model.res, [vector.seed for vector in vectors], "xnnpack")
    apart = {
        kernels: max(
            (
                codes_apart(answer, vector.outputs[kernels], model.output.dtype)
                for answer, vector in zip(answers, vectors, strict=True)
            ),
            default=0,
        )
        for kernels in KERNELS
    }
    nearest = min(KERNELS, key=apart.__getitem__)
    if apart[nearest] <= MOST_CODES:
        seen = "equal" if apart[nearest] == 0 else f"within {apart[nearest]} code"
        return Check("golden vectors", True, f"{len(vectors)} of {len(vectors)} {seen} ({nearest} kernels)")
    wrong = [
        f"seed {vector.seed}: expected {vector.outputs['xnnpack'].hex()[:32]}, got {answer.hex()[:32]}"
        for answer, vector in zip(answers, vectors, strict=True)
        if answer != vector.outputs["xnnpack"]
    ]
    return Check("golden vectors", False, "; ".join(wrong))
