import io
import itertools
import json
import re
import signal
import time

import numpy as np
import pytest

from edgeretrain.backbone import quantize_per_channel
from edgeretrain.console import Console
from edgeretrain.dataset import Photo
from edgeretrain.distort import Distortions
from edgeretrain.errors import DataError, QualityError, UsageError
from edgeretrain.finetune.course import Course
from edgeretrain.finetune.views import DEFAULT_DISTORTIONS, Length, views_of
from edgeretrain.images import load_pixels
from edgeretrain.modules.starter import load_starter
from edgeretrain.pipeline import run
from edgeretrain.reading import load_dataset
from edgeretrain.softmax_path import Curve
from edgeretrain.spec import ModelSpec, TrainSpec
from edgeretrain.train import TrainedHead
from edgeretrain.write import Head
from tests.test_cli import MODEL, STARTER, in_process_of_its_own, python
from tests.test_network import converted_model

SPEC = TrainSpec(steps=50, fine_tune=5, fine_tune_batch_size=16)
OPTIONS = ("--steps", 50, "--fine-tune", 5, "--fine-tune-batch-size", 16)
STEPS = 18  # 5 x 56 or 57 training photos in batches of 16; JPEGs, and so splits, differ between processors


@pytest.fixture(scope="module")
def backbone():
    return load_starter(ModelSpec("025", 128))


@pytest.fixture(scope="module")
def dataset(photos, backbone):
    found, _ = load_dataset(photos, [], SPEC)
    return found


@pytest.fixture(scope="module")
def said():
    return io.StringIO()


@pytest.fixture(scope="module")
def whole(photos, backbone, said):
    return run(photos, backbone, SPEC, console=Console(stderr=said))


@pytest.fixture(scope="module")
def tuner(dataset, backbone):
    from edgeretrain.finetune.run import new_tuner

    return new_tuner(backbone, blank_head(), dataset.train, SPEC)


def stop_after(steps):
    """For `postpone`: asks for the end after `steps` steps of fine-tuning; the head has had its 50 by then."""
    count = itertools.count(1)
    return lambda: lambda: next(count) >= 49 + steps


def blank_head(classes=3, bias=0.0):
    weights = np.zeros((256, classes), np.float32)
    head = Head(quantize_per_channel(weights[None, None], np.zeros(classes, np.float32)), np.float32(1), 0)
    return TrainedHead(head, weights, np.full(classes, bias, np.float32), Curve(), 0.0, 0)


def test_the_whole_network_is_trained_and_the_file_answers_as_its_network(whole, backbone, dataset, said):
    report = whole.report["fine_tuning"]
    assert (report["steps"], report["done"], report["batch"]) == (STEPS, STEPS, 16)
    assert report["best_step"] > report["float_steps"] == 14
    assert report["photos_per_s"] > 0
    assert report["curve"]["step"][-1] == STEPS
    assert report["distortions"] == str(DEFAULT_DISTORTIONS)
    assert whole.report["accuracy"]["tflite"]["top1"] >= 0.9
    assert whole.report["accuracy"]["instrumented"]["agreement"] == 1
    changed = [
        not np.array_equal(a.per_channel[0], b.per_channel[0])
        for a, b in zip(backbone.layers, whole.backbone.layers, strict=True)
    ]
    assert all(changed)
    assert not whole.stopped
    told = rf"^Fine-tuning 28 layers: 5 x {len(dataset.train)} photos, 18 steps of 16, about .* GB of memory$"
    assert re.search(told, said.getvalue(), re.M)
    assert re.search(r"^Step 18 of 18: loss .*, validation top-1 100.0%, \d+ photos/s", said.getvalue(), re.M)
    assert whole.model.contract["fine_tuned"] == {"epochs": 5, "steps": report["best_step"]}


def test_stopped_and_gone_on_with_gives_the_same_bytes(photos, backbone, whole, tmp_path, steps=16):
    stopped = run(photos, backbone, SPEC, checkpoints=tmp_path, postpone=stop_after(steps))
    assert stopped.stopped
    assert stopped.report["fine_tuning"]["done"] == steps
    assert stopped.report["accuracy"]["instrumented"]["agreement"] >= 0.9
    again = run(photos, backbone, SPEC, checkpoints=tmp_path)
    assert again.model.data == whole.model.data
    assert again.report["fine_tuning"]["curve"] == whole.report["fine_tuning"]["curve"]


