"""The command as a user types it: what it prints where, how it ends, what it leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgeretrain.cli.train as train_command
from edgeretrain import storage
from edgeretrain.cli import COMMANDS
from edgeretrain.errors import EnvironmentFailure, UsageError
from tests.conftest import hosted_file, write_photos

MODEL = "mobilenet_v1_025_128.tflite"
STARTER = ("--module", "starter", "--width", "025", "--res", "128")
COMMANDS_AND_GROUPS = [
    *([name] for name in COMMANDS),
    *(["modules", name] for name in ("list", "show", "fetch")),
    *(["data", name] for name in ("check", "sample")),
]


def python(*arguments, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, arguments)], **pipes, **options)


def in_process_of_its_own(*arguments, **options):
    return python("-m", "edgeretrain", *arguments, **options)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("arguments", COMMANDS_AND_GROUPS, ids=" ".join)
def test_every_help_ends_with_examples(command, arguments):
    code, out, err = command(*arguments, "--help")
    assert (code, err) == (0, "")
    examples = [line for line in out.partition("Examples:")[2].splitlines() if line.strip()]
    assert 2 <= len(examples) <= 4
    assert all(line.strip().startswith("edgeretrain ") for line in examples)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["modules", "list"], ["doctor", "--offline"]], ids=" ".join
)
def test_light_commands_import_neither_tensorflow_nor_litert(arguments):
    code = (
        "import sys; from edgeretrain.__main__ import run; run(sys.argv[1:]); "
        "print('heavy:', [m for m in ('tensorflow', 'ai_edge_litert.interpreter') if m in sys.modules])"
    )
    out, err = python("-c", code, *arguments).communicate(timeout=60)
    assert "heavy: []" in out, err


@pytest.mark.parametrize("what", ["train", "evaluate", "predict", "inspect", "verify", "data"])
def test_tensorflow_is_not_imported_where_integers_do(trained, photos, tmp_path, what):
    model, photo = str(trained / MODEL), str(photos / "blue/000.jpg")
    arguments = {
        "train": ["train", "--image-dir", str(photos), *STARTER, "--out", str(tmp_path / "out")],
        "evaluate": ["evaluate", model, str(photos)],
        "predict": ["predict", model, photo],
        "inspect": ["inspect", model],
        "verify": ["verify", model],
        "data": ["data", "check", str(photos)],
    }[what]
    code = (
        "import sys; from edgeretrain.__main__ import run; code = run(sys.argv[1:]); "
        "print('heavy:', 'tensorflow' in sys.modules, code)"
    )
    out, err = python("-c", code, *arguments).communicate(timeout=60)
    assert "heavy: False 0" in out, err


def test_train_says_what_it_did_and_writes_what_it_says(command, photos, tmp_path):
    code, out, err = command("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "new/out")
    assert code == 0
    assert "green things" in out
    assert "unquantized head" in out
    assert "Seconds: backbone" in err
    assert "Written:" in err
    assert set(files_in(tmp_path / "new/out")) - {"log.txt"} == {
        MODEL,
        "labels.txt",
        "report.json",
        "report.html",
        "summaries",
    }
    report = json.loads((tmp_path / "new/out/report.json").read_text())
    assert report["report"] == 1
    assert report["seconds"]["total"] >= report["seconds"]["embed"]


def test_train_json_is_one_document_on_stdout(command, photos, tmp_path):
    code, out, _ = command("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--json", "-q")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out/report.json").read_text())


def test_quiet_train_says_nothing_on_stderr(command, photos, tmp_path):
    code, _, err = command("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--quiet")
    assert (code, err) == (0, "")


def test_runs_are_numbered_and_nothing_is_overwritten(command, photos):
    for number in (1, 2):
        assert command("train", "--image-dir", photos, *STARTER, "-q")[0] == 0
        assert (Path("runs") / f"mobilenet_v1_025_128-{number}" / MODEL).is_file()


def test_an_out_folder_in_use_is_refused_unless_forced(command, photos, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    arguments = ("train", "--image-dir", photos, *STARTER, "--out", tmp_path)
    code, _, err = command(*arguments)
    assert code == 2
    assert "is not empty and nothing is overwritten: choose another --out, or add --force" in err
    assert files_in(tmp_path) == ["mine.txt"]
    assert command(*arguments, "--force")[0] == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_train_without_photos_uses_the_rendered_samples(command, monkeypatch, fresh_cache):
    monkeypatch.setattr(train_command, "SAMPLES_PER_CLASS", 5)
    code, out, err = command("train", *STARTER)
    assert code == 0, err
    assert "rendered samples of machine parts" in err
    assert "washers" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--image-dir", "PHOTOS", "--width", "033"], 2, "width must be one of 025, 050, 075, 100, not '033'"),
        (["train", "--image-dir", "PHOTOS", "--res", "100"], 2, "res must be one of 128, 160, 192, 224, not '100'"),
        (["train", "--image-dir", "PHOTOS", "--steps", "0"], 2, "--steps must be between"),
        (["train", "--image-dir", "PHOTOS", "--steps", "many"], 2, "'many' is not a valid integer"),
        (["train", "--no-such-option"], 2, "No such option"),
        (["trian"], 2, "No such command 'trian'"),
        (["train", "--image-dir", "nowhere", *STARTER], 3, "nowhere is not a folder"),
        (["train", "--image-dir", "PHOTOS/blue", *STARTER], 3, "pictures directly in it and no class folders"),
        (["train", "--image-dir", "PHOTOS", "--module", "no/such"], 5, "--module no/such: no such file or folder"),
        (["train", "--image-dir", "PHOTOS", "--module", "http://127.0.0.1:9/x.tgz"], 5, "not reachable"),
        (["train", "--image-dir", "PHOTOS", *STARTER, "--out", "/dev/null/x"], 5, "cannot make the folder /dev/null/x"),
        (
            ["predict", "MODEL", "nowhere.jpg"],
            3,
            "1 of 1 pictures cannot be used, the first is nowhere.jpg: no such file",
        ),
        (["predict", "PHOTOS/blue/000.jpg", "PHOTOS/blue/000.jpg"], 3, "not a TFLite file: expected a .tflite image"),
        (["evaluate", "MODEL", "nowhere"], 3, "nowhere is not a folder"),
        (["inspect", "nowhere.tflite"], 3, "nowhere.tflite cannot be read: No such file or directory"),
        (["verify", "nowhere.tflite"], 3, "nowhere.tflite cannot be read"),
        (["modules", "fetch", "--width", "025"], 5, "the official mobilenet_v1_025_160 is not to be had now"),
        (["modules", "show", "--module", "PHOTOS"], 5, "has no saved_model.pb: expected a TF1-Hub module folder"),
        (["data", "check", "nowhere"], 3, "nowhere is not a folder"),
        (["data", "sample", "PHOTOS"], 2, "is in use; name another"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_in_one_line_and_its_own_exit_code(command, photos, trained, arguments, code, message):
    filled = [a.replace("PHOTOS", str(photos)).replace("MODEL", str(trained / MODEL)) for a in arguments]
    found, out, err = command(*filled)
    assert found == code, err
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in err
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_a_module_of_another_size_is_a_usage_error(command, photos, shared):
    code, _, err = command("train", "--image-dir", photos, "--module", hosted_file(shared, "025"), "--width", "050")
    assert code == 2
    assert "--width 050 was asked for, but" in err
    assert "has width 025" in err


def test_a_refused_model_is_not_written(command, photos, tmp_path):
    """A head that was hardly trained answers one class for everything."""
    hardly = ("--steps", 1, "--learning-rate", "1e-8")
    code, _, err = command("train", "--image-dir", photos, *STARTER, *hardly, "--out", tmp_path / "out")
    assert code == 4
    assert "the model answers 'blue' for all" in err
    assert "nothing was exported" in err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_half_written(command, photos, tmp_path, monkeypatch):
    """/dev/full stands for the full disk: the write goes through the real system call and fails as it would there."""
    real = os.fdopen

    def full(handle, *arguments, **options):
        os.dup2(os.open("/dev/full", os.O_WRONLY), handle)
        return real(handle, *arguments, **options)

    monkeypatch.setattr(storage.os, "fdopen", full)
    with pytest.raises(EnvironmentFailure, match="cannot write .*: No space left on device"):
        storage.write_file(tmp_path / "out/x.bin", b"x" * 100)
    assert files_in(tmp_path / "out") == []


def test_output_folder_and_write_file_explain_themselves(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailure, match="cannot write .*file/y"):
        storage.write_file(tmp_path / "file/y", "x")
    with pytest.raises(UsageError, match="is not empty"):
        storage.output_folder(tmp_path, "x")


def test_bad_pictures_among_good_ones_are_named_and_the_rest_answered(command, trained, photos, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    code, out, err = command("predict", trained / MODEL, photos / "blue/000.jpg", tmp_path / "bad.jpg", "--top", 1)
    assert code == 3
    assert "blue" in out
    assert f"Warning: {tmp_path / 'bad.jpg'}:" in err


def test_evaluate_prints_table_and_json(command, trained, photos):
    code, out, err = command("evaluate", trained / MODEL, photos)
    assert code == 0
    assert "top-1 on test photos: " in out
    assert "only its test photos count" in err
    document = json.loads(command("evaluate", trained / MODEL, photos, "--photos", "all", "--json")[1])
    assert document["accuracy"]["n"] == 72
    assert (document["edgeretrain"], document["version"]) == ("evaluate", 1)


def test_inspect_prints_the_contract(command, trained, shared):
    _, out, _ = command("inspect", trained / MODEL)
    for text in ("uint8 [1, 128, 128, 3]", "blue, green things, red", "starter", "95 % interval", "golden vectors"):
        assert text in out
    document = json.loads(command("inspect", trained / MODEL, "--json")[1])
    assert document["contract"]["contract"] == 1
    assert "none: not written by edgeretrain" in command("inspect", hosted_file(shared, "025"))[1]


def test_verify_passes_and_refuses_a_changed_file(command, trained, tmp_path):
    assert command("verify", trained / MODEL)[0] == 0
    data = bytearray((trained / MODEL).read_bytes())
    data[len(data) // 2] ^= 0x55
    (tmp_path / "changed.tflite").write_bytes(data)
    code, out, err = command("verify", tmp_path / "changed.tflite")
    assert code == 4
    assert "DIFFERS" in out
    assert "is not what it says it is: network: the bytes were changed" in err
    document = json.loads(command("verify", tmp_path / "changed.tflite", "--json")[1])
    assert document["ok"] is False


def test_modules_are_listed_and_shown(command, shared):
    _, out, _ = command("modules", "list")
    assert out.count("quantops/feature_vector/3") == 16
    assert len(json.loads(command("modules", "list", "--json")[1])["modules"]) == 16
    _, out, _ = command("modules", "show", "--module", hosted_file(shared, "050"))
    assert "Conv2d_13_pointwise" in out
    assert "829,536 bytes" in out
    layers = json.loads(command("modules", "show", "--module", hosted_file(shared, "050"), "--json")[1])["layers"]
    assert len(layers) == 27
    assert layers[0]["output"] == [80, 80, 16]
    assert "How they were made" in command("modules", "show", "--module", "starter")[1]


def test_modules_fetch_keeps_a_file_for_later(command, shared, fresh_cache):
    code, out, _ = command("modules", "fetch", "--module", hosted_file(shared, "025"))
    assert code == 0
    assert "is at hand without a network" in out
    assert len(list((fresh_cache / "backbones").iterdir())) == 1


def test_data_check_lists_everything(command, photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "blue/bad.png").write_text("x")
    code, out, _ = command("data", "check", folder)
    assert code == 0
    assert "blue/bad.png" in out
    assert "72 usable photos in 3 classes" in out
    assert command("data", "check", folder, "--on-bad", "fail")[0] == 3
    document = json.loads(command("data", "check", folder, "--json")[1])
    assert [item["name"] for item in document["rejected"]] == ["blue/bad.png"]


def test_doctor_names_versions_cache_and_sources(command, fresh_cache):
    _, out, _ = command("doctor", "--timeout", "0.5")
    for text in ("tensorflow", "cores", str(fresh_cache), "cache writable", "does not answer"):
        assert text in out
    facts = json.loads(command("doctor", "--offline", "--json")[1])
    assert facts["hub"] == "not tried (--offline)"


def test_an_unexpected_error_is_one_line_with_a_report(command, monkeypatch, photos):
    monkeypatch.setattr(train_command, "load_module", lambda *a: 1 / 0)
    code, _, err = command("train", "--image-dir", photos)
    assert code == 1
    assert err.startswith("Error: ZeroDivisionError: division by zero (a bug of edgeretrain; details in ")
    details = Path(err.rsplit("details in ", 1)[1].strip().rstrip(")"))
    assert "Traceback" in details.read_text()
    details.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_with_130_and_leaves_no_half_results(command, tmp_path, number):
    folder = write_photos(tmp_path / "photos", 250)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would inherit "ignore"
    process = in_process_of_its_own("train", "--image-dir", folder, *STARTER, "--steps", 1_000_000, cwd=tmp_path)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not (tmp_path / "runs").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    runs = [path for path in (tmp_path / "runs").iterdir() if any(path.iterdir())]
    if not runs:  # it came before training: nothing is there yet
        assert "Interrupted" in err
        return
    assert "Training was stopped early, this is the best so far" in err
    assert "mobilenet_v1_025_128:" in out
    code, _, _ = command("verify", runs[0] / MODEL)
    assert code == 0
    assert {"run.json", "checkpoints", "report.json"} <= set(files_in(runs[0]))


def test_a_closed_pipe_is_no_error_message(trained):
    process = in_process_of_its_own("modules", "list")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in err
    assert "Error" not in err


def test_two_runs_at_once_do_not_disturb_each_other(photos, tmp_path):
    processes = [in_process_of_its_own("train", "--image-dir", photos, *STARTER, "-q", cwd=tmp_path) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    first, second = (tmp_path / "runs" / f"mobilenet_v1_025_128-{n}" / MODEL for n in (1, 2))
    assert first.read_bytes() == second.read_bytes()
