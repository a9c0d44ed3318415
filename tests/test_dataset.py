import hashlib
import shutil

import pytest

from edgeretrain.dataset import list_photos, normalize_class_name, split_photos
from edgeretrain.errors import DataError
from tests.conftest import write_photos


def fill(folder, classes):
    """Files with distinct contents; no pictures are needed to list and split."""
    for name, files in classes.items():
        (folder / name).mkdir(parents=True)
        for file in range(files) if isinstance(files, int) else files:
            path = folder / name / (f"{file}.jpg" if isinstance(file, int) else file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name}/{file}")
    return folder


def split(folder, reasons=None, **options):
    listing = list_photos(folder)
    digests = [hashlib.sha256(file.path.read_bytes()).digest() for file in listing.files]
    return split_photos(listing, digests, reasons or [None] * len(digests), **options)


def names(photos):
    return {photo.name for photo in photos}


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Roses", "roses"), ("sun_flowers-2", "sun flowers 2"), ("a--b", "a b"), ("_x_", "x"), ("Розы №2", "розы 2")],
)
def test_class_names_follow_the_ancestor(folder, name):
    assert normalize_class_name(folder) == name


def test_classes_are_sorted_and_files_found_in_sub_folders(tmp_path):
    fill(tmp_path, {"b": 4, "A": [*range(3), "deep/er/x.jpg"], ".git": 5, "c d": 3})
    (tmp_path / "A/.DS_Store").write_text("x")
    (tmp_path / "A/Thumbs.db").write_text("x")
    (tmp_path / "A/.secret.jpg").write_text("x")
    (tmp_path / "stray.jpg").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "nothing").mkdir()
    listing = list_photos(tmp_path)
    assert listing.class_names == ("a", "b", "c d")
    assert [file.label for file in listing.files] == [0] * 4 + [1] * 4 + [2] * 3
    assert "A/deep/er/x.jpg" in {file.name for file in listing.files}
    assert {(item.name, item.reason) for item in listing.rejected} == {
        ("stray.jpg", "not in a class folder"),
        ("A/.secret.jpg", "hidden file"),
        ("nothing/", "no photos in this folder: not a class"),
    }


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "has no photos and no class folders; expected one sub-folder of photos per class, 2 or more"),
        ({"a": 5}, "has only one class, 'a'"),
        ({"a": 5, "b": 0}, "has only one class, 'a'"),
        ({"a": 5, "b": 2}, "class 'b' has 2 files; at least 3 are needed"),
        ({"a b": 5, "A_b": 5}, "both become the class 'a b': rename or merge them"),
        ({"a": 5, "--": 5}, "has no letter or digit in its name"),
    ],
)
def test_folders_that_cannot_be_split_are_refused(tmp_path, classes, message):
    with pytest.raises(DataError, match=message):
        list_photos(fill(tmp_path, classes))


def test_pictures_without_class_folders_are_counted(tmp_path):
    (tmp_path / "a.jpg").write_text("x")
    with pytest.raises(DataError, match="has 1 pictures directly in it and no class folders"):
        list_photos(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a.zip").write_text("x")
    with pytest.raises(DataError, match="is not a folder: expected a folder with one sub-folder"):
        list_photos(tmp_path / "a.zip")


def test_split_has_every_class_in_every_part_and_about_the_shares_asked_for(tmp_path):
    fill(tmp_path, {"many": 400, "few": 3, "some": 12})
    data = split(tmp_path, validation_percentage=10, testing_percentage=20)
    for _, train, validation, test in data.counts():
        assert min(train, validation, test) >= 1
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 415
    assert 20 <= data.counts()[1][2] <= 60
    assert 55 <= data.counts()[1][3] <= 105
    assert [w for w in data.warnings if "fewer than 20" in w and "'few' has only 3" in w]


def test_split_survives_moving_renaming_and_adding(tmp_path):
    first = split(fill(tmp_path / "one", {"a": 60, "b": 60}))
    moved = tmp_path / "two/three"
    shutil.copytree(tmp_path / "one", moved)
    assert split(moved).digest == first.digest
    (moved / "a/0.jpg").rename(moved / "a/renamed.jpg")
    assert split(moved).digest == first.digest
    for i in range(30):
        (moved / f"a/new{i}.jpg").write_text(f"new {i}")
    more = split(moved)
    for part in ("train", "validation", "test"):
        before = {photo.digest for photo in getattr(first, part)}
        assert before <= {photo.digest for photo in getattr(more, part)}


def test_another_seed_draws_another_split(tmp_path):
    fill(tmp_path, {"a": 60, "b": 60})
    assert names(split(tmp_path, seed=1).test) != names(split(tmp_path).test)


def test_nohash_groups_and_copies_stay_together(tmp_path):
    files = [f"plant{i}_nohash_{k}.jpg" for i in range(20) for k in range(3)]
    fill(tmp_path, {"a": files, "b": 30})
    for i in range(30):
        shutil.copy(tmp_path / f"b/{i}.jpg", tmp_path / f"b/copy{i}.jpg")
    data = split(tmp_path)
    parts = [names(part) for part in (data.train, data.validation, data.test)]
    for i in range(20):
        group = {f"a/plant{i}_nohash_{k}.jpg" for k in range(3)}
        assert any(group <= part for part in parts)
    for i in range(30):
        assert any({f"b/{i}.jpg", f"b/copy{i}.jpg"} <= part for part in parts)


def test_bad_files_are_left_out_and_a_class_without_good_ones_is_refused(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    data = split(tmp_path, reasons=["broken", *[None] * 9])
    assert [(item.name, item.class_name, item.reason) for item in data.rejected] == [("a/0.jpg", "a", "broken")]
    with pytest.raises(DataError, match="class 'a' has 2 different usable photos; at least 3 are needed"):
        split(tmp_path, reasons=["broken"] * 3 + [None] * 7)


def test_the_same_photo_in_two_classes_is_a_warning(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    shutil.copy(tmp_path / "a/0.jpg", tmp_path / "b/other.jpg")
    assert any("the same photo is in two classes" in warning for warning in split(tmp_path).warnings)


def test_real_folder_is_not_changed(tmp_path):
    folder = write_photos(tmp_path, 4)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    split(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