def test_layers_before_the_first_one_keep_every_code(photos, backbone):
    spec = TrainSpec(steps=50, fine_tune=1, fine_tune_batch_size=16, fine_tune_from="Conv2d_12_pointwise")
    tuned = run(photos, backbone, spec).backbone
    same = [
        np.array_equal(a.per_channel[0], b.per_channel[0]) and np.array_equal(a.per_channel[1], b.per_channel[1])
        for a, b in zip(backbone.layers, tuned.layers, strict=True)
    ]
    assert same == [True] * 24 + [False] * 3


def test_an_unknown_layer_and_diverging_training_are_said_in_one_line(dataset, backbone):
    from edgeretrain.finetune.run import fine_tune

    spec = TrainSpec(fine_tune=1, fine_tune_from="Conv2d_99")
    with pytest.raises(
        UsageError, match=r"--fine-tune-from must be a layer, Conv2d_0, .* \.\.\. Conv2d_13_pointwise, not 'Conv"
    ):
        fine_tune(backbone, blank_head(), dataset, spec)
    with pytest.raises(QualityError, match="the loss is nan after step 1: choose a smaller --fine-tune-rate"):
        fine_tune(backbone, blank_head(bias=np.nan), dataset, TrainSpec(fine_tune=1))


def test_a_tuner_refuses_arrays_of_another_network(tuner):
    with pytest.raises(DataError, match="arrays are not those of this network: delete it to begin again"):
        tuner.restore(tuner.state()[:-1])


def test_views_show_every_photo_once_an_epoch_each_time_another_way(dataset):
    views = views_of(dataset.train, 128, SPEC)
    count = len(dataset.train)
    labels = [views.look(number)[1] for number in range(count)]
    assert sorted(labels) == sorted(photo.label for photo in dataset.train)
    again = views_of(dataset.train, 128, SPEC)
    assert all(np.array_equal(views.look(n)[0], again.look(n)[0]) for n in (0, 5, count, 3 * count + 1))
    one = views_of(dataset.train[:1], 128, SPEC)
    assert not np.array_equal(one.look(0)[0], one.look(1)[0])
    other = views_of(dataset.train, 128, TrainSpec(seed=1))
    assert any(not np.array_equal(views.look(n)[0], other.look(n)[0]) for n in range(3))


def test_views_are_distorted_as_asked_and_whole_photos_without_any(dataset, monkeypatch):
    photo = dataset.train[0]
    views = views_of((photo,), 64, TrainSpec(flip_left_right=True))
    assert views.distortions == Distortions(flip_left_right=True)
    found = [views.look(number)[0] for number in range(8)]
    kinds = {pixels.tobytes() for pixels in found}
    mirrored = {np.ascontiguousarray(pixels[:, ::-1]).tobytes() for pixels in found}
    assert len(kinds) == 2
    assert kinds == mirrored
    whole = load_pixels(photo.path, [64])[0].astype(int)
    assert min(np.abs(pixels - whole).mean() for pixels in found) < 4  # kept at 96 px, then squeezed again


def test_a_photo_that_vanishes_while_training_is_named(dataset, backbone, tmp_path):
    from edgeretrain.finetune.run import _batches

    gone = Photo(tmp_path / "gone.jpg", "gone.jpg", 0, b"0" * 32, 0)
    views = views_of((*dataset.train[:3], gone), 128, SPEC)
    with pytest.raises(DataError, match=r"gone\.jpg was usable a moment ago, now it is not \(no such file\)"):
        list(_batches(views, Length(2, 4, 3, 2), 0, 1))


def test_length_counts_epochs_in_steps():
    assert Length.of(808, TrainSpec(fine_tune=20)) == Length(32, 505, 404, 25)
    assert Length.of(10, TrainSpec(fine_tune=1)) == Length(10, 2, 1, 1)


def see_all(course, losses):
    return [course.see(step, loss, course.quantized(step)) for step, loss in losses]


