import json
import os
import shutil
import signal
import threading

import numpy as np
import pytest

from edgeretrain import pictures
from edgeretrain.__main__ import run
from edgeretrain.backbone import Source, pack, unpack
from edgeretrain.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from edgeretrain.console import Console
from edgeretrain.distill import run as steps
from edgeretrain.distill.pool import View, open_pool, view_of
from edgeretrain.distill.quality import linear_probe, similarity
from edgeretrain.distill.spec import DistillSpec
from edgeretrain.distill.teacher import Teacher, load_teacher
from edgeretrain.embed import as_matrix, embed_photos, make_extractor, run_extractor
from edgeretrain.errors import DataError, EnvironmentFailure, QualityError, UsageError
from edgeretrain.images import load_pixels
from edgeretrain.interrupt import postponed
from edgeretrain.modules.starter import load_starter
from edgeretrain.runtime import load_interpreter
from edgeretrain.spec import ModelSpec
from tests.conftest import colour_photo, hosted_file, random_backbone, write_photos

STEPS = 24
OPTIONS = ["--steps", STEPS, "--batch-size", 16, "--crop-area", 0.8, "--learning-rate", 0.004]
OPTIONS += ["--quantized-share", 0.25, "--checkpoint-steps", 10, "--jobs", 2]


def distill_command(many, out, *more):
    teacher, start = many.parent / "teacher.backbone", many.parent / "start.backbone"
    teacher.write_bytes(pack(load_starter(ModelSpec("050", 128))))
    start.write_bytes(pack(random_backbone()))
    return ["distill", "--teacher", teacher, "--start", start, "--images", many, "--out", out, *OPTIONS, *more]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """120 photos of three colours."""
    return write_photos(tmp_path_factory.mktemp("many") / "photos", 40)


@pytest.fixture(scope="module")
def distilled(many, tmp_path_factory):
    """The folder of a finished distillation: random weights, 25 % of the width of the starter that teaches."""
    folder = tmp_path_factory.mktemp("distilled") / "out"
    os.environ["EDGERETRAIN_CACHE_DIR"] = str(tmp_path_factory.mktemp("distilled cache"))
    assert run([str(part) for part in distill_command(many, folder, "--labelled", many)]) == 0
    return folder


def the_backbone(folder):
    return unpack((folder / "mobilenet_v1_025_128.backbone").read_bytes(), "distilled")


def test_a_student_comes_nearer_to_its_teacher_than_at_its_start(distilled):
    report = json.loads((distilled / "distill.json").read_text())
    start, student = report["quality"]["start"], report["quality"]["student"]
    assert student["n"] == 12
    assert student["cosine"] > start["cosine"] + 0.05
    assert student["explained_variance"] > start["explained_variance"] + 0.05
    assert [step for step, _ in report["training"]["curve"]] == list(range(1, STEPS + 1))


def test_folder_says_what_the_student_is_and_holds_no_leftovers(distilled):
    assert sorted(path.name for path in distilled.iterdir()) == [
        "CARD.md",
        "distill.json",
        "mobilenet_v1_025_128.backbone",
    ]
    report, text = json.loads((distilled / "distill.json").read_text()), (distilled / "CARD.md").read_text()
    for fact in (
        report["photos"]["sha256"],
        report["student"]["name"],
        "120, without labels",
        "## Linear probe",
        "steps 24",
    ):
        assert fact in text
    assert report["teacher"]["name"] == "mobilenet_v1_050_128"
    assert set(report["probe"]) == {"start", "student", "teacher"}
    assert all(score["n"] == 120 and len(score["folds"]) == 5 for score in report["probe"].values())
    assert the_backbone(distilled).source == Source(
        "distilled", "mobilenet_v1_025_128 distilled from starter_050", report["student"]["sha256"]
    )


def test_a_distilled_backbone_goes_through_train_and_verify(distilled, photos, tmp_path, command):
    code, _, err = command("train", "--image-dir", photos, "--module", distilled, "--out", tmp_path / "run")
    assert code == 0, err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["module"]["kind"] == "distilled"
    assert report["accuracy"]["tflite"]["top1"] > 0.8
    code, out, _ = command("verify", tmp_path / "run" / "mobilenet_v1_025_128.tflite")
    assert code == 0, out


