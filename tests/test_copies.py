"""Distorted copies on their way to the head: what is cached, what is decoded, whose they are; and weights of classes."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
from PIL import Image

from edgeretrain import copies as module
from edgeretrain.copies import copy_key, embed_copies, with_copies
from edgeretrain.dataset import Photo
from edgeretrain.distort import Distortions, copy_random, distort
from edgeretrain.embed import as_matrix, cache_file, embed_photos, make_extractor, run_extractor
from edgeretrain.errors import DataError
from edgeretrain.images import decode, read_picture
from edgeretrain.pipeline import run
from edgeretrain.reading import load_dataset
from edgeretrain.spec import TrainSpec
from edgeretrain.storage import cache_dir, sha256
from tests.conftest import random_backbone
from tests.test_cli import STARTER

SOME = Distortions(True, 20, 10, 15)
OPTIONS = {"flip_left_right": True, "random_crop": 20.0, "random_scale": 10.0, "random_brightness": 15.0}


@pytest.fixture(scope="session")
def extractor(backbone):
    return make_extractor(backbone)


def photos_of(folder, count):
    paths = sorted(folder.rglob("*.jpg"))[:count]
    return [
        Photo(path, path.name, row % 3, bytes.fromhex(sha256(path.read_bytes())), row) for row, path in enumerate(paths)
    ]


def keys_in(path):
    connection = sqlite3.connect(path)
    try:
        return {bytes(key) for (key,) in connection.execute("SELECT photo FROM embedding")}
    finally:
        connection.close()


def test_copies_are_the_embeddings_of_distorted_photos_in_order(photos, extractor):
    some = photos_of(photos, 20)
    codes = embed_copies(some, extractor, SOME, 3, 5, cache=None, jobs=3)
    assert (codes.shape, codes.dtype) == ((20, 3, 256), np.uint8)
    for row, copy in ((0, 1), (7, 3), (19, 2)):
        image = decode(read_picture(some[row].path))
        pixels = distort(image, 128, SOME, copy_random(5, some[row].digest, copy))
        assert codes[row, copy - 1].tobytes() == run_extractor(extractor, pixels)
    assert len({code.tobytes() for row in codes for code in row}) == 60


def test_a_second_run_takes_copies_from_the_cache_and_reads_no_photo(photos, extractor, tmp_path):
    folder, cache = shutil.copytree(photos, tmp_path / "photos"), cache_file(tmp_path)
    some = photos_of(folder, 20)
    first = embed_copies(some, extractor, SOME, 2, 0, cache=cache)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(embed_copies(some, extractor, SOME, 2, 0, cache=cache), first)
    np.testing.assert_array_equal(embed_copies(some, extractor, SOME, 1, 0, cache=cache), first[:, :1])


def test_only_the_copies_that_are_missing_are_made(photos, extractor, tmp_path, monkeypatch):
    some, cache = photos_of(photos, 5), cache_file(tmp_path)
    two = embed_copies(some, extractor, SOME, 2, 0, cache=cache)
    made = []

    def counted(*arguments):
        made.append(arguments)
        return distort(*arguments)

    monkeypatch.setattr(module, "distort", counted)
    three = embed_copies(some, extractor, SOME, 3, 0, cache=cache)
    assert len(made) == 5
    np.testing.assert_array_equal(three[:, :2], two)


def test_other_photos_do_not_change_a_photos_copies(photos, extractor):
    some = photos_of(photos, 6)
    alone = embed_copies(some[4:5], extractor, SOME, 2, 0, cache=None)
    np.testing.assert_array_equal(embed_copies(some, extractor, SOME, 2, 0, cache=None)[4:5], alone)


def test_the_key_holds_all_that_the_pixels_follow_from():
    digest = b"d" * 32
    keys = {copy_key(SOME, 0, digest, 1), copy_key(SOME, 1, digest, 1), copy_key(SOME, 0, b"e" * 32, 1)}
    keys |= {copy_key(SOME, 0, digest, 2), digest}
    keys |= {
        copy_key(other, 0, digest, 1) for other in (Distortions(), Distortions(True), Distortions(True, 20, 10, 16))
    }
    assert len(keys) == 8


def test_every_extractor_has_copies_of_its_own_in_the_cache(photos, tmp_path):
    some, cache = photos_of(photos, 3), cache_file(tmp_path)
    found = [
        embed_copies(some, make_extractor(random_backbone(seed=seed)), SOME, 1, 0, cache=cache).tobytes()
        for seed in (0, 1)
    ]
    assert found[0] != found[1]


def test_rows_of_copies_stand_behind_those_of_the_photos(photos, extractor, fresh_cache):
    some = photos_of(photos, 9)
    embedded = embed_photos([photo.path for photo in some], [extractor], cache=None)
    x, y = as_matrix(embedded, range(9), extractor), np.array([photo.label for photo in some])
    assert with_copies((x, y), some, extractor, TrainSpec())[0] is x
    more_x, more_y = with_copies((x, y), some, extractor, TrainSpec(**OPTIONS, copies=3))
    assert (more_x.shape, more_x.dtype) == ((36, 256), np.float32)
    np.testing.assert_array_equal(more_x[:9], x)
    assert more_y.tolist() == [*y.tolist(), *(label for label in y.tolist() for _ in range(3))]
    own = np.linalg.norm(more_x[9:] - np.repeat(x, 3, axis=0), axis=1).mean()  # a copy is closer to its own photo
    assert own < np.linalg.norm(more_x[9:] - np.repeat(np.roll(x, 1, axis=0), 3, axis=0), axis=1).mean()


def test_a_photo_that_changed_or_vanished_in_between_is_named(photos, extractor, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    some = photos_of(folder, 2)
    Image.new("RGB", (40, 40)).save(some[0].path)
    with pytest.raises(
        DataError, match=r"000\.jpg was usable a moment ago, now it is not \(its contents changed\): is"
    ):
        embed_copies(some, extractor, SOME, 1, 0, cache=None)
    some[0].path.unlink()
    with pytest.raises(DataError, match=r"000\.jpg was usable a moment ago, now it is not \(no such file\)"):
        embed_copies(some, extractor, SOME, 1, 0, cache=None)


def test_validation_and_test_photos_are_never_distorted(photos, fresh_cache):
    """Of them the cache has what they are and nothing else, and their rows are those of a run without distortions."""
    spec, backbone = TrainSpec(**OPTIONS, copies=2, steps=40), random_backbone()
    result = run(photos, backbone, spec)
    dataset = result.dataset
    everyone = {photo.digest for part in (dataset.train, dataset.validation, dataset.test) for photo in part}
    drawn = {copy_key(Distortions.of(spec), 0, photo.digest, copy) for photo in dataset.train for copy in (1, 2)}
    assert len(everyone) == 72
    assert keys_in(cache_file(cache_dir())) == everyone | drawn
    extractor = make_extractor(backbone)
    plain, embedded = load_dataset(photos, [extractor], TrainSpec())
    assert plain.test == dataset.test
    held = as_matrix(embedded, [photo.row for photo in dataset.test], extractor)
    head = result.trained.logits(held).argmax(axis=1)
    assert result.report["accuracy"]["head"]["top1"] == (head == result.evaluation.truth).mean()


def test_same_seed_gives_the_same_file_with_and_without_a_cache(photos, fresh_cache):
    spec = TrainSpec(**OPTIONS, copies=1, steps=40)
    first = run(photos, random_backbone(), spec).model.data
    assert run(photos, random_backbone(), spec).model.data == first
    shutil.rmtree(fresh_cache)
    assert run(photos, random_backbone(), spec, jobs=1).model.data == first
    assert run(photos, random_backbone(), TrainSpec(**OPTIONS, copies=2, steps=40)).model.data != first


def test_train_distorts_by_the_ancestors_options_and_says_so(command, photos, tmp_path):
    code, _, err = command(
        *("train", "--image_dir", photos, *STARTER, "--out", tmp_path / "out", "--flip_left_right"),
        *("--random_crop", 10, "--random_scale", "5", "--random_brightness", 12.5),
    )
    assert code == 0, err
    training = json.loads((tmp_path / "out/report.json").read_text())["training"]
    trained = training["rows"] // 5
    said = "flip, crop 10 %, scale 5 %, brightness 12.5 %"
    assert f"Distortions of training photos: {said}; 4 copies beside each of {trained}" in err
    assert (training["distortions"], training["copies"], training["flip_left_right"]) == (said, 4, True)
    assert 50 < trained < 72


def test_without_distortions_nothing_is_said_and_copies_do_not_count(command, photos, tmp_path):
    code, _, err = command("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--copies", 7)
    assert code == 0
    assert "Distortions" not in err
    training = json.loads((tmp_path / "out/report.json").read_text())["training"]
    assert training["distortions"] == "none"
    assert 50 < training["rows"] < 72


def imbalanced(folder):
    """Grey photos, a few a little redder than the many: without weights, most of the few pass for the many."""
    random = np.random.default_rng(0)
    for name, count, red in (("common", 300, 0), ("rare", 30, 14)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            level = random.normal(120, 10) + np.array([red, 0, 0]) + random.normal(0, 6, 3)
            pixels = level + random.normal(0, 10, (48, 48, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def test_class_weights_raise_the_recall_of_a_rare_class(tmp_path):
    folder = imbalanced(tmp_path / "photos")
    recalls = {}
    for weights in ("none", "auto"):
        spec = TrainSpec(class_weights=weights, testing_percentage=40, validation_percentage=20)
        result = run(folder, random_backbone(), spec)
        recalls[weights] = {row["class_name"]: row["recall"] for row in result.report["per_class"]}
        assert result.report["training"]["class_weights"] == weights
    assert recalls["auto"]["rare"] >= recalls["none"]["rare"] + 0.15
    assert recalls["auto"]["common"] >= 0.6
