"""`edgeretrain modules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeretrain.cli import json_option, load_module, module_options, print_json
from edgeretrain.errors import EnvironmentFailure

if TYPE_CHECKING:
    from edgeretrain.modules.generic import FloatModule


@click.group(epilog="\b\nExamples:\n  edgeretrain modules list\n  edgeretrain modules show --module model.tflite\n")
def modules() -> None:
    """List, show and fetch backbones."""


@modules.command("list", epilog="\b\nExamples:\n  edgeretrain modules list\n  edgeretrain modules list --json\n")
@json_option
def list_modules(as_json: bool) -> None:
    """List the 16 official networks, where they come from, and which are in the cache."""
    from edgeretrain.console import print_table
    from edgeretrain.modules import archive_url, hub_handle, is_cached
    from edgeretrain.spec import GRID

    if as_json:
        cells = [
            {"name": spec.name, "cached": is_cached(spec), "hub": hub_handle(spec), "archive": archive_url(spec)}
            for spec in GRID
        ]
        print_json({"edgeretrain": "modules list", "version": 1, "modules": cells})
        return
    rows = [(spec.name, "yes" if is_cached(spec) else "no", hub_handle(spec)) for spec in GRID]
    print_table(("network", "cached", "--module"), rows)
    click.echo(
        "--module also takes: starter (in the package), a TF1-Hub module or TF2 SavedModel folder, a .tar.gz, a hosted "
        "quantized .tflite or a Keras file (paths or URLs). Float networks go through post-training quantization."
    )


@modules.command(
    "show",
    epilog="\b\nExamples:\n  edgeretrain modules show --width 050 --res 160\n  edgeretrain modules show --module m.tar.gz\n",
)
@module_options
@json_option
def show(module: str, width: str | None, res: str | None, offline: bool, timeout: float, as_json: bool) -> None:
    """Print a backbone as a table of layers; for the starters, how they were made too.

    Of a float module: what it takes and gives, and the route that `train` takes with it.
    """
    from edgeretrain.backbone import Backbone
    from edgeretrain.console import print_table
    from edgeretrain.modules.starter import starter_card

    backbone = load_module(module, width, res, offline, timeout)
    if not isinstance(backbone, Backbone):
        _show_float(backbone, as_json)
        return
    side = backbone.spec.res
    layers: list[dict[str, Any]] = []
    for shape, layer in zip(backbone.table, backbone.layers, strict=True):
        side = -(-side // shape.stride)
        codes, _, changed = layer.per_channel
        layers.append(
            {
                "name": shape.name,
                "weights": list(shape.weights),
                "stride": shape.stride,
                "output": [side, side, shape.channels],
                "macs": side * side * layer.codes.size,
                "range_max": 255 * float(layer.activation_scale),
                "identical_codes": 1 - changed / codes.size,
            }
        )
    if as_json:
        source = {"kind": backbone.source.kind, "name": backbone.source.name, "sha256": backbone.source.sha256}
        document = {"edgeretrain": "modules show", "version": 1, "name": backbone.spec.name, "source": source}
        document["route"] = backbone.route
        print_json({**document, "input_range": list(backbone.input_range), "layers": layers})
        return
    rows = [
        (
            layer["name"],
            " x ".join(map(str, layer["weights"])),
            layer["stride"],
            " x ".join(map(str, layer["output"])),
            f"{layer['macs'] / 1e6:.2f}",
            f"{layer['range_max']:.3f}",
            f"{100 * layer['identical_codes']:.2f}",
        )
        for layer in layers
    ]
    headers = ("layer", "weights", "stride", "output", "MMACs", "range max", "codes kept %")
    print_table(headers, rows, right=(2, 4, 5, 6), title=f"{backbone.spec.name} ({backbone.source.kind})")
    total = sum(layer["macs"] for layer in layers) / 1e6
    click.echo(
        f"{total:.1f} MMACs, {backbone.parameter_bytes:,} bytes of int8 weights and int32 biases, input range "
        f"{backbone.input_range[0]:g} to {backbone.input_range[1]:g}, {backbone.identical_codes:.2%} of codes kept, "
        f"SHA-256 {backbone.source.sha256}"
    )
    if backbone.source.kind == "starter":
        click.echo(f"\n{starter_card()}")


def _show_float(module: FloatModule, as_json: bool) -> None:
    spec, source = module.spec, module.source
    if as_json:
        facts = {"edgeretrain": "modules show", "version": 1, "name": spec.name, "route": module.route}
        facts["source"] = {"kind": source.kind, "name": source.name, "sha256": source.sha256}
        facts |= {"res": spec.res, "any_res": module.any_res, "features": spec.features}
        print_json({**facts, "input_range": None if module.pixels is None else list(module.pixels)})
        return
    sizes = ", other sizes too (--res)" if module.any_res else ""
    pixels = "not said (give --input-range)" if module.pixels is None else "{:g} to {:g}".format(*module.pixels)
    click.echo(
        f"{spec.name} ({source.kind} {source.name})\n"
        f"Route: {module.route} quantization, calibrated on training photos\n"
        f"Input: float32 pictures of {spec.res} x {spec.res} px{sizes}, range {pixels}\n"
        f"Output: {spec.features} features\n"
        f"SHA-256 {source.sha256}"
    )


@modules.command(
    "fetch",
    epilog="\b\nExamples:\n  edgeretrain modules fetch --width 050 --res 160\n"
    "  edgeretrain modules fetch --module https://example.org/mobilenet_v1_0.5_160_quant.tgz\n",
)
@module_options
def fetch(module: str, width: str | None, res: str | None, offline: bool, timeout: float) -> None:
    """Read a module once and keep its backbone in the cache, for later runs without a network."""
    backbone = load_module(module, width, res, offline, timeout, retry=True)
    if backbone.source.kind == "starter" and module == "auto":
        raise EnvironmentFailure(f"the official {backbone.spec.name} is not to be had now: give --module a local file")
    click.echo(f"{backbone.spec.name} from {backbone.source.name} is at hand without a network")
