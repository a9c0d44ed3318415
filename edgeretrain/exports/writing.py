"""Write exports: each lies aside first, is loaded back, and held against the network it was made of and against the integer
.tflite on test photos; only if all of them hold do they move to their places.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.artifact import Model, model_from_bytes, seal, verify
from edgeretrain.dataset import Photo
from edgeretrain.errors import DataError, QualityError
from edgeretrain.evaluate import Evaluation, predict_photos
from edgeretrain.exports.spec import GRAPH_INPUT, JPEG_SIGNATURE, ExportSpec, Served
from edgeretrain.exports.staging import Staging, measured, staging
from edgeretrain.images import decode, read_picture, resize
from edgeretrain.metadata import LABELS_FILE

CHECK_PHOTOS = 32
"""Test photos that the TensorFlow exports are checked on; .tflite files are checked on all of them."""

SAME, SAME_PIXELS = 0.01, 0.05
"""Most probability that may move to other classes (total variation: half the sum of absolute differences, mean over photos)
between a TensorFlow export and its network, for pictures and for encoded JPEGs, of whose pixels a few are one code off.
Measured on flowers at 025/128 and 050/160: 0 and at most 0.013; mirrored pictures move 0.05 to 0.08, swapped colours 0.2 to
0.3.
"""
TO_TFLITE = {"int8": 0.1, "uint8": 0.25, "post-training": 0.35}
"""The same between an export and the integer .tflite, by its scheme: measured 0.005 to 0.013. uint8 may compute with other
weights than the network. A float module is exported in float: what its calibration cost counts here too (0.024 to 0.027 for
050/160 on flowers, 0.13 for random weights).
"""

Floats = NDArray[np.float32]


def write_exports(
    spec: ExportSpec,
    folder: Path,
    model: Model,
    photos: Sequence[Photo],
    *,
    served: Callable[[], Served],
    float_model: Callable[[str], bytes],
    jobs: int | None = None,
) -> list[dict[str, Any]]:
    """Write what `spec` asks for and return an entry for the report per export.

    `folder` takes the .tflite files; `model` is the sealed integer .tflite, `photos` are its test photos. `served` makes the
    network (imports TensorFlow; called for a SavedModel or graph only), `float_model` the flatbuffer of a float type.
    Raises QualityError if an export that was loaded back gives other answers, DataError if photos vanished; then none appears.
    """
    entries = []
    with staging() as stage:
        for kind in spec.float_types:
            target = folder / f"{Path(model.name).stem}_{kind}.tflite"
            entries.append(_write_float(stage.place(target), kind, float_model(kind), model, photos, jobs))
        if spec.saved_model_dir is not None or spec.output_graph is not None:
            entries += _write_graphs(spec, stage, served(), model, _spread(photos, CHECK_PHOTOS))
        if spec.output_labels is not None:
            path = stage.place(spec.output_labels)
            path.write_text(_lines(model.labels), encoding="utf-8")
            entries.append(_entry("labels", path, spec.output_labels))
        stage.publish()
    return entries


def _write_float(
    path: Path, kind: str, flatbuffer: bytes, model: Model, photos: Sequence[Photo], jobs: int | None
) -> dict[str, Any]:
    """Seal and write a .tflite of floats, with its own accuracy in its contract."""
    assert model.contract is not None
    subject, paths = f"the {kind} .tflite", [photo.path for photo in photos]
    draft = model_from_bytes(flatbuffer, path.name)
    answers = _answers(draft, paths, jobs)
    truth = np.array([photo.label for photo in photos], np.int64)
    accuracy = Evaluation(model.labels, truth, answers.argmax(axis=1)).summary()
    facts = {key: model.contract[key] for key in ("model", "module", "data", "seed")}
    path.write_bytes(seal(flatbuffer, model.labels, {**facts, "scheme": kind, "accuracy": accuracy}))
    sealed = model_from_bytes(path.read_bytes(), path.name)
    if failed := [check for check in verify(sealed) if not check.ok]:
        raise _refused(subject, f"{failed[0].subject}: {failed[0].seen}")
    integer = _answers(model, paths, jobs)
    found = _compared(subject, _answers(sealed, paths, jobs), integer, _limit(model), "the integer .tflite")
    return {**_entry(f"tflite {kind}", path, Path(path.name)), "top1": accuracy["top1"], "to_tflite": found}


def _write_graphs(
    spec: ExportSpec, stage: Staging, served: Served, model: Model, photos: Sequence[Photo]
) -> list[dict[str, Any]]:
    """Write SavedModel and GraphDef of `served`, and hold both against it and `model`."""
    from edgeretrain.exports import graphs  # imports TensorFlow

    jpegs = [_as_jpeg(photo) for photo in photos]
    pixels = np.stack([resize(decode(data), served.res) for data in jpegs])
    here = graphs.network_answers(served, pixels)
    there = np.stack([model.predict(picture) for picture in pixels])
    entries = []
    if spec.saved_model_dir is not None:
        path, subject = stage.place(spec.saved_model_dir), "the SavedModel"
        labels = stage.beside(path, LABELS_FILE)
        labels.write_text(_lines(served.class_names), encoding="utf-8")
        graphs.save_serving(served, path, labels)
        by_image, by_jpeg = graphs.serving_answers(path, pixels, jpegs)
        signatures = {
            "serving_default": _held(subject, by_image, here, there, SAME, model),
            JPEG_SIGNATURE: _held(subject, by_jpeg, here, there, SAME_PIXELS, model),
        }
        entries.append({**_entry("saved_model", path, spec.saved_model_dir), "signatures": signatures})
    if spec.output_graph is not None:
        path, subject = stage.place(spec.output_graph), "the frozen graph"
        graphs.save_graph(served, path, spec.final_tensor_name)
        answers = graphs.graph_answers(path, spec.final_tensor_name, pixels)
        names = {"input": GRAPH_INPUT, "output": spec.final_tensor_name}
        found = _held(subject, answers, here, there, SAME, model)
        entries.append({**_entry("graph", path, spec.output_graph), **names, **found})
    return entries


def _answers(model: Model, paths: Sequence[Path], jobs: int | None) -> Floats:
    """Probabilities float32 [N, classes] of the photos at `paths`."""
    answers = predict_photos(model, paths, jobs=jobs)
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, str):
            raise DataError(f"{path} was usable a moment ago, now it is not ({answer}): is the folder changing?")
    return np.stack([answer for answer in answers if not isinstance(answer, str)])


def _as_jpeg(photo: Photo) -> bytes:
    """The photo as a client would send it: its own bytes if it is a JPEG, else encoded as one."""
    data = read_picture(photo.path)
    if data.startswith(b"\xff\xd8\xff"):
        return data
    buffer = io.BytesIO()
    decode(data).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _held(
    subject: str, answers: Floats, network: Floats, integer: Floats, limit: float, model: Model
) -> dict[str, Any]:
    """Hold a TensorFlow export against the network it was made of and the integer .tflite."""
    return {
        "to_network": _compared(subject, answers, network, limit, "its network"),
        "to_tflite": _compared(subject, answers, integer, _limit(model), "the integer .tflite"),
    }


def _limit(model: Model) -> float:
    assert model.contract is not None
    route = model.contract["module"].get("route")
    return TO_TFLITE[route if route in TO_TFLITE else model.contract["scheme"]]


def _compared(subject: str, answers: Floats, expected: Floats, limit: float, to: str) -> dict[str, Any]:
    """Hold answers [N, classes] against expected ones; agreement and differences for the report. Raises QualityError."""
    apart = np.abs(answers - expected)
    moved = float(apart.sum(axis=1).mean()) / 2
    if not moved <= limit:
        raise _refused(subject, f"against {to} it moves {moved:.3f} of the probability (at most {limit} allowed)")
    return {
        "photos": len(answers),
        "agreement": float((answers.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        "max_difference": float(apart.max()),
        "moved": moved,
    }


def _refused(subject: str, reason: str) -> QualityError:
    return QualityError(f"{subject}, loaded back, is not what it should be: {reason}; no export was written")


def _entry(kind: str, path: Path, target: Path) -> dict[str, Any]:
    size, digest = measured(path)
    return {"kind": kind, "path": str(target), "size_bytes": size, "sha256": digest}


def _lines(labels: Sequence[str]) -> str:
    return "".join(f"{label}\n" for label in labels)


def _spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    """At most `count` of the photos, spread over all of them."""
    chosen = sorted(set(np.linspace(0, len(photos) - 1, min(count, len(photos))).astype(int).tolist()))
    return [photos[i] for i in chosen]
