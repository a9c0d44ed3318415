"""The exports of a finished run of `edgeretrain train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeretrain.calibrated import Calibrated
from edgeretrain.exports.spec import ExportSpec, Served
from edgeretrain.exports.writing import write_exports
from edgeretrain.metadata import ENTRY
from edgeretrain.pipeline import Result, metadata_of
from edgeretrain.write import write_model


def export_result(result: Result, spec: ExportSpec, folder: Path, *, jobs: int | None = None) -> list[dict[str, Any]]:
    """Write what `spec` asks for, of the network in `result`; `folder` takes the .tflite files. As `write_exports`."""
    backbone, head, class_names = result.backbone, result.head, result.dataset.class_names

    def served() -> Served:
        if isinstance(backbone, Calibrated):
            from edgeretrain.modules.frozen import float_network  # imports TensorFlow

            low, high = backbone.input_range
            scale = (high - low) / 255
            return Served(float_network(backbone, head), backbone.spec.res, scale, -low / scale, class_names)
        from edgeretrain.network import build_network  # imports TensorFlow

        network = build_network(backbone, head)
        return Served(lambda pictures: network(pictures, training=False), backbone.spec.res, *quantization, class_names)

    def float_model(kind: str) -> bytes:
        metadata = {ENTRY: metadata_of(backbone, class_names, "float32", kind)}
        return write_model(backbone, head, scheme=kind, metadata=metadata)

    quantization = backbone.input_quantization
    photos = result.dataset.test
    return write_exports(spec, folder, result.model, photos, served=served, float_model=float_model, jobs=jobs)
