"""Accuracy of 050/160 on flowers_small over five splits: .tflite, unquantized head, fake-quant network, scikit-learn.

    python benchmarks/accuracy.py ../shared [--uint8]

scikit-learn's multinomial logistic regression gets the same embeddings and splits: once with its default C = 1, once with C
chosen on the validation photos among the strengths that our head tries.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from machine import machine
from sklearn.linear_model import LogisticRegression

from edgeretrain.console import print_table
from edgeretrain.embed import as_matrix, make_extractor
from edgeretrain.modules import load_backbone
from edgeretrain.pipeline import run
from edgeretrain.reading import load_dataset
from edgeretrain.spec import TrainSpec
from edgeretrain.train import DECAYS

SPLITS = 5


def logistic(x, y, c):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=c, max_iter=3000).fit(x, y)


def main() -> None:
    shared = Path(sys.argv[1])
    scheme = "uint8" if "--uint8" in sys.argv else "int8"
    photos = shared / "data/flowers_small"
    backbone = load_backbone(str(shared / "modules/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"))
    extractor = make_extractor(backbone)
    rows, disagreements = [], []
    for seed in range(SPLITS):
        spec = TrainSpec(split_seed=seed, seed=seed, scheme=scheme)
        result = run(photos, backbone, spec, instrumented=True)
        dataset, embedded = load_dataset(photos, [extractor], spec)
        (x, y), (vx, vy), (tx, ty) = (
            (as_matrix(embedded, [p.row for p in part], extractor), np.array([p.label for p in part]))
            for part in (dataset.train, dataset.validation, dataset.test)
        )
        plain = logistic(x, y, 1.0).score(tx, ty)
        tuned = max((logistic(x, y, 1 / (decay * len(y))) for decay in DECAYS), key=lambda fit: fit.score(vx, vy))
        scores = result.report["accuracy"]
        rows.append(
            [
                scores["tflite"]["top1"],
                scores["head"]["top1"],
                scores["instrumented"]["top1"],
                plain,
                tuned.score(tx, ty),
                scores["head"]["agreement"],
                scores["instrumented"]["agreement"],
            ]
        )
        n = scores["tflite"]["n"]
        disagreements.append(f"split {seed}: N = {n}")
    table = np.array(rows) * 100
    headers = (
        "split",
        ".tflite",
        "head",
        "fake-quant",
        "sklearn C=1",
        "sklearn tuned",
        "agree head",
        "agree fake-quant",
    )
    lines = [(str(i), *(f"{value:.1f}" for value in row)) for i, row in enumerate(table)]
    lines.append(("mean", *(f"{value:.2f}" for value in table.mean(axis=0))))
    lines.append(("std. error", *(f"{value:.2f}" for value in table.std(axis=0, ddof=1) / SPLITS**0.5)))
    print(machine())
    print_table(headers, lines, title=f"top-1 and agreement in %, {scheme} scheme, 050/160", right=range(1, 8))
    print("; ".join(disagreements))


if __name__ == "__main__":
    main()