def test_a_phase_ends_when_validation_gets_no_better_and_the_next_one_keeps_its_length():
    course = Course(Length(10, 100, 80, 10), patience=2)
    assert see_all(course, [(10, 1.0), (20, 0.9), (30, 0.95)]) == [True, True, False]
    assert (course.float_steps, course.steps) == (80, 100)
    assert not course.see(40, 0.9, False)
    assert (course.float_steps, course.steps, course.best_step) == (40, 60, 0)
    assert not course.quantized(40)
    assert course.quantized(41)
    assert see_all(course, [(50, 2.0), (60, 1.9)]) == [True, True]
    assert (course.steps, course.best_step) == (60, 60)
    late = Course(Length(10, 200, 80, 10), patience=2)
    see_all(late, [(step, 1.0) for step in (90, 100, 110)])
    assert (late.float_steps, late.steps, late.best_step) == (80, 110, 90)
    patient = Course(Length(10, 100, 80, 10), patience=0)
    see_all(patient, [(step, 1.0) for step in range(10, 101, 10)])
    assert (patient.float_steps, patient.steps, patient.best_step) == (80, 100, 90)


def test_early_stopping_ends_both_phases(dataset, backbone):
    from edgeretrain.finetune.run import fine_tune

    spec = TrainSpec(fine_tune=100, fine_tune_batch_size=16, fine_tune_patience=1, fine_tune_rate=1e-8)
    tuned = fine_tune(backbone, blank_head(), dataset, spec)
    assert tuned.float_steps < tuned.best_step <= tuned.done < tuned.length.steps // 2
    assert tuned.summary()["float_steps"] == tuned.float_steps
    assert tuned.curve.step[-1] == tuned.done


def test_mixed_precision_computes_in_bfloat16_until_fake_quantization(dataset, backbone):
    from edgeretrain.finetune.run import new_tuner

    spec = TrainSpec(fine_tune=1, mixed_precision=True)
    mixed = new_tuner(backbone, blank_head(), dataset.train, spec)
    pixels = np.stack([load_pixels(photo.path, [128])[0] for photo in dataset.train[:16]])
    labels = np.array([photo.label for photo in dataset.train[:16]])
    layer = mixed._trainee.network.get_layer("Conv2d_5_pointwise")
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    first, logits = mixed.train(pixels, labels, 0.001)
    assert logits.dtype == np.float32
    last = [mixed.train(pixels, labels, 0.001)[0] for _ in range(5)][-1]
    assert last < first
    mixed.quantize()
    assert mixed._trainee.network.get_layer("quant_Conv2d_5_pointwise").compute_dtype == "float32"
    assert np.isfinite(mixed.train(pixels, labels, 0.001)[0])


@pytest.mark.filterwarnings("ignore")  # the converter warns about what the file has in its fake-quant operators
def test_the_converter_makes_a_file_of_the_same_answers(whole, dataset):
    converted = converted_model(whole.backbone, whole.head)
    assert converted.input.dtype == converted.output.dtype == "uint8"
    for photo in dataset.test:
        (pixels,) = load_pixels(photo.path, [128])
        # the converter pools with MEAN, which XNNPACK rounds half to even, and its 8-bit softmax is another
        assert np.abs(converted.predict(pixels) - whole.model.predict(pixels)).max() <= 6 / 256


def test_measuring_the_cost_changes_nothing(dataset, tuner):
    from edgeretrain.finetune.cost import measure

    before, length = tuner.state(), Length.of(len(dataset.train), SPEC)
    cost = measure(tuner, views_of(dataset.train, 128, SPEC), length)
    assert all(np.array_equal(a, b) for a, b in zip(before, tuner.state(), strict=True))
    assert cost.memory_bytes > 1e8
    assert cost.seconds(length, done=8) == pytest.approx(10 * 16 / cost.photos_per_s)


def test_ctrl_c_exports_the_best_so_far_and_resume_gives_the_uninterrupted_bytes(command, photos, whole, tmp_path):
    out = tmp_path / "out"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would inherit "ignore"
    process = in_process_of_its_own("train", "--image-dir", photos, *STARTER, *OPTIONS, "--out", out)
    signal.signal(signal.SIGINT, before)
    for line in process.stderr:
        if line.startswith("Fine-tuning 28 layers"):
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"edgeretrain train --resume {out} goes on" in err
    assert command("verify", out / MODEL)[0] == 0
    assert json.loads((out / "report.json").read_text())["fine_tuning"]["done"] < STEPS
    code, _, err = command("train", "--resume", out, "--steps", 3)
    assert code == 2
    assert "--steps cannot be changed by --resume" in err
    code, _, err = command("train", "--resume", out)
    assert code == 0, err
    assert (out / MODEL).read_bytes() == whole.model.data
    assert not (out / "run.json").exists()
    assert not (out / "checkpoints").exists()
    code, _, err = command("train", "--resume", out)
    assert code == 2
    assert f"--resume {out}: expected an unfinished run, found a finished run; start one with --out" in err


