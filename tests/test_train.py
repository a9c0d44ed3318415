import numpy as np
import pytest

from edgeretrain.softmax_path import SoftmaxPath
from edgeretrain.spec import TrainSpec
from edgeretrain.train import class_weights, head_logits, train_head


def blobs(classes=4, per_class=60, features=32, spread=1.0, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (classes, features))
    labels = np.repeat(np.arange(classes), per_class)
    order = random.permutation(len(labels))
    data = centres[labels] + random.normal(0, spread, (len(labels), features)) + 3
    return data[order].astype(np.float32), labels[order].astype(np.int64)


def parts(data):
    x, y = data
    third = len(y) // 3
    return (x[:third], y[:third]), (x[third : 2 * third], y[third : 2 * third]), (x[2 * third :], y[2 * third :])


def top1(trained, data):
    return float((trained.logits(data[0]).argmax(axis=1) == data[1]).mean())


def test_separable_classes_are_learnt():
    train, validation, test = parts(blobs())
    trained = train_head(train, validation, 4, TrainSpec())
    assert top1(trained, test) >= 0.97


def test_random_labels_stay_near_chance():
    (x, y), validation, test = parts(blobs(per_class=150))
    random = np.random.default_rng(1)
    noise = lambda data: (data[0], random.permutation(data[1]))  # noqa: E731
    trained = train_head((x, random.permutation(y)), noise(validation), 4, TrainSpec())
    assert top1(trained, noise(test)) < 0.45


def test_integer_head_answers_like_the_unquantized_one():
    train, validation, test = parts(blobs(spread=2.5, per_class=200))
    trained = train_head(train, validation, 4, TrainSpec())
    codes = head_logits(trained.head, test[0])
    assert codes.dtype == np.int8
    assert (codes.argmax(axis=1) == trained.logits(test[0]).argmax(axis=1)).mean() >= 0.97
    real = (codes.astype(np.float32) - trained.head.logit_zero_point) * trained.head.logit_scale
    assert np.abs(real - trained.logits(test[0])).max() < 4 * trained.head.logit_scale
    assert np.abs(codes.astype(int)).max() < 128


def test_same_seed_gives_the_same_head_and_another_one_not():
    train, validation, _ = parts(blobs(per_class=120, spread=3))  # more photos than a batch holds
    heads = [train_head(train, validation, 4, TrainSpec(seed=seed)) for seed in (0, 0, 1)]
    assert np.array_equal(heads[0].weights, heads[1].weights)
    assert not np.array_equal(heads[0].weights, heads[2].weights)


def test_validation_chooses_strong_decay_for_noise_and_weak_for_clean_data():
    clean = train_head(*parts(blobs(spread=0.1, per_class=90))[:2], 4, TrainSpec())
    noisy = train_head(*parts(blobs(spread=6.0, per_class=30, features=200))[:2], 4, TrainSpec())
    assert clean.decay < noisy.decay


def test_options_steer_the_training():
    train, validation, _ = parts(blobs())
    trained = train_head(train, validation, 4, TrainSpec(steps=50, eval_step_interval=20))
    assert trained.curve.step == [20, 40, 50]
    assert trained.best_step <= 50
    few = train_head(train, validation, 4, TrainSpec(steps=3, learning_rate=1e-6))
    assert np.abs(few.weights).max() < 1e-4
    full = train_head(train, validation, 4, TrainSpec(steps=50, train_batch_size=-1, validation_batch_size=10))
    assert len(full.curve.step) == len(full.curve.validation_top1)
    assert all(round(value * 10, 3) == round(value * 10) for value in full.curve.validation_top1)


def test_curve_falls_and_best_step_is_its_minimum():
    train, validation, _ = parts(blobs(spread=2))
    trained = train_head(train, validation, 4, TrainSpec())
    curve = trained.curve
    assert curve.step == sorted(curve.step)
    assert curve.validation_loss[-1] < curve.validation_loss[0]
    assert trained.best_step in [0, *curve.step]


