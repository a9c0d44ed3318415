"""What a run of `edgeretrain train` would take, measured on a few of its photos."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeretrain.backbone import Backbone, quantize_per_channel
from edgeretrain.console import duration
from edgeretrain.dataset import Photo, list_photos
from edgeretrain.distort import Distortions
from edgeretrain.embed import embed_photos, make_extractor
from edgeretrain.errors import DataError
from edgeretrain.finetune.cost import Cost, measure
from edgeretrain.finetune.run import new_tuner
from edgeretrain.finetune.views import Length, picture_bytes, views_of
from edgeretrain.pictures import MEMORY_BYTES
from edgeretrain.softmax_path import Curve
from edgeretrain.spec import TrainSpec
from edgeretrain.train import TrainedHead
from edgeretrain.write import Head

SAMPLE = 64
"""Photos, spread over the folder, that are decoded, embedded and trained on to measure."""


@dataclass(frozen=True)
class Plan:
    """`photos` listed (not opened but for a sample), of which about `training` train; `embeddings` to be made, `photos_per_s`
    of them a second; `cost` of fine-tuning, None without it.
    """

    model: str
    classes: int
    photos: int
    training: int
    embeddings: int
    photos_per_s: float
    steps: int
    length: Length
    cost: Cost | None

    def summary(self) -> dict[str, Any]:
        """For --json."""
        found: dict[str, Any] = {
            "model": self.model,
            "classes": self.classes,
            "photos": self.photos,
            "training_photos": self.training,
            "embeddings": self.embeddings,
            "embedding_s": self.embeddings / self.photos_per_s,
            "head_steps": self.steps,
        }
        if self.cost:
            found["fine_tuning"] = {
                "layers": self.cost.layers,
                "steps": self.length.steps,
                "batch": self.length.batch,
                "photos_per_s": self.cost.photos_per_s,
                "seconds": self.cost.seconds(self.length),
                "memory_bytes": self.cost.memory_bytes,
            }
        return found

    def rows(self) -> list[tuple[str, str]]:
        """For the table."""
        embedding = duration(self.embeddings / self.photos_per_s)
        rows = [
            ("model", self.model),
            ("photos", f"{self.photos} in {self.classes} classes, about {self.training} to train on"),
            (
                "embeddings",
                f"{self.embeddings}, at most {embedding} at {self.photos_per_s:.0f} photos/s; kept for the next run",
            ),
            ("head", f"{self.steps} steps"),
        ]
        return rows + ([("fine-tuning", self.cost.text(self.length))] if self.cost else [])


def plan_run(image_dir: Path, backbone: Backbone, spec: TrainSpec, *, jobs: int | None = None) -> Plan:
    """Plan the run; nothing is written and nothing cached. Takes seconds, with fine-tuning the time to load TensorFlow.

    Raises DataError for a folder without classes or usable photos.
    """
    listing = list_photos(image_dir)
    count = len(listing.files)
    sample = listing.files[:: max(1, count // SAMPLE)][:SAMPLE]
    extractor = make_extractor(backbone)
    embed_photos([sample[0].path], [extractor], cache=None, jobs=1)  # makes the interpreter
    began = time.perf_counter()
    embedded = embed_photos([file.path for file in sample], [extractor], cache=None, jobs=jobs)
    pace = len(sample) / (time.perf_counter() - began)
    usable = [
        Photo(file.path, file.name, file.label, item.digest, row)
        for row, (file, item) in enumerate(zip(sample, embedded, strict=True))
        if item.digest is not None and item.reason is None
    ]
    if not usable:
        raise DataError(f"{sample[0].name}: {embedded[0].reason}; none of {len(sample)} photos tried can be used")
    training = round(count * (1 - (spec.validation_percentage + spec.testing_percentage) / 100))
    copies = spec.copies * training if Distortions.of(spec) else 0
    length = Length.of(training, spec)
    cost = None
    if spec.fine_tune:
        cost = _fine_tuning(backbone, tuple(usable), len(listing.class_names), training, spec, length)
    return Plan(
        backbone.spec.name,
        len(listing.class_names),
        count,
        training,
        count + copies,
        pace,
        spec.steps,
        length,
        cost,
    )


def _fine_tuning(
    backbone: Backbone, photos: tuple[Photo, ...], classes: int, training: int, spec: TrainSpec, length: Length
) -> Cost:
    """What fine-tuning costs, with `photos` in the place of all `training` ones and a head that has learnt nothing."""
    weights, bias = np.zeros((backbone.spec.features, classes), np.float32), np.zeros(classes, np.float32)
    head = Head(quantize_per_channel(weights[None, None], bias), np.float32(1), 0)
    tuner = new_tuner(backbone, TrainedHead(head, weights, bias, Curve(), 0.0, 0), photos, spec)
    cost = measure(tuner, views_of(photos, backbone.spec.res, spec), length)
    more = min(MEMORY_BYTES, (training - len(photos)) * picture_bytes(backbone.spec.res))
    return replace(cost, photos=training, memory_bytes=cost.memory_bytes + max(0, more))
