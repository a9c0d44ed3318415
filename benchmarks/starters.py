"""Starters against random weights and the official weights: a linear probe at each width's native cell.

    python benchmarks/starters.py ../shared/hosted ../shared/data/flowers_small

The first folder holds Google's hosted quantized files (any .tflite that `--module` takes, one per width). The probe is that
of `edgeretrain distill --labelled`: a softmax layer on the embeddings of the int8 files, 5 splits of 80/20 in which every
photo is tested once, so the mean of the splits is a proportion of N photos. Prints a Markdown table. A minute or two.
"""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

from edgeretrain.artifact import versions
from edgeretrain.backbone import Backbone
from edgeretrain.distill.quality import linear_probe
from edgeretrain.distill.run import random_backbone
from edgeretrain.embed import make_extractor
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.modules import load_backbone
from edgeretrain.modules.starter import load_starter
from edgeretrain.spec import WIDTHS


def official_networks(folder: Path) -> dict[str, Backbone]:
    """The hosted backbones in `folder`, by width."""
    found = {}
    for path in sorted(folder.glob("*.tflite")):
        try:
            backbone = load_backbone(str(path))
        except EnvironmentFailure:  # a head without a backbone, say
            continue
        found[backbone.spec.width] = backbone
    return found


def main() -> None:
    hosted, photos = Path(sys.argv[1]), Path(sys.argv[2])
    official = official_networks(hosted)
    began = time.perf_counter()
    print("| cell | weights | top-1 % | 95 % interval | lowest to highest split | N |")
    print("|---|---|---|---|---|---|")
    for width in WIDTHS:
        spec = official[width].spec
        networks = {"random": random_backbone(spec, 0), "starter": load_starter(spec), "official": official[width]}
        scores = linear_probe(photos, [make_extractor(network) for network in networks.values()])
        for name, score in zip(networks, scores, strict=True):
            cells = (
                f"{width} / {spec.res}",
                name,
                f"{100 * score['top1']:.1f}",
                f"{100 * score['low']:.1f} to {100 * score['high']:.1f}",
                f"{100 * min(score['folds']):.1f} to {100 * max(score['folds']):.1f}",
                str(score["n"]),
            )
            print(f"| {' | '.join(cells)} |", flush=True)
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    print(f"\n{time.perf_counter() - began:.0f} s on {platform.machine()}; Python {platform.python_version()}, {used}.")


if __name__ == "__main__":
    main()
