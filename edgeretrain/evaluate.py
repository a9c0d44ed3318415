"""Accuracy with intervals, per class, and agreement: of anything that predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeretrain.artifact import Model
from edgeretrain.console import Console
from edgeretrain.dataset import Listing, list_photos, normalize_class_name, split_photos
from edgeretrain.embed import embed_photos
from edgeretrain.errors import DataError
from edgeretrain.images import load_pixels
from edgeretrain.parallel import ordered_map
from edgeretrain.stats import wilson

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """How well predictions meet the truth.

    truth, predicted: int64 [N] labels. confusion: int64 [C, C], rows are the truth.
    """

    class_names: tuple[str, ...]
    truth: Labels
    predicted: Labels

    @property
    def n(self) -> int:
        """Photos evaluated."""
        return len(self.truth)

    @property
    def correct(self) -> int:
        """Photos classified rightly."""
        return int((self.truth == self.predicted).sum())

    @property
    def top1(self) -> float:
        """Fraction classified rightly."""
        return self.correct / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of `top1`."""
        return wilson(self.correct, self.n)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 [C, C]: photos of class row that were taken for class column."""
        count = len(self.class_names)
        return np.bincount(self.truth * count + self.predicted, minlength=count * count).reshape(count, count)

    def per_class(self) -> list[dict[str, Any]]:
        """Precision, recall (None where undefined) and support of each class."""
        confusion = self.confusion
        rows = []
        for label, name in enumerate(self.class_names):
            hits = int(confusion[label, label])
            found, support = int(confusion[:, label].sum()), int(confusion[label].sum())
            precision = hits / found if found else None
            recall = hits / support if support else None
            rows.append({"class_name": name, "precision": precision, "recall": recall, "support": support})
        return rows

    def summary(self) -> dict[str, Any]:
        """top1, its interval and N, for reports."""
        low, high = self.interval
        return {"top1": self.top1, "low": low, "high": high, "correct": self.correct, "n": self.n}

    def text(self) -> str:
        """`86.0 % (95 % interval 77.9 to 91.5, N = 100)`."""
        low, high = self.interval
        return f"{self.top1:.1%} (95 % interval {100 * low:.1f} to {100 * high:.1f}, N = {self.n})".replace(
            "%", " %", 1
        )


def agreement(a: Evaluation, b: Evaluation) -> float:
    """Fraction of photos on which both give the same answer."""
    return float((a.predicted == b.predicted).mean()) if a.n else 1.0


def predict_photos(
    model: Model, paths: Sequence[Path], *, jobs: int | None = None, advance: Callable[[int], None] = lambda n: None
) -> list[NDArray[np.float32] | str]:
    """Probabilities float32 [classes] of each photo, or the reason why it cannot be used; in parallel, in order."""

    def one(path: Path) -> NDArray[np.float32] | str:
        try:
            (pixels,) = load_pixels(path, [model.res])
        except DataError as error:
            return str(error)
        return model.predict(pixels)

    return ordered_map(one, paths, jobs=jobs, done=lambda result: advance(1))


@dataclass(frozen=True)
class FolderResult:
    """A model's answers on a folder: `which` photos (test or all), their names, and the files left out with reasons."""

    evaluation: Evaluation
    which: str
    names: tuple[str, ...]
    confidence: tuple[float, ...]
    rejected: tuple[tuple[str, str], ...]

    def misclassified(self) -> list[dict[str, Any]]:
        """path, truth, predicted and confidence of every wrong answer."""
        labels = self.evaluation.class_names
        found = zip(self.names, self.evaluation.truth, self.evaluation.predicted, self.confidence, strict=True)
        return [
            {"path": name, "truth": labels[truth], "predicted": labels[answer], "confidence": round(sure, 4)}
            for name, truth, answer, sure in found
            if truth != answer
        ]


def evaluate_folder(
    model: Model, folder: Path, which: str = "auto", *, jobs: int | None = None, console: Console | None = None
) -> FolderResult:
    """Evaluate `model` on the photos of `folder`, whose class folders must be classes of the model.

    `which`: all, test (the test part of the model's own split), or auto: test if this is the data the model was trained on.
    Raises DataError for classes the model does not know, and for `test` when the model was trained on other photos.
    """
    console = console or Console(quiet=True)
    listing = list_photos(folder, to_train=False)
    labels = {normalize_class_name(label): i for i, label in reversed(list(enumerate(model.labels)))}
    unknown = [name for name in listing.class_names if name not in labels]
    if unknown:
        known = ", ".join(model.labels[:5]) + (", ..." if len(model.labels) > 5 else "")
        raise DataError(f"{model.name} does not know the class {unknown[0]!r} of {folder}; it knows {known}")
    files = list(listing.files)
    test = None if which == "all" else _test_files(model, listing, jobs)
    if test is None and which == "test":
        raise DataError(f"{model.name} was not trained on exactly the photos of {folder}: use --photos all")
    if test is not None:
        files = [file for file in files if file.name in test]
        console.say("These are the photos the model was trained on: only its test photos count.")
    with console.progress("Classifying photos", len(files)) as advance:
        answers = predict_photos(model, [file.path for file in files], jobs=jobs, advance=advance)
    rejected = [(item.name, item.reason) for item in listing.rejected]
    rejected += [(file.name, answer) for file, answer in zip(files, answers, strict=True) if isinstance(answer, str)]
    good = [(file, answer) for file, answer in zip(files, answers, strict=True) if not isinstance(answer, str)]
    if not good:
        raise DataError(
            f"{folder} has no photo that can be used; the first problem: {rejected[0][0]}: {rejected[0][1]}"
        )
    truth = np.array([labels[listing.class_names[file.label]] for file, _ in good], np.int64)
    predicted = np.array([int(answer.argmax()) for _, answer in good], np.int64)
    return FolderResult(
        Evaluation(model.labels, truth, predicted),
        "all" if test is None else "test",
        tuple(file.name for file, _ in good),
        tuple(float(answer.max()) for _, answer in good),
        tuple(rejected),
    )


def _test_files(model: Model, listing: Listing, jobs: int | None) -> set[str] | None:
    """Names of the test photos, if `listing` is the data set that the model's contract names; else None."""
    data = (model.contract or {}).get("data")
    if not isinstance(data, dict):
        return None
    checked = embed_photos([file.path for file in listing.files], [], cache=None, jobs=jobs)
    try:
        dataset = split_photos(
            listing,
            [item.digest for item in checked],
            [item.reason for item in checked],
            validation_percentage=float(data["validation_percentage"]),
            testing_percentage=float(data["testing_percentage"]),
            seed=int(data["split_seed"]),
        )
    except (DataError, KeyError, TypeError, ValueError):
        return None
    return {photo.name for photo in dataset.test} if dataset.digest == data.get("sha256") else None
