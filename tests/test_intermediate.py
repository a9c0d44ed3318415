"""Exports on the way."""

import numpy as np
import pytest

from edgeretrain.artifact import load_model, verify
from edgeretrain.errors import UsageError
from edgeretrain.images import load_pixels
from edgeretrain.modules.starter import load_starter
from edgeretrain.pipeline import run
from edgeretrain.spec import ModelSpec, TrainSpec
from edgeretrain.storage import sha256
from tests.test_cli import MODEL, STARTER


def test_exports_on_the_way_load_classify_and_differ(command, photos, tmp_path):
    arguments = ("train", "--image-dir", photos, *STARTER, "--steps", 100, "--train-batch-size", 20)
    code, _, err = command(*arguments, "--out", tmp_path / "a", "--intermediate_store_frequency", 25)
    assert code == 0, err
    folder = tmp_path / "a" / "intermediate"
    names = [f"mobilenet_v1_025_128_step_{step:06d}.tflite" for step in (25, 50, 75, 100)]
    assert sorted(path.name for path in folder.iterdir()) == names
    models = [load_model(folder / name) for name in names]
    assert len({sha256(model.flatbuffer) for model in models}) == 4
    for model, step in zip(models, (25, 50, 75, 100), strict=True):
        assert all(check.ok for check in verify(model))
        assert model.labels == ("blue", "green things", "red")
        assert model.contract["step"] == step
        assert "accuracy" not in model.contract
    pixels = [load_pixels(path, [128])[0] for path in sorted((photos / "Red").glob("*.jpg"))[:8]]
    red = [np.mean([model.predict(one)[2] for one in pixels]) for model in models]
    assert red[0] < red[-1]
    assert red[-1] > 0.7
    code, out, _ = command("inspect", folder / names[0])
    assert code == 0
    assert "test top-1" not in out


def test_exports_on_the_way_change_nothing_and_go_where_they_are_asked_to(command, photos, tmp_path):
    arguments = ("train", "--image-dir", photos, *STARTER, "--steps", 60)
    assert command(*arguments, "--out", tmp_path / "a")[0] == 0
    assert not (tmp_path / "a" / "intermediate").exists()
    place = ("--intermediate-output-graphs-dir", tmp_path / "exports")
    code, _, err = command(*arguments, "--out", tmp_path / "b", "--intermediate-store-frequency", 33, *place)
    assert code == 0, err
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["mobilenet_v1_025_128_step_000033.tflite"]
    assert (tmp_path / "a" / MODEL).read_bytes() == (tmp_path / "b" / MODEL).read_bytes()
    code, _, err = command(*arguments, "--out", tmp_path / "c", "--intermediate-store-frequency", 33, *place)
    assert code == 2
    assert "choose another --intermediate-output-graphs-dir, or add --force" in err
    assert not (tmp_path / "c").exists()


def test_exports_on_the_way_need_a_folder(photos):
    with pytest.raises(UsageError, match="--intermediate-store-frequency needs a folder for what it exports"):
        run(photos, load_starter(ModelSpec("025", 128)), TrainSpec(intermediate_store_frequency=10))