def test_observers_see_each_evaluation_and_change_nothing():
    train, validation, _ = parts(blobs(spread=2, per_class=120))
    seen, layers = [], {}

    def observe(measured):
        seen.append(measured)
        weights, bias = layers[measured.step] = measured.layer()
        batch, held = measured.logits()
        assert batch.shape == (100, 4)
        if measured.step < 240:  # later the logits are quantized
            assert np.allclose(held, validation[0] @ weights + bias, atol=1e-3)
        assert float((held.argmax(axis=1) == validation[1]).mean()) == pytest.approx(measured.validation_top1)
        codes = head_logits(measured.head(), validation[0])
        assert (codes.argmax(axis=1) == held.argmax(axis=1)).mean() > 0.95

    spec = TrainSpec(steps=300)
    trained, alone = train_head(train, validation, 4, spec, observe), train_head(train, validation, 4, spec)
    for name in ("step", "train_loss", "train_top1", "validation_loss", "validation_top1"):
        assert [getattr(measured, name) for measured in seen] == getattr(trained.curve, name)
    assert {measured.phase for measured in seen} == {"head"}
    assert np.array_equal(layers[trained.best_step][0], trained.weights)
    assert np.array_equal(layers[trained.best_step][1], trained.bias)
    assert np.array_equal(trained.weights, alone.weights)
    assert trained.curve == alone.curve


def test_exports_on_the_way_are_seen_but_do_not_choose():
    train, validation, _ = parts(blobs(spread=2))
    steps = []
    spec = TrainSpec(steps=100, eval_step_interval=30, intermediate_store_frequency=16)
    trained = train_head(train, validation, 4, spec, lambda measured: steps.append(measured.step))
    alone = train_head(train, validation, 4, TrainSpec(steps=100, eval_step_interval=30))
    assert alone.curve.step == [30, 60, 80, 100]
    assert steps == trained.curve.step == sorted({*alone.curve.step, *range(16, 97, 16)})
    assert np.array_equal(trained.weights, alone.weights)
    assert trained.best_step == alone.best_step


@pytest.mark.parametrize("classes", [2, 150])
def test_few_and_many_classes_train(classes):
    train, validation, test = parts(blobs(classes, per_class=12, features=64, spread=0.3))
    trained = train_head(train, validation, classes, TrainSpec(steps=200))
    assert top1(trained, test) > 0.9
    assert trained.head.classes == classes


def test_constant_embeddings_do_not_break_it():
    x = np.full((30, 8), 2.0, np.float32)
    y = np.arange(30) % 3
    trained = train_head((x, y), (x, y), 3, TrainSpec(steps=20))
    assert np.isfinite(trained.weights).all()
    assert np.isfinite(head_logits(trained.head, x)).all()


def test_class_weights_are_inverse_to_counts_with_mean_one():
    labels = np.repeat([0, 1, 3], [60, 30, 10])
    weights = class_weights(labels, 4)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [100 / 180, 100 / 90, 0, 100 / 30], rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1)


def test_equal_classes_are_weighted_by_one():
    train, validation, _ = parts(blobs(classes=3, per_class=99))
    train = tuple(np.concatenate([part[train[1] == label][:20] for label in range(3)]) for part in train)
    plain, weighted = (train_head(train, validation, 3, TrainSpec(steps=30, class_weights=w)) for w in ("none", "auto"))
    assert np.array_equal(plain.weights, weighted.weights)
    assert plain.curve == weighted.curve


def test_a_weight_counts_like_repeated_photos():
    """The gradient of photos that weigh three times as much is that of a set which holds each of them three times."""
    (x, y), _, _ = parts(blobs(classes=2, per_class=90, spread=3.0))
    rare, common = np.flatnonzero(y == 0)[:10], np.flatnonzero(y == 1)[:30]
    few, many = np.concatenate([rare, common]), np.concatenate([rare, rare, rare, common])
    start = (np.random.default_rng(0).normal(0, 0.1, (32, 2)).astype(np.float32), np.float32([0.3, -0.2]))
    weighted = SoftmaxPath(start, [0.01], class_weights(y[few], 2), steps=1, rate=0.01)
    repeated = SoftmaxPath(start, [0.01], np.ones(2, np.float32), steps=1, rate=0.01)
    losses = weighted.losses(x[few], y[few])[0], repeated.losses(x[many], y[many])[0]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    weighted.step(x[few], y[few], 1, 0.01)
    repeated.step(x[many], y[many], 1, 0.01)
    for one, other in zip(weighted.first, repeated.first, strict=True):  # a tenth of the gradients
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