def test_the_fake_quant_network_is_the_int8_file(distilled, photos):
    from edgeretrain.network import build_network, network_input

    backbone = the_backbone(distilled)
    extractor, model = make_extractor(backbone), build_network(backbone, None)
    pixels = np.stack([load_pixels(path, [128])[0] for path in sorted(photos.rglob("*.jpg"))[::9]])
    file = (
        np.stack([np.frombuffer(run_extractor(extractor, picture), np.uint8) for picture in pixels]) * extractor.scale
    )
    network = model(network_input(backbone, pixels), training=False).numpy()
    assert np.abs(file - network).max() < 4 * extractor.scale
    assert file.std() > 10 * np.abs(file - network).mean()


def test_ctrl_c_saves_and_the_resumed_run_ends_with_the_same_bytes(distilled, many, tmp_path, command, monkeypatch):
    from edgeretrain.distill.student import Student

    out, train = tmp_path / "out", Student.train

    def at(step, action):
        def watched(self, *views):
            if self.step_number == step:
                action()
            return train(self, *views)

        monkeypatch.setattr(Student, "train", watched)

    at(20, lambda: os.kill(os.getpid(), signal.SIGINT))  # with fake quantization, which begins at 18
    code, _, err = command(*distill_command(many, out))
    assert code == 130
    assert "Saved after step 21" in err
    assert [path.name for path in out.iterdir()] == ["checkpoint.npz"]
    code, _, err = command(*distill_command(many, out))
    assert code == 2
    assert "holds an unfinished distillation: add --resume" in err

    monkeypatch.setattr(Student, "train", train)
    code, _, err = command(*distill_command(many, out, "--resume"))
    assert code == 0, err
    assert "Going on after step 21 of 24" in err
    name = "mobilenet_v1_025_128.backbone"
    assert (out / name).read_bytes() == (distilled / name).read_bytes()
    curves = [json.loads((folder / "distill.json").read_text())["training"]["curve"] for folder in (out, distilled)]
    assert curves[0] == curves[1]
    code, _, err = command(*distill_command(many, out, "--resume"))
    assert code == 2
    assert "holds a finished distillation: there is nothing to resume" in err


@pytest.fixture(scope="module")
def pool(photos):
    return open_pool(photos, 160)


def new_student(pool, spec, classes=0):
    from edgeretrain.distill.student import Student

    start = load_starter(ModelSpec("025", 128))
    pictures = np.stack([pool.pixels(View(row, (0, 0, 1, 1), False), [128])[0] for row in range(8)])
    readout = (np.zeros((256, 4), np.float32), np.zeros(4, np.float32))
    return Student(start, readout, classes, spec, pictures), pictures


def test_batch_norm_folded_again_is_the_start(pool):
    student, pictures = new_student(pool, DistillSpec())
    features = []
    for backbone in (student.start, student.backbone()):
        extractor = make_extractor(backbone)
        codes = [np.frombuffer(run_extractor(extractor, picture), np.uint8) for picture in pictures]
        features.append(np.stack(codes).astype(float))
    assert np.corrcoef(features[0].ravel(), features[1].ravel())[0, 1] > 0.995


def test_logits_are_learnt_where_there_are_any(pool):
    student, pictures = new_student(pool, DistillSpec(steps=30, quantized_share=1, learning_rate=0.001), classes=3)
    logits = 8 * np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 1]]
    losses = [student.train(pictures, np.zeros((8, 4), np.float32), logits) for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]
    assert student.logits[0].numpy().any()


def test_a_student_goes_on_from_its_state_but_not_from_another_networks(pool):
    student, _ = new_student(pool, DistillSpec())
    changed = [array + 1 for array in student.state()]
    student.restore(3, changed)
    assert student.step_number == 3
    assert not student.quantized
    assert all(np.array_equal(a, b) for a, b in zip(student.state(), changed, strict=True))
    with pytest.raises(DataError, match="arrays are not those of this network"):
        student.restore(1, student.state()[:-1])


