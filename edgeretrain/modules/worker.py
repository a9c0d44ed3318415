"""The process that TensorFlow runs in for modules that are not quantops: `python -m edgeretrain.modules.worker JOB OUT`.

A process of its own because the converter leaks and chatters, a hostile graph may crash TensorFlow, and `train` itself
stays without it. JOB is a JSON file; OUT a folder that gets `answer.json` and what the job makes:

- describe: path, name, res (or null) -> {res, features, pixels, any_res, fake_quant}
- quantize: path, name, res, pixels, and lists of photo paths -> `body.tflite` from `calibration` photos, int8 in and out;
  `float.npy`, float32 [N, features], the float network's embeddings of `compare` photos. Either list may be null.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.errors import EdgeRetrainError, EnvironmentFailure
from edgeretrain.images import load_pixels
from edgeretrain.modules.frozen import Frozen, freeze
from edgeretrain.parallel import ordered_map

BATCH = 16


def main(job_path: str, out: str) -> None:
    """Do the job in the file `job_path`; the answer, or the error in one line, goes to `answer.json` in `out`."""
    warnings.simplefilter("ignore")
    job, folder = json.loads(Path(job_path).read_text(encoding="utf-8")), Path(out)
    try:
        frozen = freeze(Path(job["path"]), job["name"], job["res"])
        answer = describe(frozen) if job["do"] == "describe" else quantize(frozen, job, folder)
    except EdgeRetrainError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def describe(frozen: Frozen) -> dict[str, Any]:
    """What the parent has to know about the module."""
    return {
        "res": frozen.res,
        "features": frozen.features,
        "pixels": frozen.pixels,
        "any_res": frozen.any_res,
        "fake_quant": frozen.fake_quant,
    }


def quantize(frozen: Frozen, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make what the job asks for."""
    low, high = job["pixels"]
    if job["calibration"] is not None:
        pixels = spanned(load_all(job["calibration"], frozen.res))
        (folder / "body.tflite").write_bytes(convert(frozen, pixels, low, high, job["name"]))
    if job["compare"] is not None:
        embeddings = embed(frozen, job["compare"], low, high)
        np.save(folder / "float.npy", embeddings)
    return {}


def load_all(paths: Sequence[str], res: int) -> NDArray[np.uint8]:
    """Photos as uint8 [N, res, res, 3]."""
    return np.stack(ordered_map(lambda path: load_pixels(Path(path), [res])[0], paths))


def spanned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same photos, but for two pixels of the first one, which are made black and white.

    Then calibration finds the whole span of pixels, and the code of a pixel is the pixel.
    """
    pixels = pixels.copy()
    pixels[0, 0, 0], pixels[0, 0, 1] = 0, 255
    return pixels


def real(pixels: NDArray[np.uint8], low: float, high: float) -> NDArray[np.float32]:
    """Pixels 0..255 as real numbers low..high."""
    result: NDArray[np.float32] = pixels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    return result


def convert(frozen: Frozen, pixels: NDArray[np.uint8], low: float, high: float, name: str) -> bytes:
    """The network as a .tflite of int8 alone, its ranges calibrated on photos `pixels`. Raises EnvironmentFailure."""
    from edgeretrain._tensorflow import load_tensorflow

    tf = load_tensorflow()
    spec = tf.TensorSpec([1, frozen.res, frozen.res, 3], tf.float32, name="image")
    function = tf.compat.v1.wrap_function(frozen, [spec])

    def samples() -> Iterator[list[NDArray[np.float32]]]:
        for picture in pixels:
            yield [real(picture[None], low, high)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        return bytes(converter.convert())
    except Exception as error:  # the converter raises several kinds, and errors of its native code
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise EnvironmentFailure(f"{name} cannot be quantized by TensorFlow's converter: {lines[0][:200]}") from None


def embed(frozen: Frozen, paths: Sequence[str], low: float, high: float) -> NDArray[np.float32]:
    """The float network's embeddings of photos, float32 [N, features]."""
    from edgeretrain._tensorflow import load_tensorflow

    function = load_tensorflow().function(frozen, autograph=False)
    size = frozen.batch or BATCH
    parts = [np.zeros((0, frozen.features), np.float32)]
    for start in range(0, len(paths), size):
        pixels = load_all(paths[start : start + size], frozen.res)
        full = np.zeros((size, *pixels.shape[1:]), np.uint8)  # one shape, one graph
        full[: len(pixels)] = pixels
        parts.append(function(real(full, low, high)).numpy()[: len(pixels)])
    return np.concatenate(parts)


if __name__ == "__main__":
    main(*sys.argv[1:])
