"""What the networks whose accuracy a report holds are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def network_names(report: Mapping[str, Any]) -> dict[str, str]:
    """Names by the keys of `accuracy`, in the order they are shown, for report.json or the training page's values."""
    return {
        "tflite": ".tflite",
        "head": "head alone, before fine-tuning" if report.get("fine_tuning") else "unquantized head",
        "instrumented": "fake-quant network",
        "float": "float module",
    }
