"""Fine-tuning against the head alone: test top-1 of the .tflite, 050/160 on flowers_small.

    python benchmarks/fine_tuning.py ../shared EPOCHS SPLITS [OPTION=VALUE ...]

Splits 0, 1, ... SPLITS - 1; OPTION is a field of TrainSpec (testing_percentage=30 gives tighter intervals from fewer training
photos). The head alone and fine-tuning see the same splits, so differences are paired; +- is the standard error of their mean.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from machine import machine

from edgeretrain.console import Console, print_table
from edgeretrain.modules import load_backbone
from edgeretrain.pipeline import run
from edgeretrain.spec import TrainSpec


def parse(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, type(getattr(TrainSpec, name))(value)


def main() -> None:
    shared, epochs, splits = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    options = dict(map(parse, sys.argv[4:]))
    photos = shared / "data/flowers_small"
    backbone = load_backbone(str(shared / "modules/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"))
    rows, figures = [], []
    for seed in range(splits):
        head = run(photos, backbone, TrainSpec(split_seed=seed, **options))
        spec = TrainSpec(split_seed=seed, fine_tune=epochs, **options)
        tuned = run(photos, backbone, spec, console=Console(stderr=sys.stderr))
        accuracy, how = tuned.report["accuracy"], tuned.report["fine_tuning"]
        figures.append(
            [100 * score["top1"] for score in (head.evaluation.summary(), accuracy["tflite"], accuracy["instrumented"])]
        )
        details = (accuracy["instrumented"]["agreement"], how["best_step"], how["photos_per_s"], how["seconds"])
        rows.append(
            (
                str(seed),
                str(head.evaluation.n),
                *(f"{value:.1f}" for value in figures[-1]),
                f"{figures[-1][1] - figures[-1][0]:+.1f}",
                f"{100 * details[0]:.1f}",
                f"{details[1]} of {how['steps']}",
                f"{details[2]:.0f}",
                f"{details[3]:.0f}",
            )
        )
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    table = np.array(figures)
    gain = table[:, 1] - table[:, 0]
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    means = (f"{value:.1f}" for value in table.mean(axis=0))
    rows.append(("mean", "", *means, f"{gain.mean():+.1f} +- {error:.1f}", "", "", "", ""))
    print("$ python benchmarks/fine_tuning.py ../shared", *sys.argv[2:])
    print(machine())
    headers = (
        "split",
        "N",
        "head",
        "fine-tuned",
        "its network",
        "gain",
        "agreement",
        "best step",
        "photos/s",
        "seconds",
    )
    print_table(headers, rows, title="test top-1 of the .tflite in %", right=range(1, len(headers)))


if __name__ == "__main__":
    main()
