"""From report.json to the keys of the training page, with thumbnails of the photos that were taken for something else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeretrain.errors import DataError
from edgeretrain.images import decode, read_picture

THUMBNAIL = 128
"""Longer side of a thumbnail in pixels."""
MOST_THUMBNAILS = 48


def page_values(report: Mapping[str, Any], image_dir: Path) -> dict[str, Any]:
    """The keys that `render_training` describes, from a run's report and the photos it names."""
    data, model = report["data"], report["model"]
    tuned = report.get("fine_tuning")
    mistakes = sorted(report["misclassified"], key=lambda item: -float(item["confidence"]))
    return {
        "model": model["name"],
        "source": f"{report['module']['kind']}: {report['module']['name']}",
        "classes": [row["class_name"] for row in data["classes"]],
        "counts": {part: sum(row[part] for row in data["classes"]) for part in ("train", "validation", "test")},
        "accuracy": report["accuracy"],
        "agreement": report["accuracy"]["instrumented" if tuned else "head"]["agreement"],
        "per_class": report["per_class"],
        "confusion": report["confusion"],
        "curve": report["training"]["curve"],
        "fine_tuning": tuned,
        "misclassified": [
            {**item, "thumbnail": _thumbnail(image_dir / item["path"]) if place < MOST_THUMBNAILS else None}
            for place, item in enumerate(mistakes)
        ],
        "rejected": [
            {"path": item["name"], "class_name": item["class_name"], "reason": item["reason"]}
            for item in data["rejected"]
        ],
        "warnings": data["warnings"],
        "timings": {stage: seconds for stage, seconds in report["seconds"].items() if stage != "total"},
        "size_bytes": model["size_bytes"],
        "command": report["command"],
        "versions": report["versions"],
        "seed": report["training"]["seed"],
    }


def _thumbnail(path: Path) -> str | None:
    """A small JPEG of a photo as a data URI; None if it cannot be read any more."""
    try:
        image = decode(read_picture(path))
    except DataError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
