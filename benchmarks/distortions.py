"""Distorted copies of training photos against none: test top-1 of the .tflite, 050/160 on flowers_small.

    python benchmarks/distortions.py ../shared [SPLITS] [--one-seed]

The same splits and seeds (0, 1, ...) for every setting, so differences to `none` are paired. The first three splits are also
given on their own. Embeddings come from the cache where it has them: `embed` is the time of a first run. --one-seed: seed 0
for all splits, so that copies come from the cache, and 4 copies only; for many splits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from machine import machine

from edgeretrain.console import print_table
from edgeretrain.modules import load_backbone
from edgeretrain.pipeline import Stages, run
from edgeretrain.spec import TrainSpec

FIRST = 3
STRENGTHS = {
    "none": {},
    "flip": {"flip_left_right": True},
    "flip, crop 10, scale 10, brightness 10": {
        "flip_left_right": True,
        "random_crop": 10.0,
        "random_scale": 10.0,
        "random_brightness": 10.0,
    },
    "flip, crop 20, scale 10, brightness 20": {
        "flip_left_right": True,
        "random_crop": 20.0,
        "random_scale": 10.0,
        "random_brightness": 20.0,
    },
}
COPIES = {"none": (4,), "flip": (1, 4)}  # of a mirrored photo there are only two


def measure(photos, backbone, options, splits, one_seed):
    """Test top-1 per split, validation loss per split, and the mean seconds of embedding and training."""
    top1, loss, seconds = [], [], []
    for seed in range(splits):
        stages = Stages()
        result = run(
            photos, backbone, TrainSpec(split_seed=seed, seed=0 if one_seed else seed, **options), stages=stages
        )
        top1.append(100 * result.evaluation.top1)
        loss.append(min(result.trained.curve.validation_loss))
        seconds.append((stages.seconds["embed"], stages.seconds["train"]))
    return np.array(top1), np.array(loss), np.array(seconds).mean(axis=0), result.evaluation.n


def with_error(values):
    return f"{values.mean():+.2f} +- {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def main() -> None:
    shared = Path(sys.argv[1])
    one_seed = "--one-seed" in sys.argv
    splits = int(sys.argv[2]) if len(sys.argv) > 2 + one_seed else FIRST
    photos = shared / "data/flowers_small"
    backbone = load_backbone(str(shared / "modules/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"))
    rows, base = [], None
    for name, options in STRENGTHS.items():
        for copies in (4,) if one_seed else COPIES.get(name, (1, 2, 4, 8)):
            top1, loss, (embed, train), _ = measure(photos, backbone, {**options, "copies": copies}, splits, one_seed)
            base = base or (top1, loss)
            rows.append(
                (
                    name,
                    str(copies) if options else "-",
                    f"{top1[:FIRST].mean():.2f}",
                    f"{(top1 - base[0])[:FIRST].mean():+.2f}" if options else "-",
                    f"{top1.mean():.2f}",
                    with_error(top1 - base[0]) if options else "-",
                    f"{loss.mean():.4f}",
                    with_error(1000 * (loss - base[1])) if options else "-",
                    f"{embed:.1f}",
                    f"{train:.1f}",
                )
            )
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    headers = (
        *("distortions (%)", "copies", f"top-1, {FIRST} splits", "to none", f"top-1, {splits} splits", "to none"),
        *("validation loss", "to none / 1000", "embed s", "train s"),
    )
    print("$ python benchmarks/distortions.py ../shared", splits, "--one-seed" if one_seed else "")
    print(machine())
    title = "test top-1 of the .tflite in %; +-: standard error of the mean paired difference"
    print_table(headers, rows, title=title, right=range(1, len(headers)))


if __name__ == "__main__":
    main()