def test_a_second_ctrl_c_aborts_and_what_was_saved_can_be_gone_on_with(command, photos, whole, tmp_path):
    out = tmp_path / "out"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = in_process_of_its_own("train", "--image-dir", photos, *STARTER, *OPTIONS, "--out", out)
    signal.signal(signal.SIGINT, before)
    for line in process.stderr:
        if line.startswith("Fine-tuning 28 layers"):
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + 60
            while not (out / "checkpoints/fine-tuning.npz").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            break
    printed, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Interrupted" in err
    assert printed == ""
    assert not (out / MODEL).exists()
    assert command("train", "--resume", out)[0] == 0
    assert (out / MODEL).read_bytes() == whole.model.data


def test_kill_9_loses_nothing_that_resume_does_not_bring_back(command, photos, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    code = (
        "import sys, os, edgeretrain.sitting as s; s.SAVE_SECONDS = 0; from edgeretrain.__main__ import run; "
        "save = s.Sitting.save\n"
        "def dying(self, name, step, *rest):\n"
        "    save(self, name, step, *rest)\n"
        "    if name == 'fine-tuning' and step == 5: os.kill(os.getpid(), 9)\n"
        "s.Sitting.save = dying; run(sys.argv[1:])"
    )
    process = python("-c", code, "train", "--image-dir", photos, *STARTER, *OPTIONS, "--out", out)
    process.communicate(timeout=120)
    assert process.returncode == -9
    assert not (out / MODEL).exists()
    assert command("train", "--resume", out)[0] == 0
    assert (out / MODEL).read_bytes() == whole.model.data


def test_max_minutes_stops_training_and_says_how_to_go_on(command, photos, tmp_path):
    out = tmp_path / "out"
    code, _, err = command("train", "--image-dir", photos, *STARTER, *OPTIONS, "--out", out, "--max-minutes", 0)
    assert code == 0
    assert "Training was stopped early, this is the best so far" in err
    assert command("verify", out / MODEL)[0] == 0
    assert "fine_tuning" not in json.loads((out / "report.json").read_text())


def test_plan_measures_and_writes_nothing(command, photos, tmp_path):
    code, out, _ = command(
        "train", "--image-dir", photos, *STARTER, *OPTIONS, "--plan", "--json", "--out", tmp_path / "o"
    )
    assert code == 0
    plan = json.loads(out)
    assert (plan["photos"], plan["classes"], plan["training_photos"], plan["head_steps"]) == (72, 3, 58, 50)
    assert plan["fine_tuning"]["steps"] == 18
    assert plan["fine_tuning"]["seconds"] > 0
    assert not (tmp_path / "o").exists()
    code, out, _ = command("train", "--image-dir", photos, *STARTER, "--random-crop", 10, "--plan")
    assert code == 0
    assert "304, at most" in out  # 72 and 4 copies of 58
    assert "Fine-tuning" not in out
    for photo in (bad := tmp_path / "bad").glob("*"):
        photo.unlink()
    for name in ("a", "b"):
        (bad / name).mkdir(parents=True)
        for i in range(3):
            (bad / name / f"{i}.jpg").write_text("no picture")
    code, _, err = command("train", "--image-dir", bad, *STARTER, "--plan")
    assert code == 3
    assert "none of 6 photos tried can be used" in err


def test_resume_of_a_folder_without_a_run_or_with_a_damaged_one_is_refused(command, tmp_path):
    code, _, err = command("train", "--resume", tmp_path)
    assert code == 2
    assert "expected an unfinished run, found no run of this version" in err
    (tmp_path / "run.json").write_text("{")
    code, _, err = command("train", "--resume", tmp_path)
    assert code == 3
    assert "run.json is damaged" in err
