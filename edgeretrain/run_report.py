"""What a run says of itself: the contract in the file, and report.json."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgeretrain.artifact import Model, versions
from edgeretrain.backbone import Backbone
from edgeretrain.calibrated import Calibrated
from edgeretrain.dataset import Dataset, Photo
from edgeretrain.distort import Distortions
from edgeretrain.evaluate import Evaluation, agreement
from edgeretrain.spec import TrainSpec
from edgeretrain.train import TrainedHead

REPORT_VERSION = 1


def _cost(
    backbone: Backbone | Calibrated, evaluation: Evaluation, others: dict[str, Evaluation]
) -> dict[str, Any] | None:
    """What post-training quantization cost: the float module with the unquantized head against the .tflite."""
    if "float" not in others or not isinstance(backbone, Calibrated):
        return None
    twin = others["float"]
    return {
        "calibration_photos": backbone.photos,
        "input_range": list(backbone.input_range),
        "float_top1": twin.top1,
        "tflite_top1": evaluation.top1,
        "cost_points": 100 * (twin.top1 - evaluation.top1),
        "agreement": agreement(twin, evaluation),
    }


def facts_of(
    backbone: Backbone | Calibrated, dataset: Dataset, spec: TrainSpec, evaluation: Evaluation | None = None
) -> dict[str, Any]:
    """What the contract says beyond the file itself."""
    return {
        "model": backbone.spec.name,
        "scheme": spec.scheme,
        "module": {**asdict(backbone.source), "route": backbone.route},
        "data": {
            "sha256": dataset.digest,
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
            "split_seed": spec.split_seed,
            "validation_percentage": spec.validation_percentage,
            "testing_percentage": spec.testing_percentage,
        },
        **({"accuracy": evaluation.summary()} if evaluation else {}),
        "seed": spec.seed,
    }


def report_of(
    model: Model,
    backbone: Backbone | Calibrated,
    dataset: Dataset,
    trained: TrainedHead,
    evaluation: Evaluation,
    confidence: Sequence[float],
    others: dict[str, Evaluation],
    tested: Sequence[Photo],
    spec: TrainSpec,
) -> dict[str, Any]:
    """What report.json says, but for `command` and `seconds`; `others` are the evaluations of the file's kin on `tested`."""
    names = dataset.class_names
    return {
        "report": REPORT_VERSION,
        "route": backbone.route,
        "quantization": _cost(backbone, evaluation, others),
        "model": {
            "name": backbone.spec.name,
            "file": model.name,
            "width": backbone.spec.width,
            "res": backbone.spec.res,
            "scheme": spec.scheme,
            "size_bytes": len(model.data),
            "parameter_bytes": backbone.parameter_bytes + trained.weights.size + 4 * len(names),
            "identical_codes": backbone.identical_codes,
            "input": model.input.as_dict(),
            "output": model.output.as_dict(),
        },
        "module": asdict(backbone.source),
        "data": {
            "sha256": dataset.digest,
            "classes": [
                {"class_name": name, "train": train, "validation": validation, "test": test}
                for name, train, validation, test in dataset.counts()
            ],
            "rejected": [asdict(item) for item in dataset.rejected],
            "warnings": list(dataset.warnings),
        },
        "accuracy": {
            "tflite": evaluation.summary(),
            **{name: {**other.summary(), "agreement": agreement(other, evaluation)} for name, other in others.items()},
        },
        "per_class": evaluation.per_class(),
        "confusion": evaluation.confusion.tolist(),
        "misclassified": [
            {
                "path": photo.name,
                "truth": names[truth],
                "predicted": names[predicted],
                "confidence": round(sure, 4),
            }
            for photo, truth, predicted, sure in zip(
                tested, evaluation.truth.tolist(), evaluation.predicted.tolist(), confidence, strict=True
            )
            if truth != predicted
        ],
        "training": {
            **asdict(spec),
            "distortions": str(Distortions.of(spec)),
            "rows": len(dataset.train) * (1 + spec.copies * bool(Distortions.of(spec))),
            "decay": trained.decay,
            "best_step": trained.best_step,
            "curve": asdict(trained.curve),
        },
        "versions": {**versions(), "python": platform.python_version()},
        "machine": {"system": platform.system(), "processor": platform.machine()},
    }
