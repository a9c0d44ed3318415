import numpy as np
import pytest

from edgeretrain.artifact import load_model
from edgeretrain.errors import DataError
from edgeretrain.evaluate import Evaluation, agreement, evaluate_folder, predict_photos
from edgeretrain.stats import wilson
from tests.conftest import write_photos


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Wilson's interval for 95 %, figures from Newcombe 1998 (Statistics in Medicine 17:857), table I
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_the_published_one(correct, count, low, high):
    assert wilson(correct, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_of_nothing_says_nothing():
    assert wilson(0, 0) == (0, 1)


def test_figures_follow_from_the_answers():
    truth, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 1])
    found = Evaluation(("a", "b", "c"), truth, predicted)
    assert (found.top1, found.correct, found.n) == (4 / 6, 4, 6)
    assert found.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [0, 1, 0]]
    a, b, c = found.per_class()
    assert (a["precision"], a["recall"], a["support"]) == (1, 2 / 3, 3)
    assert (b["precision"], b["recall"]) == (0.5, 1)
    assert (c["precision"], c["recall"]) == (None, 0)
    assert found.text() == "66.7 % (95 % interval 30.0 to 90.3, N = 6)"
    assert agreement(found, Evaluation(("a", "b", "c"), truth, truth)) == 4 / 6


@pytest.fixture
def model(trained):
    return load_model(trained / "mobilenet_v1_025_128.tflite")


def test_new_photos_of_known_classes_are_all_evaluated(model, tmp_path):
    folder = write_photos(tmp_path / "new", 5, {"BLUE": (40, 60, 200), "red": (200, 40, 40)})
    (folder / "red" / "bad.jpg").write_text("no picture")
    result = evaluate_folder(model, folder)
    assert result.which == "all"
    assert result.evaluation.n == 10
    assert result.evaluation.top1 >= 0.9
    assert [name for name, _ in result.rejected] == ["red/bad.jpg"]


def test_photos_the_model_was_trained_on_are_left_out(model, photos):
    result = evaluate_folder(model, photos)
    assert result.which == "test"
    assert result.evaluation.n == model.contract["accuracy"]["n"]
    assert result.evaluation.correct == model.contract["accuracy"]["correct"]
    assert evaluate_folder(model, photos, "all").evaluation.n == 72


def test_unknown_classes_and_other_data_are_refused(model, tmp_path):
    other = write_photos(tmp_path / "other", 4, {"red": (200, 40, 40), "pink": (250, 150, 150)})
    with pytest.raises(DataError, match="does not know the class 'pink' of .*; it knows blue, green things, red"):
        evaluate_folder(model, other)
    new = write_photos(tmp_path / "new", 4, {"red": (200, 40, 40), "blue": (10, 10, 250)})
    with pytest.raises(DataError, match="was not trained on exactly the photos of .*: use --photos all"):
        evaluate_folder(model, new, "test")
    for path in new.rglob("*.jpg"):
        path.write_text("no picture")
    with pytest.raises(DataError, match="has no photo that can be used; the first problem: blue/000.jpg"):
        evaluate_folder(model, new)


def test_predictions_come_in_order_with_reasons_for_bad_pictures(model, photos, tmp_path):
    paths = [photos / "blue/000.jpg", tmp_path / "missing.jpg", photos / "Red/000.jpg"]
    answers = predict_photos(model, paths)
    assert model.labels[int(answers[0].argmax())] == "blue"
    assert answers[1] == "no such file"
    assert model.labels[int(answers[2].argmax())] == "red"
