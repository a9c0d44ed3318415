"""Exports on the way: every so many steps the network as it is now, as a .tflite of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeretrain.measured import Measured, Observer
from edgeretrain.storage import write_file


def exporter(folder: Path, name: str, every: int, export: Callable[[Measured], bytes]) -> Observer:
    """Return an observer that writes `<name>_step_<step>.tflite` of what `export` makes, at each multiple of `every` steps.

    Fine-tuning writes `<name>_fine-tune_step_<step>.tflite`. Each file is whole or absent. Raises EnvironmentFailure.
    """

    def observe(measured: Measured) -> None:
        if measured.step % every == 0:
            phase = "" if measured.phase == "head" else f"_{measured.phase}"
            write_file(folder / f"{name}{phase}_step_{measured.step:06d}.tflite", export(measured))

    return observe
