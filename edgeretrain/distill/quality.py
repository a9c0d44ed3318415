"""How near a student is to its teacher, and how good its embeddings are for a classifier; both of the int8 files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.dataset import Listing, list_photos
from edgeretrain.embed import Embedded, Extractor, as_matrix, cache_file, embed_photos
from edgeretrain.errors import DataError
from edgeretrain.evaluate import Evaluation
from edgeretrain.spec import TrainSpec
from edgeretrain.storage import cache_dir
from edgeretrain.train import train_head

Floats = NDArray[np.float32]

RIDGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Strengths of the regression's penalty, relative to the mean variance of the features."""
FOLDS = 5
PROBE_STEPS = 400
_FLOOR = 0.1  # least spread of a teacher's feature, relative to the mean one: a dead feature must not become noise


def spread_of(targets: Floats) -> tuple[Floats, Floats]:
    """(mean, standard deviation) float32 [features] of the teacher's embeddings [N, features]; see `_FLOOR`."""
    spread = targets.std(axis=0)
    return targets.mean(axis=0), np.maximum(spread, _FLOOR * (spread.mean() or 1)).astype(np.float32)


def regression(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Ridge regression (weights [features, targets], bias [targets]) of y [N, targets] on x [N, features].

    The penalty is the one of `RIDGES` that does best on the last fifth of the rows, when fitted on the others.
    """
    cut = max(1, len(x) - max(1, len(x) // 5))
    errors = [float(((_predict(x[cut:], _ridge(x[:cut], y[:cut], r)) - y[cut:]) ** 2).mean()) for r in RIDGES]
    return _ridge(x, y, RIDGES[int(np.argmin(errors))])


def _ridge(x: Floats, y: Floats, strength: float) -> tuple[Floats, Floats]:
    mean_x, mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    centred = x - mean_x
    gram = centred.T @ centred
    penalty = strength * (np.trace(gram) / len(gram) or 1.0)
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T @ (y - mean_y))
    return weights.astype(np.float32), (mean_y - mean_x @ weights).astype(np.float32)


def _predict(x: Floats, layer: tuple[Floats, Floats]) -> Floats:
    result: Floats = x @ layer[0] + layer[1]
    return result


def similarity(fit: tuple[Floats, Floats], held_back: tuple[Floats, Floats]) -> dict[str, float]:
    """How much of the teacher's embeddings a linear layer reads out of the student's: (student's, teacher's) of photos to
    fit the layer on, and of photos held back that are measured.

    explained_variance: 1 - error / variance of the teacher's standardized features. cosine: mean over photos of the cosine
    between what is read out and the teacher's features, both less their mean over the photos that were fitted, or any two
    photos would look alike; cosine_low to cosine_high is the mean's 95 % interval.
    """
    mean, spread = spread_of(fit[1])
    truth = (held_back[1] - mean) / spread
    found = _predict(held_back[0], regression(fit[0], (fit[1] - mean) / spread))
    variance = float(((truth - truth.mean(axis=0)) ** 2).sum()) or 1.0
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(truth, axis=1)
    cosines = (found * truth).sum(axis=1) / np.where(norms > 0, norms, 1)
    cosine, half = float(cosines.mean()), 1.96 * float(cosines.std()) / len(cosines) ** 0.5
    return {
        "explained_variance": 1 - float(((truth - found) ** 2).sum()) / variance,
        "cosine": cosine,
        "cosine_low": cosine - half,
        "cosine_high": cosine + half,
        "n": len(truth),
        "fitted_on": len(fit[0]),
    }


def linear_probe(
    folder: Path, extractors: Sequence[Extractor], *, jobs: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Top-1 of a softmax layer on the embeddings of each extractor, by 5-fold cross-validation on a labelled folder.

    Every photo is tested once, by a layer that never saw it; copies count once. Each result has top1, its 95 % Wilson
    interval, correct, n, and `folds`, the top-1 of each fold. Raises DataError for a folder that cannot be used.
    """
    listing = list_photos(folder)
    paths = [file.path for file in listing.files]
    embedded = embed_photos(paths, extractors, cache=cache_file(cache_dir()), jobs=jobs)
    rows, folds = _folds(listing, embedded)
    labels = np.array([listing.files[row].label for row in rows], np.int64)
    return [
        _probe(as_matrix(embedded, rows, extractor, index), labels, folds, listing.class_names, seed)
        for index, extractor in enumerate(extractors)
    ]


def _folds(listing: Listing, embedded: Sequence[Embedded]) -> tuple[list[int], NDArray[np.int64]]:
    """Rows of the usable photos, and the fold of each: by content, evenly within each class."""
    seen: set[bytes] = set()
    classes: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
    for row, (file, item) in enumerate(zip(listing.files, embedded, strict=True)):
        if item.codes is not None and item.digest is not None and item.digest not in seen:
            seen.add(item.digest)
            classes[file.label].append((item.digest, row))
    for label, name in enumerate(listing.class_names):
        if len(classes[label]) < FOLDS:
            raise DataError(
                f"class {name!r} of {listing.folder} has {len(classes[label])} different usable photos; "
                f"a probe in {FOLDS} parts needs at least {FOLDS}"
            )
    chosen = [(row, place % FOLDS) for members in classes.values() for place, (_, row) in enumerate(sorted(members))]
    return [row for row, _ in chosen], np.array([fold for _, fold in chosen], np.int64)


def _probe(
    x: Floats, labels: NDArray[np.int64], folds: NDArray[np.int64], class_names: tuple[str, ...], seed: int
) -> dict[str, Any]:
    predicted = np.zeros_like(labels)
    for fold in range(FOLDS):
        test = folds == fold
        rest = np.random.default_rng((seed, fold)).permutation(np.flatnonzero(~test))
        cut = max(1, len(rest) // 8)
        validation, training = rest[:cut], rest[cut:]
        trained = train_head(
            (x[training], labels[training]),
            (x[validation], labels[validation]),
            len(class_names),
            TrainSpec(seed=seed, steps=PROBE_STEPS),
        )
        predicted[test] = trained.logits(x[test]).argmax(axis=1)
    hits = predicted == labels
    parts = [float(hits[folds == fold].mean()) for fold in range(FOLDS)]
    return {**Evaluation(class_names, labels, predicted).summary(), "folds": parts}
