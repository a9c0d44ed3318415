"""The rendered sample photos, and the folder that holds them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeretrain.errors import EdgeRetrainError, EnvironmentFailure, UsageError
from edgeretrain.samples import CLASSES, VERSION, render_photo, sample_folder, write_samples
from edgeretrain.samples import folder as folder_module
from edgeretrain.samples.layout import draw_scene
from edgeretrain.samples.trace import render

SMALL = 48


def seeded(*numbers: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers)))


def paths(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in paths(folder)}


def run_python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start Python with the package at hand; the code comes by stdin, so that it has no main module to run again."""
    command = [sys.executable, "-", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(code.encode())
    process.stdin.close()
    process.stdin = None
    return process


@pytest.fixture
def quick_photos(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let photos be plain grey, and say which were asked for."""
    asked: list[str] = []

    def plain(class_name: str, index: int, seed: int) -> np.ndarray:
        asked.append(f"{class_name}_{index}_{seed}")
        return np.full((256, 256, 3), 10 * seed + index, np.uint8)

    monkeypatch.setattr(folder_module, "render_photo", plain)
    return asked


def refusal(kind: type[EdgeRetrainError], call: Callable[[], object]) -> str:
    """Return the message that `call` is refused with, after checking that it is one line."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("class_name", CLASSES)
def test_photo_is_the_same_every_time(class_name: str) -> None:
    photo = render_photo(class_name, 3, 5, SMALL)
    assert photo.dtype == np.uint8
    assert photo.shape == (SMALL, SMALL, 3)
    np.testing.assert_array_equal(photo, render_photo(class_name, 3, 5, SMALL))


def test_photo_depends_on_every_argument() -> None:
    photos = [
        render_photo("nuts", 0, 0, SMALL),
        render_photo("gears", 0, 0, SMALL),
        render_photo("nuts", 1, 0, SMALL),
        render_photo("nuts", 0, 1, SMALL),
    ]
    assert len({photo.tobytes() for photo in photos}) == len(photos)


@pytest.mark.parametrize("class_name", CLASSES)
def test_photos_are_neither_flat_nor_black_nor_burnt_out(class_name: str) -> None:
    for index in range(4):
        photo = render_photo(class_name, index, 0, SMALL).astype(np.float32)
        assert photo.std() > 5
        assert 15 < photo.mean() < 240
        assert (photo >= 255).mean() < 0.4


@pytest.mark.parametrize("class_name", CLASSES)
def test_part_that_gives_the_label_can_be_seen(class_name: str) -> None:
    for index in range(6):
        scene = draw_scene(seeded(index), class_name)
        with_part, _ = render(scene, seeded(index, 1), SMALL)
        without, _ = render(replace(scene, items=scene.items[1:]), seeded(index, 1), SMALL)
        change = np.abs(with_part - without).mean(-1) / (without.mean() + 1e-6)
        assert (change > 0.1).mean() > 0.01


@pytest.mark.parametrize("class_name", CLASSES)
def test_depth_of_a_part_is_less_than_that_of_the_bench_behind_it(class_name: str) -> None:
    scene = draw_scene(seeded(2), class_name)
    _, depth = render(scene, seeded(0), SMALL)
    _, bare = render(replace(scene, items=()), seeded(0), SMALL)
    assert np.all(depth <= bare + 1e-4)
    assert (depth < bare - 1e-3).any()


def test_shadow_darkens_the_bench() -> None:
    scene = draw_scene(seeded(7), "bolts")
    shaded, depth = render(scene, seeded(0), SMALL)
    bare_scene = replace(scene, items=())
    bare, bare_depth = render(bare_scene, seeded(0), SMALL)
    bench = depth == bare_depth
    assert np.all(shaded[bench] <= bare[bench] + 1e-4)
    assert (shaded[bench] < 0.8 * bare[bench]).any()


def test_photo_of_unknown_class_names_the_classes() -> None:
    message = refusal(UsageError, lambda: render_photo("rivets", 0))
    assert "rivets" in message
    assert all(name in message for name in CLASSES)


def test_photo_refuses_negative_numbers_and_tiny_sizes() -> None:
    assert "-1" in refusal(UsageError, lambda: render_photo("nuts", -1))
    assert "-2" in refusal(UsageError, lambda: render_photo("nuts", 0, -2))
    assert "31" in refusal(UsageError, lambda: render_photo("nuts", 0, 0, 31))


def test_folder_has_a_subfolder_of_jpegs_per_class(tmp_path: Path) -> None:
    target = tmp_path / "new" / "photos"
    seen: list[int] = []
    write_samples(target, per_class=1, seed=4, jobs=1, progress=seen.append)
    assert paths(target) == [f"{name}/{name}_000.jpg" for name in CLASSES]
    assert seen == [1] * 5
    assert [path.name for path in target.parent.iterdir()] == ["photos"]
    with Image.open(target / "gears" / "gears_000.jpg") as photo:
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (256, 256))
        error = np.abs(np.asarray(photo, np.float32) - render_photo("gears", 0, 4)).mean()
    assert error < 8


def test_folder_is_the_same_from_one_process_and_from_two(tmp_path: Path) -> None:
    seen: list[int] = []
    write_samples(tmp_path / "one", per_class=2, jobs=1)
    write_samples(tmp_path / "two", per_class=2, jobs=2, progress=seen.append)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    assert seen == [1] * 10


def test_folder_in_use_is_refused(tmp_path: Path, quick_photos: list[str]) -> None:
    write_samples(tmp_path / "photos", per_class=1, jobs=1)
    before = bytes_of(tmp_path / "photos")
    message = refusal(UsageError, lambda: write_samples(tmp_path / "photos", per_class=1, seed=1, jobs=1))
    assert "new or empty" in message
    assert str(tmp_path / "photos") in message
    assert bytes_of(tmp_path / "photos") == before


def test_regular_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("mine")
    assert "in use" in refusal(UsageError, lambda: write_samples(tmp_path / "photos", per_class=1))
    assert (tmp_path / "photos").read_text() == "mine"


def test_empty_folder_is_filled(tmp_path: Path, quick_photos: list[str]) -> None:
    (tmp_path / "photos").mkdir()
    write_samples(tmp_path / "photos", per_class=1, jobs=1)
    assert len(paths(tmp_path / "photos")) == len(CLASSES)


def test_folder_without_photos_is_refused(tmp_path: Path) -> None:
    assert "at least 1" in refusal(UsageError, lambda: write_samples(tmp_path / "photos", per_class=0))
    assert not (tmp_path / "photos").exists()


def test_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    target = tmp_path / "file" / "below"
    message = refusal(EnvironmentFailure, lambda: write_samples(target / "photos", per_class=1, jobs=1))
    assert str(target) in message
    assert "name a folder you may write to" in message


def test_failure_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_gears(class_name: str, index: int, seed: int) -> np.ndarray:
        if class_name == "gears":
            raise OSError(28, "No space left on device")
        return np.zeros((256, 256, 3), np.uint8)

    monkeypatch.setattr(folder_module, "render_photo", fail_at_gears)
    message = refusal(EnvironmentFailure, lambda: write_samples(tmp_path / "photos", per_class=2, jobs=1))
    assert "No space left on device" in message
    assert list(tmp_path.iterdir()) == []


def test_interruption_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path / "photos", per_class=20, jobs=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_failing_process_is_explained(tmp_path: Path) -> None:
    absent = tmp_path / "absent"  # the subfolders that the processes write to are not there
    message = refusal(EnvironmentFailure, lambda: list(folder_module._in_processes(absent, 1, 0, 2)))
    assert "FileNotFoundError" in message
    assert "ended with 1" in message


def test_killed_writer_leaves_no_folder_and_its_processes_end(tmp_path: Path) -> None:
    code = "import sys, pathlib, edgeretrain.samples as s; s.write_samples(pathlib.Path(sys.argv[1]), 200, jobs=2)"
    writer = run_python(code, tmp_path / "photos")
    deadline = time.monotonic() + 20
    while not list(tmp_path.rglob("*.jpg")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert not (tmp_path / "photos").exists()
    count = -1
    while count != (count := len(list(tmp_path.rglob("*.jpg")))):
        assert time.monotonic() < deadline
        time.sleep(0.7)
    assert 0 < count < 1000


def test_sample_folder_is_rendered_once(tmp_path: Path, quick_photos: list[str]) -> None:
    first = sample_folder(tmp_path, per_class=2, seed=3, jobs=1)
    assert first == tmp_path / f"samples-v{VERSION}-2-3"
    assert len(paths(first)) == 2 * len(CLASSES)
    asked = len(quick_photos)
    assert sample_folder(tmp_path, per_class=2, seed=3, jobs=1) == first
    assert len(quick_photos) == asked
    assert sample_folder(tmp_path, per_class=1, seed=3, jobs=1) != first


def test_sample_folder_below_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "sample photos" in refusal(EnvironmentFailure, lambda: sample_folder(tmp_path / "file", 1, jobs=1))


def test_two_processes_make_one_sample_folder(tmp_path: Path) -> None:
    code = "import sys, pathlib, edgeretrain.samples as s; print(s.sample_folder(pathlib.Path(sys.argv[1]), 2, jobs=1))"
    processes = [run_python(code, tmp_path) for _ in range(2)]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    folder = tmp_path / f"samples-v{VERSION}-2-0"
    assert {out.decode().strip() for out, _ in answers} == {str(folder)}
    assert list(tmp_path.iterdir()) == [folder]
    assert len(paths(folder)) == 2 * len(CLASSES)


def test_slower_of_two_writers_keeps_the_folder_of_the_quicker(tmp_path: Path, quick_photos: list[str]) -> None:
    def other_writer(done: int) -> None:
        if not (tmp_path / "photos").exists():
            write_samples(tmp_path / "photos", per_class=1, seed=2, jobs=1)

    write_samples(tmp_path / "photos", per_class=1, seed=1, jobs=1, progress=other_writer)
    with Image.open(tmp_path / "photos" / "nuts" / "nuts_000.jpg") as photo:
        assert photo.getpixel((0, 0)) == (20, 20, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_folder_that_others_fill_meanwhile_is_refused(tmp_path: Path, quick_photos: list[str]) -> None:
    def stranger(done: int) -> None:
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / "mine.txt").write_text("mine")

    call = lambda: write_samples(tmp_path / "photos", per_class=1, jobs=1, progress=stranger)  # noqa: E731
    assert "stay empty" in refusal(UsageError, call)
    assert paths(tmp_path) == ["photos/mine.txt"]


def test_what_a_killed_process_left_is_swept_after_a_while(tmp_path: Path, quick_photos: list[str]) -> None:
    old, fresh = tmp_path / ".photos.partial-0ld", tmp_path / ".photos.partial-fre5h"
    for left in (old, fresh):
        (left / "nuts").mkdir(parents=True)
    os.utime(old, (1, 1))
    write_samples(tmp_path / "photos", per_class=1, jobs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "photos"]
