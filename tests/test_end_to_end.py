"""Photos in, a .tflite out: red is called red, and a twin with random labels stays near chance."""

import json
import shutil

import numpy as np
import pytest

from edgeretrain.artifact import load_model, verify
from edgeretrain.console import Console
from edgeretrain.errors import DataError
from edgeretrain.modules import load_backbone
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.modules.starter import load_starter
from edgeretrain.pipeline import Stages, run, save
from edgeretrain.spec import ModelSpec, TrainSpec
from tests.conftest import colour_photo, hosted_file, module_folder

MODEL = "mobilenet_v1_025_128.tflite"


def small():
    return load_starter(ModelSpec("025", 128))


def test_red_is_called_red(trained, tmp_path, command):
    colour_photo((210, 30, 35), 777).save(tmp_path / "new.png")
    code, out, _ = command("predict", trained / MODEL, tmp_path / "new.png", "--json")
    answer = json.loads(out)["photos"][0]["classes"]
    assert code == 0
    assert answer[0]["class_name"] == "red"
    assert answer[0]["probability"] > 0.5


def test_random_labels_stay_near_chance(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for i in range(160):
        colour = tuple(int(v) for v in random.integers(0, 255, 3))
        colour_photo(colour, i).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    result = run(tmp_path, small(), TrainSpec(testing_percentage=40))
    assert result.evaluation.interval[0] < 0.6
    assert result.evaluation.n > 40


@pytest.mark.parametrize("options", [{}, {"io_type": "int8"}, {"io_type": "float32"}, {"scheme": "uint8"}])
def test_every_kind_of_file_is_sealed_verified_and_right(photos, tmp_path, options):
    result = run(photos, small(), TrainSpec(**options))
    model = load_model(save(result, tmp_path / "out"))
    assert all(check.ok for check in verify(model))
    assert result.evaluation.top1 >= 0.9
    assert result.report["accuracy"]["head"]["agreement"] >= 0.9
    kind = options.get("io_type", "uint8")
    assert (model.input.dtype, model.output.dtype) == (kind, kind)


def test_same_seed_gives_the_same_bytes(photos, tmp_path):
    a, b, c = (run(photos, small(), TrainSpec(seed=seed, steps=60)) for seed in (3, 3, 4))
    assert a.model.data == b.model.data
    assert a.model.data != c.model.data


def test_files_do_not_depend_on_where_the_photos_lie(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "elsewhere")
    assert run(photos, small(), TrainSpec()).model.data == run(tmp_path / "elsewhere", small(), TrainSpec()).model.data


def test_bad_files_can_fail_the_run(photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "blue" / "bad.jpg").write_text("no picture")
    with pytest.raises(
        DataError, match=r"1 files cannot be used and --on-bad fail was given, the first is blue/bad\.jpg"
    ):
        run(folder, small(), TrainSpec(on_bad="fail"))
    report = run(folder, small(), TrainSpec()).report
    assert [item["name"] for item in report["data"]["rejected"]] == ["blue/bad.jpg"]


def test_a_photo_that_vanishes_in_between_is_named(photos, tmp_path, monkeypatch):
    folder = shutil.copytree(photos, tmp_path / "photos")
    from edgeretrain import pipeline

    write = pipeline.write_model

    def vanish(*arguments, **options):
        shutil.rmtree(folder / "blue")
        return write(*arguments, **options)

    monkeypatch.setattr(pipeline, "write_model", vanish)
    with pytest.raises(DataError, match="was usable a moment ago, now it is not"):
        run(folder, small(), TrainSpec())


def test_test_batch_size_limits_the_test(photos):
    assert run(photos, small(), TrainSpec(test_batch_size=4)).evaluation.n == 4


def test_broken_images_train_on_what_is_usable_and_nothing_is_changed(shared):
    folder = shared / "data/broken_images"
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    result = run(folder, small(), TrainSpec())
    rejected = {item.name.split("/")[-1] for item in result.dataset.rejected}
    assert rejected == {
        *("truncated_60_percent.jpg", "empty.jpg", "text_named.jpg", "bomb_60000x60000.png", "one_pixel.png"),
        *("dangling_link.jpg", ".hidden.jpg", ""),  # "": the empty class folder
    }
    used = {
        photo.name.split("/")[-1] for part in ("train", "validation", "test") for photo in getattr(result.dataset, part)
    }
    assert {"cmyk.jpg", "really_png.jpg", "really_gif.JPG", "sixteen_bit.png", "alpha.png", "lossy.webp"} <= used
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before


def test_flowers_reach_the_bar_from_the_real_module(shared, session_cache):
    """One split here; benchmarks/accuracy.py takes five and holds the bar of 0.86 for their mean."""
    backbone = load_backbone(str(module_folder(shared, "050")), "050", 160, console=Console(quiet=True))
    stages = Stages()
    result = run(shared / "data/flowers_small", backbone, TrainSpec(), stages=stages)
    assert result.evaluation.top1 >= 0.80
    assert result.report["accuracy"]["head"]["agreement"] >= 0.97
    assert {"embed", "train", "write", "evaluate", "seal"} <= set(stages.seconds)


@pytest.mark.filterwarnings("ignore")
def test_instrumented_network_agrees_with_the_file(shared):
    backbone = read_hosted(hosted_file(shared, "025").read_bytes(), "hosted")
    result = run(shared / "data/flowers_small", backbone, TrainSpec(), instrumented=True)
    twin = result.report["accuracy"]["instrumented"]
    assert twin["agreement"] >= 0.95
    assert abs(twin["top1"] - result.evaluation.top1) <= 0.03
