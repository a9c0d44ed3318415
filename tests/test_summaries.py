"""What TensorBoard shows of a run, read back by TensorBoard itself."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from edgeretrain.measured import Measured
from edgeretrain.report.matrix_image import draw_matrix
from edgeretrain.summaries import RUNS, Summaries, layer_interval
from tests.test_cli import STARTER

LAYER = ("weights", "biases", "pre_activations", "activations")
NUMBERS = ("mean", "stddev", "max", "min")


@pytest.fixture
def runs(trained, tensorboard):
    return {run: tensorboard(trained / "summaries" / run) for run in RUNS}


@pytest.fixture
def report(trained):
    return json.loads((trained / "report.json").read_text())


def measured(step, phase="head", weights=None):
    weights = np.full((4, 3), step, np.float32) if weights is None else weights
    logits = np.array([[step, 0, 0], [0, 0, 9]], np.float32)
    return Measured(
        phase,
        step,
        1 / step,
        0.5,
        2 / step,
        0.25,
        layer=lambda: (weights, weights[0]),
        logits=lambda: (logits, -logits),
        head=lambda: pytest.fail("nobody asked for the head"),
    )


def test_every_tag_of_a_run_is_there(runs):
    shown = {name: [f"head/{name}/{number}" for number in NUMBERS] for name in LAYER}
    curves = {"head/cross_entropy", "head/accuracy"}
    activations = {*shown["pre_activations"], *shown["activations"]}
    tags = {run: found.Tags() for run, found in runs.items()}
    assert set(tags["train"]["scalars"]) == {*curves, *(tag for tags in shown.values() for tag in tags)}
    assert set(tags["train"]["histograms"]) == {f"head/{name}/histogram" for name in LAYER}
    assert set(tags["validation"]["scalars"]) == {*curves, *activations}
    assert set(tags["validation"]["histograms"]) == {f"head/{name}/histogram" for name in LAYER[2:]}
    assert (tags["test"]["scalars"], tags["test"]["images"]) == (["head/accuracy"], ["confusion_matrix"])
    assert tags["test"]["tensors"] == ["summary"]


@pytest.mark.parametrize(
    ("run", "tag", "name"),
    [
        ("train", "cross_entropy", "train_loss"),
        ("train", "accuracy", "train_top1"),
        ("validation", "cross_entropy", "validation_loss"),
        ("validation", "accuracy", "validation_top1"),
    ],
)
def test_curves_are_those_of_the_report(runs, report, run, tag, name):
    curve, found = report["training"]["curve"], runs[run].Scalars(f"head/{tag}")
    assert [event.step for event in found] == curve["step"]
    assert [event.value for event in found] == curve[name]


def test_numbers_of_the_layer_fit_its_histogram(runs):
    for name in LAYER:
        found = runs["train"].Histograms(f"head/{name}/histogram")
        scalars = {number: runs["train"].Scalars(f"head/{name}/{number}") for number in NUMBERS}
        assert [event.step for event in found] == list(range(40, 1001, 40))
        for i, event in enumerate(found):
            values = event.histogram_value
            assert values.num == sum(values.bucket) == {"weights": 256 * 3, "biases": 3}.get(name, values.num)
            assert scalars["min"][i].value == pytest.approx(values.min)
            assert scalars["max"][i].value == pytest.approx(values.max)
            mean = values.sum / values.num
            assert scalars["mean"][i].value == pytest.approx(mean, abs=1e-5)
            spread = (values.sum_squares / values.num - mean**2) ** 0.5
            assert scalars["stddev"][i].value == pytest.approx(spread, abs=1e-4)
    shares = runs["validation"].Histograms("head/activations/histogram")[-1].histogram_value
    assert 0 <= shares.min < shares.max <= 1
    assert shares.sum == pytest.approx(shares.num / 3, rel=1e-5)


def test_results_are_in_the_test_run(runs, report):
    accuracy = report["accuracy"]["tflite"]
    (point,) = runs["test"].Scalars("head/accuracy")
    assert (point.step, point.value) == (1000, pytest.approx(accuracy["top1"]))
    (shown,) = runs["test"].Images("confusion_matrix")
    names = [row["class_name"] for row in report["data"]["classes"]]
    assert shown.encoded_image_string == draw_matrix(names, report["confusion"])[0]
    with Image.open(io.BytesIO(shown.encoded_image_string)) as picture:
        assert (picture.format, picture.size) == ("PNG", (shown.width, shown.height))
    markdown = runs["test"].Tensors("summary")[0].tensor_proto.string_val[0].decode()
    assert f"| final test accuracy | {100 * accuracy['top1']:.1f} % (N = {accuracy['n']}) |" in markdown
    head = report["accuracy"]["head"]
    assert f"| unquantized head | {100 * head['top1']:.1f} %, agreement {100 * head['agreement']:.1f} % |" in markdown
    assert "| classes | 1 blue, 2 green things, 3 red |" in markdown
    assert f"| command | `{report['command']}` |" in markdown


def test_the_confusion_matrix_can_be_read_from_its_picture():
    png, width, height = draw_matrix(["a", "b"], [[3, 1], [0, 4]])
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (width, height)
        pixels = np.asarray(picture).astype(int)
    left = int(np.argmax((pixels[-15] == (27, 36, 48)).all(axis=1)))  # the frame
    top = height - 10 - 128
    cell = {(r, c): pixels[top + 64 * r + 5, left + 64 * c + 5] for r in (0, 1) for c in (0, 1)}
    assert cell[1, 0].tolist() == [255, 255, 255]
    assert cell[1, 1][0] < cell[0, 0][0] < 255  # blue, stronger where all are right
    assert cell[0, 1][0] > cell[0, 1][2] + 10  # orange


@pytest.mark.parametrize("classes", [2, 45, 46, 300])
def test_matrices_of_every_size_and_script_are_drawn(classes):
    names = [f"ёлка {i}" if i % 2 else f"a very, very long name that is cut {i}" for i in range(classes)]
    png, width, height = draw_matrix(names, np.zeros((classes, classes), int).tolist())
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (width, height)
    assert 200 < width < 900


def test_names_beside_the_matrix_are_its_own():
    numbers = [[1, 0], [0, 1]]
    assert (
        draw_matrix(["café", "b"], numbers) == draw_matrix(["cafe", "b"], numbers) != draw_matrix(["c", "b"], numbers)
    )
    assert draw_matrix(["a", "ёлка"], numbers) == draw_matrix(["a", "class 2"], numbers)


def test_phases_are_apart_and_the_test_joins_the_last(tensorboard, tmp_path, report):
    with Summaries(tmp_path, every=2) as summaries:
        for phase, step in (("head", 10), ("head", 20), ("head", 30), ("fine-tune", 1), ("fine-tune", 2)):
            summaries.observe(measured(step, phase))
        summaries.finish(report)
    train, test = tensorboard(tmp_path / "train"), tensorboard(tmp_path / "test")
    assert [e.step for e in train.Scalars("head/cross_entropy")] == [10, 20, 30]
    assert [e.step for e in train.Scalars("fine-tune/cross_entropy")] == [1, 2]
    assert [(e.step, e.value) for e in train.Scalars("head/weights/mean")] == [(20, 20.0)]
    assert [e.step for e in train.Histograms("fine-tune/weights/histogram")] == [1, 2]
    assert [e.step for e in test.Scalars("fine-tune/accuracy")] == [2]


def test_training_can_be_watched_and_continued(tensorboard, tmp_path):
    with Summaries(tmp_path) as summaries:
        summaries.observe(measured(1))
        summaries.flush()
        assert [e.step for e in tensorboard(tmp_path / "validation").Scalars("head/accuracy")] == [1]
    with Summaries(tmp_path, append=True) as summaries:
        summaries.observe(measured(2))
    assert [e.step for e in tensorboard(tmp_path / "validation").Scalars("head/accuracy")] == [1, 2]


@pytest.mark.parametrize(("steps", "interval"), [(1, 1), (1000, 10), (4000, 10), (4000, 1), (20, 10)])
def test_the_layer_is_shown_a_limited_number_of_times(steps, interval):
    every = layer_interval(steps, interval)
    assert 1 <= max(1, steps // interval // every) <= 30


def test_summaries_go_where_they_are_asked_to_and_replace_nothing(command, photos, tmp_path, tensorboard):
    arguments = ("train", "--image-dir", photos, *STARTER, "--how_many_training_steps", 100, "-q")
    logs = tmp_path / "logs"
    code, _, err = command(*arguments, "--out", tmp_path / "a", "--summaries_dir", logs)
    assert code == 0, err
    assert not (tmp_path / "a" / "summaries").exists()
    assert len(tensorboard(logs / "train").Scalars("head/accuracy")) == 10
    code, _, err = command(*arguments, "--out", tmp_path / "b", "--summaries-dir", logs)
    assert code == 2
    assert f"{logs} is not empty and nothing is overwritten: choose another --summaries-dir, or add --force" in err
    assert not (tmp_path / "b").exists()
    code, _, err = command(*arguments, "--out", tmp_path / "b", "--summaries-dir", logs, "--force")
    assert code == 0, err
    assert len(tensorboard(logs / "train").Scalars("head/accuracy")) == 10
    code, _, err = command(*arguments, "--summaries-dir", next(photos.glob("*/*.jpg")))
    assert code == 2
    assert "--summaries-dir expects a folder, and " in err
