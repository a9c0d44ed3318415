import numpy as np
import pytest

from edgeretrain.check import check_answers, check_integers
from edgeretrain.errors import QualityError
from edgeretrain.write import write_model
from tests.test_write import random_head

NAMES = tuple(f"photo{i}.jpg" for i in range(20))
CLASSES = ("cat", "dog")


def test_integer_models_pass(backbone):
    check_integers(write_model(backbone, random_head(256)), "uint8")
    check_integers(write_model(backbone, random_head(256), io_type="float32"), "float32")


def test_a_float_tensor_is_named(backbone):
    with pytest.raises(QualityError, match=r"tensor 'image' is float32, not an integer; nothing was exported"):
        check_integers(write_model(backbone, random_head(256), io_type="float32"), "uint8")
    with pytest.raises(QualityError, match="is float32, not an integer"):
        check_integers(write_model(backbone, random_head(256), scheme="float32"), "float32")


def test_a_model_that_does_not_run_is_refused(backbone):
    with pytest.raises(QualityError, match="the written model does not run"):
        check_integers(write_model(backbone, random_head(256))[:5000], "uint8")


def test_a_model_that_always_answers_one_class_is_refused():
    with pytest.raises(QualityError, match=r"the model answers 'dog' for all 20 photos tried, such as photo0\.jpg"):
        check_answers(NAMES, np.ones(20, int), np.arange(20) % 2, CLASSES, "int8")
    assert check_answers(NAMES[:5], np.ones(5, int), np.ones(5, int), CLASSES, "int8") == 1


def test_disagreement_with_the_trained_head_is_refused_by_photo():
    trained = np.arange(20) % 2
    predicted = trained.copy()
    predicted[[3, 8]] ^= 1
    with pytest.raises(QualityError, match=r"agree on 90\.0% of 20 photos .* differ on photo3\.jpg, photo8\.jpg"):
        check_answers(NAMES, predicted, trained, CLASSES, "int8")
    assert check_answers(NAMES, predicted, trained, CLASSES, "uint8") == 0.9
