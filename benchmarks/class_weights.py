"""What `--class-weights auto` does where one class is rare: 050/160 on flowers_small.

    python benchmarks/class_weights.py ../shared [SPLITS]

Of each class in turn all but 15 training and 2 validation photos are left out; the test photos stay. The third line weighs
the training loss only and lets the plain validation loss choose decay and step, to see what weighing both is worth.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from machine import machine

from edgeretrain import train as training
from edgeretrain.console import print_table
from edgeretrain.embed import as_matrix, make_extractor
from edgeretrain.modules import load_backbone
from edgeretrain.reading import load_dataset
from edgeretrain.spec import TrainSpec

WAYS = {"none": "none", "auto": "auto", "auto, chosen by plain loss": "auto"}
KEPT_TRAIN, KEPT_VALIDATION = 15, 2
weighted_losses = training._Path.losses


def plain_losses(path, x, y, quantized):
    weights, path.class_weights = path.class_weights, np.ones_like(path.class_weights)
    try:
        return weighted_losses(path, x, y, quantized)
    finally:
        path.class_weights = weights


def main() -> None:
    shared = Path(sys.argv[1])
    splits = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    extractor = make_extractor(
        load_backbone(str(shared / "modules/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"))
    )
    scores = {way: [] for way in WAYS}
    for split in range(splits):
        dataset, embedded = load_dataset(shared / "data/flowers_small", [extractor], TrainSpec(split_seed=split))

        def part(photos, embedded=embedded):
            return as_matrix(embedded, [p.row for p in photos], extractor), np.array([p.label for p in photos])

        classes = len(dataset.class_names)
        x, truth = part(dataset.test)
        for rare in range(classes):

            def thinned(photos, count, rare=rare):
                few = [photo for photo in photos if photo.label == rare][:count]
                return part([photo for photo in photos if photo.label != rare or photo in few])

            train, validation = thinned(dataset.train, KEPT_TRAIN), thinned(dataset.validation, KEPT_VALIDATION)
            for way, weights in WAYS.items():
                training._Path.losses = plain_losses if "plain" in way else weighted_losses
                trained = training.train_head(train, validation, classes, TrainSpec(class_weights=weights))
                right = trained.logits(x).argmax(axis=1) == truth
                recalls = [right[truth == label].mean() for label in range(classes)]
                scores[way].append((recalls[rare], np.mean(recalls), right.mean()))
    base, rows = 100 * np.array(scores["none"]), []
    for way, found in scores.items():
        values = 100 * np.array(found)
        difference = values - base
        error = difference.std(axis=0, ddof=1) / len(values) ** 0.5
        rows.append(
            (
                way,
                *(
                    f"{v:.1f} ({d:+.1f} +- {e:.1f})"
                    for v, d, e in zip(values.mean(axis=0), difference.mean(axis=0), error, strict=True)
                ),
            )
        )
    print(f"$ python benchmarks/class_weights.py ../shared {splits}")
    print(machine())
    title = f"unquantized head, {len(base)} trainings a line (splits x rare classes), in % (paired difference to none)"
    print_table(
        ("--class-weights", "recall of the rare class", "mean recall", "top-1"), rows, title=title, right=(1, 2, 3)
    )


if __name__ == "__main__":
    main()
