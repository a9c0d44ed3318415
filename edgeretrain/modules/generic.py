"""Modules that are no quantops MobileNet V1: described, calibrated and compared by a worker process, kept in the cache.

TensorFlow runs in the worker alone (`modules.worker`). What it finds depends on the module's files, the options and the
photos, so it is kept by their digests, and a second run needs no TensorFlow.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgeretrain
from edgeretrain import errors
from edgeretrain.backbone import Source
from edgeretrain.calibrated import Calibrated, NetworkSpec
from edgeretrain.console import Console
from edgeretrain.dataset import Photo
from edgeretrain.errors import EdgeRetrainError, EnvironmentFailure, QualityError, UsageError
from edgeretrain.graft import read_ends
from edgeretrain.images import PREPROCESSING
from edgeretrain.modules.keras_file import read_keras_file
from edgeretrain.storage import cache_dir, explained, sha256, write_file

KIND = "float module"
"""`Source.kind` of these modules."""
CALIBRATION_PHOTOS = 200
MAX_SECONDS = 3600.0
_FORMAT = 1  # of what is kept; another number forgets it
_MARKS = re.compile(r"^\W*$|^\d+$|^(feature[_-]vector|classification|quantops|tensorflow[12])$")


@dataclass(frozen=True)
class FloatModule:
    """An image feature-vector network with float weights: a SavedModel folder or a Keras file at `path`.

    `pixels` is what its pictures' values span, None if the module does not say. `any_res`: it takes other sizes as well.
    """

    spec: NetworkSpec
    path: Path
    pixels: tuple[float, float] | None
    any_res: bool
    fake_quant: bool
    source: Source
    route = "post-training"

    def input_range(self, asked: str) -> tuple[float, float]:
        """`pixels`, or what --input-range says (`auto`, `0..1`, ...). Raises UsageError when neither says anything."""
        if asked != "auto":
            low, high = map(float, asked.split(".."))
            return low, high
        if self.pixels is None:
            raise UsageError(
                f"{self.source.name} does not say what its pixels span: give --input-range 0..1 (hub modules), -1..1 "
                "(Keras MobileNet, Inception) or 0..255"
            )
        return self.pixels


def describe_module(path: Path, name: str, digest: str, res: int | None, console: Console) -> FloatModule:
    """Ask the worker what the module at `path` is; `name` is what the user called it, `digest` its files' SHA-256.

    Raises EnvironmentFailure for what is no image feature vector, UsageError for a `res` that it does not take.
    """
    kept = _place(f"describe {digest} {res} {_versions()}", "json")
    data = _read(kept)
    if data is None:
        if path.is_file():
            read_keras_file(path, name)  # what is wrong is said before TensorFlow is loaded
        console.say(f"Reading {name} with TensorFlow, once")
        answer, _ = _work({"do": "describe", "path": str(path.resolve()), "name": name, "res": res})
        data = json.dumps(answer).encode()
        _keep(kept, data, console)
    facts = json.loads(data)
    spec = NetworkSpec(network_name(name, int(facts["res"])), int(facts["res"]), int(facts["features"]))
    low_high = None if facts["pixels"] is None else (float(facts["pixels"][0]), float(facts["pixels"][1]))
    return FloatModule(
        spec, path, low_high, bool(facts["any_res"]), bool(facts["fake_quant"]), Source(KIND, name, digest)
    )


def network_name(name: str, res: int) -> str:
    """What models made from the module `name` (a handle, URL or path) are called: its telling last part, and `res`."""
    if "://" in name:
        parts = re.split(r"[?#]", name.partition("://")[2])[0].split("/")
    else:
        parts = list(Path(name).expanduser().resolve().parts)
    stems = [re.sub(r"\.(tar\.gz|tgz|tar|keras|weights\.h5|h5|hdf5)$", "", part) for part in parts]
    telling = [stem for stem in stems if not _MARKS.match(stem.lower())] or ["module"]
    clean = re.sub(r"[^a-z0-9]+", "_", telling[-1].lower()).strip("_")[:60] or "module"
    return clean if clean.endswith(f"_{res}") else f"{clean}_{res}"


def calibration_photos(train: Sequence[Photo]) -> list[Photo]:
    """At most `CALIBRATION_PHOTOS` training photos, as even over the classes as can be, whatever files are called."""
    classes: dict[int, list[Photo]] = {}
    for photo in sorted(train, key=lambda photo: photo.digest):
        classes.setdefault(photo.label, []).append(photo)
    turns = [(turn, label) for label, photos in classes.items() for turn in range(len(photos))]
    return [classes[label][turn] for turn, label in sorted(turns)[:CALIBRATION_PHOTOS]]


def quantize_module(
    module: FloatModule,
    train: Sequence[Photo],
    compare: Sequence[Photo],
    input_range: str = "auto",
    *,
    console: Console | None = None,
) -> tuple[Calibrated, NDArray[np.float32]]:
    """Calibrate `module` on photos of `train` alone: (the int8 network, the float network's embeddings of `compare`).

    Embeddings are float32 [N, features]. Raises EnvironmentFailure when the converter refuses, QualityError when what it
    made is not integer from picture to vector, UsageError as `FloatModule.input_range`.
    """
    console = console or Console(quiet=True)
    low, high = module.input_range(input_range)
    chosen = calibration_photos(train)
    about = f"{module.source.sha256} {module.spec.res} {low} {high} {_versions()}"
    body_place = _place(f"body {about} {_digests(sorted(chosen, key=lambda photo: photo.digest))}", "tflite")
    float_place = _place(f"float {about} {_digests(compare)}", "npy")
    body, embeddings = _read(body_place), _embeddings(_read(float_place), (len(compare), module.spec.features))
    if body is None or embeddings is None:
        what = f"calibrating {module.source.name} on {len(chosen)} training photos"
        console.say(f"Post-training quantization: {what}, with TensorFlow, once")
        job = {
            "do": "quantize",
            "path": str(module.path.resolve()),
            "name": module.source.name,
            "res": module.spec.res,
            "pixels": [low, high],
            "calibration": [str(photo.path.resolve()) for photo in chosen] if body is None else None,
            "compare": [str(photo.path.resolve()) for photo in compare] if embeddings is None else None,
        }
        _, made = _work(job)
        if body is None:
            body = made["body.tflite"]
            _keep(body_place, body, console)
        if embeddings is None:
            embeddings = _embeddings(made["float.npy"], (len(compare), module.spec.features))
            _keep(float_place, made["float.npy"], console)
    ends = read_ends(body)
    if embeddings is None or (ends.res, ends.features) != (module.spec.res, module.spec.features):
        raise QualityError(
            f"the converter made {ends.features} features of {ends.res} px from {module.source.name}, "
            f"which has {module.spec.features} of {module.spec.res} px; nothing was exported"
        )
    return Calibrated(module.spec, body, (low, high), module.source, len(chosen), ends, module.path), embeddings


def _work(job: dict[str, Any]) -> tuple[Any, dict[str, bytes]]:
    """Let the worker process do `job`: (its answer, the files it made). Raises what it raised."""
    with explained("work in a temporary folder"), tempfile.TemporaryDirectory(prefix="edgeretrain-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        (folder / "out").mkdir()
        code = _run_worker(folder, str(job["name"]))
        try:
            answer = json.loads((folder / "out" / "answer.json").read_bytes())
        except (OSError, ValueError):
            last = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise EnvironmentFailure(f"{job['name']}: TensorFlow ended with code {code} ({last[0][:200]})") from None
        made = {file.name: file.read_bytes() for file in (folder / "out").iterdir() if file.name != "answer.json"}
    if "error" in answer:
        kind: type[EdgeRetrainError] = getattr(errors, answer["kind"])
        raise kind(answer["error"])
    return answer, made


def _run_worker(folder: Path, name: str) -> int:
    """Run the worker on `job.json` in `folder`, its chatter in `log.txt`; return its exit code."""
    command = [sys.executable, "-m", "edgeretrain.modules.worker", str(folder / "job.json"), str(folder / "out")]
    home = str(Path(edgeretrain.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH")))),
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",  # the same bytes whatever card is there
    }
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            return process.wait(MAX_SECONDS)
        except subprocess.TimeoutExpired:
            raise EnvironmentFailure(f"{name}: TensorFlow was not done after {MAX_SECONDS / 60:.0f} min") from None
        finally:
            process.kill()
            process.wait()


def _versions() -> str:
    """What decides what the worker makes, beside the module and the photos."""
    packages = ("tensorflow", "tf_keras", "keras", "numpy", "pillow")
    return " ".join([str(_FORMAT), PREPROCESSING, *(version(package) for package in packages)])


def _digests(photos: Sequence[Photo]) -> str:
    return hashlib.sha256(b"".join(photo.digest for photo in photos)).hexdigest()


def _place(key: str, suffix: str) -> Path:
    return cache_dir() / "modules" / f"{sha256(key.encode())}.{suffix}"


def _keep(place: Path, data: bytes, console: Console) -> None:
    try:
        write_file(place, hashlib.sha256(data).digest() + data)
    except EnvironmentFailure as error:  # a read-only home must not stop the run
        console.warn(f"what TensorFlow made is not kept: {error}")


def _read(place: Path) -> bytes | None:
    """What `_keep` put at `place`; None if it is not there or not whole."""
    try:
        data = place.read_bytes()
    except OSError:
        return None
    return data[32:] if hashlib.sha256(data[32:]).digest() == data[:32] else None


def _embeddings(data: bytes | None, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The array in .npy `data` if it is float32 of `shape`."""
    if data is None:
        return None
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.float32 else None