def test_checkpoint_comes_back_and_damage_or_another_recipe_is_named(tmp_path):
    path, arrays = tmp_path / "checkpoint.npz", [np.arange(6.0).reshape(2, 3), np.float32(3)]
    write_checkpoint(path, Checkpoint(7, 1.5, {"seed": 0}, [[1, 0.5]], arrays))
    found = read_checkpoint(path, {"seed": 0})
    assert (found.step, found.seconds, found.curve) == (7, 1.5, [[1, 0.5]])
    assert all(np.array_equal(a, b) for a, b in zip(found.arrays, arrays, strict=True))
    with pytest.raises(UsageError, match=r"was made with another seed \(0, now 1\): give the same options"):
        read_checkpoint(path, {"seed": 1})
    whole = path.read_bytes()
    objects = tmp_path / "objects.npz"
    np.savez(objects, about=np.array([{}], object))
    for data in (whole[:-40], whole[:150] + bytes([whole[150] ^ 255]) + whole[151:], b"nonsense", objects.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"checkpoint\.npz is damaged .*: delete it to begin again"):
            read_checkpoint(path, {})


def test_training_that_diverges_is_stopped(photos, tmp_path, monkeypatch):
    from edgeretrain.distill.student import Student

    monkeypatch.setattr(Student, "train", lambda self, *views: float("nan"))
    teacher = Teacher(load_starter(ModelSpec("025", 128)), None)
    spec = DistillSpec(steps=2, batch_size=4)
    with pytest.raises(QualityError, match="the loss is nan after step 1: choose a smaller --learning-rate"):
        steps.distill(teacher, random_backbone(), photos, spec, tmp_path)


def test_pool_is_by_content_and_lists_what_cannot_be_used(photos, tmp_path):
    first = open_pool(photos, 160)
    copy = shutil.copytree(photos, tmp_path / "copy")
    (copy / "again").mkdir()
    shutil.copy(next((copy / "blue").iterdir()), copy / "again" / "again.jpg")
    next((copy / "Red").iterdir()).rename(copy / "moved.jpg")
    (copy / "note.txt").write_text("no picture")
    (copy / ".hidden").mkdir()
    (copy / ".hidden" / "x.jpg").write_bytes(b"x")
    second = open_pool(copy, 160)
    assert (second.digest, len(second.paths), second.held_back) == (first.digest, 72, 7)
    assert [path.read_bytes() for path in second.paths] == [path.read_bytes() for path in first.paths]
    assert second.rejected == (("note.txt", "not a picture but text (expected JPEG, PNG, WebP, BMP or GIF)"),)


def test_memory_is_bounded_without_changing_a_pixel(photos, pool, monkeypatch):
    monkeypatch.setattr(pictures, "MEMORY_BYTES", 50_000)
    tight = open_pool(photos, 160)
    assert (
        sum(pixels.nbytes for pixels in tight.pictures.kept.values())
        <= 50_000
        < sum(p.nbytes for p in pool.pictures.kept.values())
    )
    for number in range(20):
        view = view_of(number, pool, 0, 0.25)
        assert view == view_of(number, tight, 0, 0.25)
        for a, b in zip(pool.pixels(view, [128, 160]), tight.pixels(view, [128, 160]), strict=True):
            assert np.array_equal(a, b)


def test_whole_view_is_the_decoders_picture_and_a_flip_its_mirror(tmp_path):
    folder = write_photos(tmp_path / "large", 8, {"x": (90, 90, 90)})
    for i in range(20):
        colour_photo((20, 120, 60), i, (300, 260)).save(folder / f"{i}.png")
    pool = open_pool(folder, 224)
    row = next(row for row, path in enumerate(pool.paths) if path.suffix == ".png")
    (whole,) = pool.pixels(View(row, (0, 0, 1, 1), False), [224])
    (mirrored,) = pool.pixels(View(row, (0, 0, 1, 1), True), [224])
    assert np.array_equal(whole, load_pixels(pool.paths[row], [224])[0])
    assert np.array_equal(whole[:, ::-1], mirrored)


def test_views_show_every_training_photo_once_an_epoch_and_none_held_back(pool):
    views = [view_of(number, pool, 3, 0.25) for number in range(2 * pool.training)]
    for epoch in (views[: pool.training], views[pool.training :]):
        assert sorted(view.row for view in epoch) == list(range(pool.held_back, 72))
    areas = [(view.box[2] - view.box[0]) * (view.box[3] - view.box[1]) for view in views]
    assert all(
        0 <= low < high <= 1 + 1e-9 for view in views for low, high in zip(view.box[:2], view.box[2:], strict=True)
    )
    assert 0.2 < min(areas) < 0.35 < 0.85 < max(areas) <= 1 + 1e-9
    assert 0.3 < np.mean([view.flip for view in views]) < 0.7
    assert views != [view_of(number, pool, 4, 0.25) for number in range(2 * pool.training)]


