"""The options of `edgeretrain train` that write more than the integer .tflite."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeretrain.exports.spec import FINAL_TENSOR, FLOAT_TYPES, ExportSpec


def export_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options and hand them to `function` as one argument `exports`, an ExportSpec."""

    @functools.wraps(function)
    def with_exports(
        *,
        saved_model_dir: Path | None,
        output_graph: Path | None,
        final_tensor_name: str,
        output_labels: Path | None,
        export: str,
        **others: Any,
    ) -> Any:
        kinds = tuple(dict.fromkeys(kind.strip() for kind in export.split(",") if kind.strip()))
        spec = ExportSpec(saved_model_dir, output_graph, final_tensor_name, output_labels, kinds)
        return function(exports=spec, **others)

    place = click.Path(path_type=Path)
    for decorate in (
        click.option(
            "--export",
            default="",
            show_default="none",
            help=f"Also write .tflite files of {' or '.join(FLOAT_TYPES)}, or both: with a comma.",
        ),
        click.option("--output-labels", type=place, help="Also write the class names here, one a line."),
        click.option("--final-tensor-name", default=FINAL_TENSOR, help="Name of the graph's output tensor."),
        click.option("--output-graph", type=place, help="Also write the fake-quant network here, a frozen GraphDef."),
        click.option(
            "--saved-model-dir",
            type=place,
            help="Also write a SavedModel for TensorFlow Serving here; let it end in a version number.",
        ),
    ):
        with_exports = decorate(with_exports)
    return with_exports
