"""What TensorBoard shows of a run: curves and the head's numbers while training, then test accuracy and confusion matrix.

Three runs in one folder: `train` and `validation`, as retrain.py wrote them, and `test`. Tags begin with the phase, so that
`head/accuracy` of all three share a chart. The numbers of the layer come every few evaluations only: they would cost more
than training a small head does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgeretrain.events import EventFile, histogram, image, scalar, text
from edgeretrain.measured import Floats, Measured
from edgeretrain.report.matrix_image import draw_matrix
from edgeretrain.report.networks import network_names

RUNS = ("train", "validation", "test")
LAYERS_SHOWN = 25
"""How often, about, weights, biases and activations are written in the course of training the head."""


class Summaries:
    """The event files of one run below `folder`; a context manager, used by one thread.

    `every`: at how many-th evaluations of the head the layer is written; fine-tuning writes it at each. `append` and when
    files appear: see EventFile. Raises EnvironmentFailure when a file cannot be written.
    """

    def __init__(self, folder: Path, *, every: int = 1, append: bool = False) -> None:
        self.folder, self.every = folder, every
        self.files = {run: EventFile(folder / run, append=append) for run in RUNS}
        self.last = ("head", 0)
        self._stack = ExitStack()
        self._seen: dict[str, int] = {}

    def observe(self, measured: Measured) -> None:
        """Write one evaluation."""
        phase, step = self.last = measured.phase, measured.step
        seen = self._seen[phase] = self._seen.get(phase, 0) + 1
        train = [
            scalar(f"{phase}/cross_entropy", measured.train_loss),
            scalar(f"{phase}/accuracy", measured.train_top1),
        ]
        held = [
            scalar(f"{phase}/cross_entropy", measured.validation_loss),
            scalar(f"{phase}/accuracy", measured.validation_top1),
        ]
        if phase != "head" or seen % self.every == 0:  # what is evaluated less often than the head pays for it easily
            weights, bias = measured.layer()
            train += _numbers(f"{phase}/weights", weights) + _numbers(f"{phase}/biases", bias)
            for values, logits in zip((train, held), measured.logits(), strict=True):
                values += _activations(phase, logits)
        self.files["train"].add(step, train)
        self.files["validation"].add(step, held)

    def finish(self, report: Mapping[str, Any]) -> None:
        """Write the results in `report` (report.json's content) at the last step that was observed."""
        phase, step = self.last
        names = [row["class_name"] for row in report["data"]["classes"]]
        values = [
            scalar(f"{phase}/accuracy", report["accuracy"]["tflite"]["top1"]),
            image("confusion_matrix", *draw_matrix(names, report["confusion"])),
            text("summary", summary(report)),
        ]
        self.files["test"].add(step, values)

    def flush(self) -> None:
        """Bring everything to the disk now, for those who watch."""
        for file in self.files.values():
            file.flush()

    def __enter__(self) -> Summaries:
        for file in self.files.values():
            self._stack.enter_context(file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def layer_interval(steps: int, eval_step_interval: int) -> int:
    """`every` for `Summaries`, so that the head's layer is written about `LAYERS_SHOWN` times."""
    return max(1, round(steps / eval_step_interval / LAYERS_SHOWN))


def summary(report: Mapping[str, Any]) -> str:
    """Markdown of what a run made and how well it does."""
    model, accuracy, data = report["model"], report["accuracy"], report["data"]
    best = accuracy["tflite"]
    counts = ", ".join(f"{sum(row[part] for row in data['classes'])} {part}" for part in RUNS)
    training = report["training"]
    rows = [
        ("final test accuracy", f"{100 * best['top1']:.1f} % (N = {best['n']})"),
        ("95 % interval", f"{100 * best['low']:.1f} to {100 * best['high']:.1f} %"),
        *(
            (
                network_names(report)[name],
                f"{100 * other['top1']:.1f} %, agreement {100 * other['agreement']:.1f} %",
            )
            for name, other in accuracy.items()
            if name != "tflite"
        ),
        (
            "model",
            f"{model['name']}, {model['scheme']}, {model['size_bytes'] / 1000:.0f} kB, {model['input']['dtype']} input",
        ),
        ("module", f"{report['module']['kind']} {report['module']['name']}"),
        ("photos", counts),
        ("classes", ", ".join(f"{i} {row['class_name']}" for i, row in enumerate(data["classes"], 1))),
        ("training", f"{training['steps']} steps, best {training['best_step']}, seed {training['seed']}"),
    ]
    if report.get("command"):
        rows.append(("command", f"`{report['command']}`"))
    cells = "".join(f"| {name} | {value.replace('|', chr(92) + '|')} |\n" for name, value in rows)
    return f"| | |\n| --- | --- |\n{cells}"


def _numbers(tag: str, values: Floats) -> list[bytes]:
    """Mean, standard deviation, extremes and histogram of an array, as retrain.py's variable_summaries."""
    numbers = {"mean": values.mean(), "stddev": values.std(), "max": values.max(), "min": values.min()}
    return [
        *(scalar(f"{tag}/{name}", float(value)) for name, value in numbers.items()),
        histogram(f"{tag}/histogram", values),
    ]


def _activations(phase: str, logits: Floats) -> list[bytes]:
    """Distributions of the logits (retrain.py: pre_activations) and of the probabilities made of them."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return [*_numbers(f"{phase}/pre_activations", logits), *_numbers(f"{phase}/activations", shares)]