def test_a_photo_that_vanishes_is_named(tmp_path, monkeypatch):
    folder = write_photos(tmp_path / "photos", 8)
    monkeypatch.setattr(pictures, "MEMORY_BYTES", 0)
    pool = open_pool(folder, 128)
    pool.paths[3].unlink()
    with pytest.raises(DataError, match=r"\.jpg was usable a moment ago, now it is not \(no such file\)"):
        pool.pixels(View(3, (0, 0, 1, 1), False), [128])
    teacher = Teacher(random_backbone(), None)
    with pytest.raises(DataError, match=r"\.jpg was usable a moment ago, now it is not \(no such file\)"):
        steps._nearness(random_backbone(), teacher, pool, None, Console(quiet=True))


def test_teacher_of_ours_has_the_codes_and_logits_of_its_file(trained, photos):
    teacher = load_teacher(str(trained))
    starter = load_starter(ModelSpec("025", 128))
    assert teacher.backbone.spec == starter.spec
    assert teacher.backbone.input_range == (-1, 1)
    paths = sorted(photos.rglob("*.jpg"))[::9]
    extractors = [make_extractor(teacher.backbone), make_extractor(starter)]
    embedded = embed_photos(paths, extractors, cache=None)
    assert all(photo.codes[0] == photo.codes[1] for photo in embedded)
    logits = teacher.logits(as_matrix(embedded, range(len(paths)), extractors[0]))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    from edgeretrain.artifact import load_model

    model = load_model(trained / "mobilenet_v1_025_128.tflite")
    found = np.stack([model.predict(load_pixels(path, [128])[0]) for path in paths])
    assert np.abs(found - expected).max() < 0.05


def test_hosted_teacher_has_imagenet_logits(shared):
    path = hosted_file(shared, "025")
    teacher = load_teacher(str(path))
    assert teacher.backbone.source.kind == "hosted"
    extractor, google = make_extractor(teacher.backbone), load_interpreter(path.read_bytes())
    for photo in sorted((shared / "data/flowers_small").glob("*/*.jpg"))[::200]:
        (pixels,) = load_pixels(photo, [128])
        codes = np.frombuffer(run_extractor(extractor, pixels), np.uint8)[None]
        logits = teacher.logits(codes * np.float32(extractor.scale))[0]
        assert logits.shape == (1001,)
        google.set_tensor(google.get_input_details()[0]["index"], pixels[None])
        google.invoke()
        answer = google.get_tensor(google.get_output_details()[0]["index"])[0] / 256
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert np.abs(answer - expected).max() < 0.15
        assert answer.argmax() in logits.argsort()[-3:]


def test_a_teacher_without_a_name_of_its_own_is_the_best_cell():
    teacher = load_teacher("starter")
    assert teacher.backbone.spec == ModelSpec("100", 224)
    assert teacher.logits(np.zeros((2, 1024), np.float32)).shape == (2, 0)


def test_teachers_that_are_none_are_refused(trained, tmp_path):
    data = (trained / "mobilenet_v1_025_128.tflite").read_bytes()
    (tmp_path / "a.tflite").write_bytes(data[:4000])
    with pytest.raises(EnvironmentFailure, match=r"a\.tflite cannot be read as a teacher .* expected a MobileNet V1"):
        load_teacher(str(tmp_path / "a.tflite"))
    (tmp_path / "b.tflite").write_bytes(data)
    with pytest.raises(UsageError, match=r"holds 2 models: name one of them, such as .*a\.tflite"):
        load_teacher(str(tmp_path))

    with pytest.raises(EnvironmentFailure, match="no such file or folder"):
        load_teacher(str(tmp_path / "missing"))
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.backbone").write_bytes(b"")
    with pytest.raises(EnvironmentFailure, match=r"holds 2 backbones: name one of them, such as .*a\.backbone"):
        load_teacher(str(folder))


