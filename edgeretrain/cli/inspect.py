"""`edgeretrain inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeretrain.cli import json_option, model_argument, print_json

EXAMPLES = """\b
Examples:
  edgeretrain inspect model.tflite
  edgeretrain inspect model.tflite --json
"""


@click.command(epilog=EXAMPLES)
@model_argument
@json_option
def inspect(model: Path, as_json: bool) -> None:
    """Print what MODEL says about itself: input, output, classes, where it came from, how well it did."""
    from edgeretrain.artifact import load_model
    from edgeretrain.console import print_table

    found = load_model(model)
    if as_json:
        document = {
            "edgeretrain": "inspect",
            "version": 1,
            "model": str(model),
            "size_bytes": len(found.data),
            "input": found.input.as_dict(),
            "output": found.output.as_dict(),
            "labels": list(found.labels),
            "tensors": found.tensor_types,
            "contract": found.contract,
        }
        print_json(document)
        return
    rows: list[tuple[str, Any]] = [("file", f"{model}, {len(found.data):,} bytes")]
    for which in ("input", "output"):
        tensor = getattr(found, which)
        quantization = f", scale {tensor.scale:g}, zero point {tensor.zero_point}" if tensor.scale else ""
        rows.append((which, f"{tensor.dtype} {list(tensor.shape)}{quantization}"))
    rows.append(("tensors", ", ".join(f"{count} {kind}" for kind, count in sorted(found.tensor_types.items()))))
    names = ", ".join(found.labels[:8]) + (", ..." if len(found.labels) > 8 else "")
    rows.append((f"{len(found.labels)} classes", names))
    rows += _contract_rows(found.contract) if found.contract else [("contract", "none: not written by edgeretrain")]
    print_table(("", ""), rows)


def _contract_rows(contract: dict[str, Any]) -> list[tuple[str, Any]]:
    accuracy, data, module = (contract.get(key) or {} for key in ("accuracy", "data", "module"))
    rows: list[tuple[str, Any]] = [("model", f"{contract.get('model')}, {contract.get('scheme')} scheme")]
    if accuracy:
        interval = f"95 % interval {100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}, N = {accuracy['n']}"
        rows.append(("test top-1", f"{100 * accuracy['top1']:.1f} % ({interval})"))
    rows.append(("module", f"{module.get('kind')} {module.get('name')}, SHA-256 {str(module.get('sha256'))[:16]}..."))
    counts = ", ".join(f"{data.get(part)} {part}" for part in ("train", "validation", "test"))
    rows.append(("photos", f"{counts}, SHA-256 {str(data.get('sha256'))[:16]}..."))
    rows.append(("pixels", contract.get("input", {}).get("preprocessing")))
    rows.append(("golden vectors", len(contract.get("golden", {}).get("vectors", []))))
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in contract.get("versions", {}).items())))
    return rows
