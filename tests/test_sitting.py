import itertools

import numpy as np
import pytest

from edgeretrain import sitting as sittings
from edgeretrain.errors import DataError, UsageError
from edgeretrain.sitting import Sitting, clear
from edgeretrain.spec import TrainSpec
from edgeretrain.train import train_head

SPEC = TrainSpec(steps=60, train_batch_size=20, eval_step_interval=7)


def after(steps):
    """A `stop` that says so when it is asked for the `steps`th time."""
    count = itertools.count(1)
    return lambda: next(count) == steps


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = (random.normal(0, 1, (120, 16)) + y[:, None] * random.normal(0, 1, 16)).astype(np.float32)
    return (x[:90], y[:90]), (x[90:], y[90:])


@pytest.mark.parametrize("steps", [1, 14, 47, 49, 59])
def test_a_head_stopped_anywhere_and_gone_on_with_is_the_same(data, tmp_path, steps):
    whole = train_head(*data, 3, SPEC)
    asked = steps - (steps > 48)  # nobody asks after the last of the 48 steps without fake quantization
    stopped = train_head(*data, 3, SPEC, None, Sitting(tmp_path, {"a": 1}, after(asked)))
    assert stopped.curve.step[-1] == steps
    again = train_head(*data, 3, SPEC, None, Sitting(tmp_path, {"a": 1}))
    assert np.array_equal(again.weights, whole.weights)
    assert np.array_equal(again.head.layer.codes, whole.head.layer.codes)
    assert (again.curve, again.best_step, again.decay) == (whole.curve, whole.best_step, whole.decay)


def test_a_stopped_head_is_the_best_so_far_and_not_the_start(data, tmp_path):
    stopped = train_head(*data, 3, SPEC, None, Sitting(None, {}, after(5)))
    assert stopped.best_step == 5
    assert stopped.weights.any()


def test_state_is_saved_on_the_way_and_another_run_or_damage_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sittings, "SAVE_SECONDS", 0.0)
    train_head(*data, 3, SPEC, None, Sitting(tmp_path, {"steps": 60}))
    saved = Sitting(tmp_path, {"steps": 60}).load("head")
    assert saved.step == 59  # the last step needs no state
    with pytest.raises(
        UsageError, match=r"head\.npz was made with another steps \(60, now 61\): give the same options"
    ):
        train_head(*data, 3, SPEC, None, Sitting(tmp_path, {"steps": 61}))
    with pytest.raises(DataError, match="arrays are not those of this head: delete it to begin again"):
        train_head(
            (data[0][0][:, :8], data[0][1]), (data[1][0][:, :8], data[1][1]), 3, SPEC, None, Sitting(tmp_path, {})
        )
    (tmp_path / "head.npz").write_bytes((tmp_path / "head.npz").read_bytes()[:-200])
    with pytest.raises(DataError, match=r"head\.npz is damaged"):
        Sitting(tmp_path, {}).load("head")


def test_without_a_folder_nothing_is_written_and_clear_removes_what_a_kill_left(tmp_path):
    assert not Sitting().due()
    Sitting().save("head", 1, 0.0, [], [])
    folder = tmp_path / "checkpoints"
    Sitting(folder).save("head", 1, 0.0, [], [np.zeros(3)])
    (folder / ".head.npz.abc.partial").write_bytes(b"half")
    clear(folder)
    assert list(tmp_path.iterdir()) == []
    clear(folder)