def test_similarity_is_1_for_a_linear_map_and_near_0_for_noise():
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 20)).astype(np.float32)
    y = (x @ random.normal(size=(20, 30)) + 3).astype(np.float32)
    same = similarity((x[:300], y[:300]), (x[300:], y[300:]))
    assert same["explained_variance"] > 0.99
    assert same["cosine"] > 0.99
    assert (same["n"], same["fitted_on"]) == (100, 300)
    noise = random.normal(size=y.shape).astype(np.float32)
    other = similarity((x[:300], noise[:300]), (x[300:], noise[300:]))
    assert other["explained_variance"] < 0.02
    assert other["cosine_low"] < 0.03 < other["cosine_high"] + 0.05


def test_probe_tests_every_photo_once_and_needs_enough(tmp_path, backbone):
    folder = write_photos(tmp_path / "photos", 10, {"red": (200, 40, 40), "blue": (40, 40, 200)})
    (score,) = linear_probe(folder, [make_extractor(backbone)])
    assert score["n"] == 20
    assert score["top1"] == np.mean(score["folds"]) == score["correct"] / 20
    assert score["top1"] >= 0.8
    few = write_photos(tmp_path / "few", 4, {"red": (200, 40, 40), "blue": (40, 40, 200)})
    with pytest.raises(DataError, match=r"class .blue. of .* has 4 different usable photos; a probe in 5 parts needs"):
        linear_probe(few, [make_extractor(backbone)])


def test_rate_rises_falls_and_starts_anew_with_fake_quantization():
    spec = DistillSpec(steps=1000, learning_rate=0.01)
    rates = [spec.rate(step) for step in range(1000)]
    assert spec.float_steps == 800
    assert rates[0] < 0.001
    assert max(rates) == pytest.approx(0.01, rel=0.01) == rates[33]
    assert rates[799] < 1e-6
    assert max(rates[800:]) == pytest.approx(0.001, rel=0.02)
    assert rates[999] < 1e-6
    assert max(DistillSpec(steps=50, quantized_share=1, learning_rate=0.01).rate(i) for i in range(50)) > 0.009


def test_second_ctrl_c_interrupts_at_once_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), postponed() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_postponed():
    seen = []

    def work():
        with postponed() as interrupted:
            seen.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"--images": "missing"}, 3, "missing is not a folder: expected a folder of photos"),
        (
            {"--images": "few"},
            3,
            "few has 19 usable photos, at least 20 are needed; the first problem: x.jpg: empty file",
        ),
        ({"--labelled": "missing"}, 3, "missing is not a folder"),
        ({"--teacher": "missing"}, 5, "missing: no such file or folder"),
        ({"--start": "wide"}, 2, "--width 025 was asked for, but wide has width 050"),
        ({"--start": "missing"}, 5, "missing: no such file or folder"),
        ({"--width": "030"}, 2, "width must be one of"),
        ({"--res": "100"}, 2, "res must be one of"),
        ({"--steps": "0"}, 2, "--steps must be between 1 and 1e+07, not 0"),
        ({"--batch-size": "1"}, 2, "--batch-size must be between 2 and 4096, not 1"),
        ({"--resume": None}, 2, "--resume needs --out"),
        ({"--resume": None, "--out": "nowhere"}, 2, "nowhere does not exist: there is nothing to resume"),
        ({"--out": "full"}, 2, "full is not empty and nothing is overwritten"),
        ({"--out": "full/note/x"}, 5, "cannot make the folder full/note/x"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(command, tmp_path, monkeypatch, change, code, message):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "few", 19, {"red": (200, 40, 40)})
    (tmp_path / "few" / "x.jpg").touch()
    (tmp_path / "wide").write_bytes(pack(load_starter(ModelSpec("050", 160))))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").touch()
    options = {"--teacher": "starter", "--images": "few"} | change
    arguments = [part for name, value in options.items() for part in (name, value) if part is not None]
    found, out, err = command("distill", *arguments)
    lines = [line for line in err.splitlines() if line.startswith("Error")]
    assert (found, out, len(lines)) == (code, "", 1)
    assert message in lines[0]
    assert not list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else True


def test_help_shows_every_option_and_imports_no_tensorflow(command):
    code, out, _ = command("distill", "--help")
    assert code == 0
    for name in ("--teacher", "--images", "--steps", "--quantized-share", "--resume", "Examples:"):
        assert name in out
