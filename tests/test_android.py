"""`deploy`: the demo app's assets, and a phone behind a fake `adb` that keeps files in a folder and a log of its calls."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgeretrain import android
from edgeretrain.android import Phone, file_name, install, load_verified
from edgeretrain.benchmark.app import measure_with_app
from edgeretrain.cli import cli
from edgeretrain.errors import DataError, EnvironmentFailure, QualityError, UsageError

FAKE_ADB = f"""#!{sys.executable}
import json, os, pathlib, shlex, shutil, sys
root = pathlib.Path(os.environ["FAKE_PHONE"])
args = sys.argv[1:]
with open(root / "calls", "a") as log:
    log.write(json.dumps(args) + "\\n")
if args[0] == "-s":
    args = args[2:]
plan = json.loads((root / "plan.json").read_text())
if plan.get("fail") == args[0]:
    sys.exit("adb: device offline")
def local(path):
    return root / path.lstrip("/")
if args[0] == "get-state":
    print(plan.get("state", "device"))
elif args[0] == "push":
    shutil.copy(args[1], local(args[2]))
elif args[0] == "exec-out":
    result = local(args[1].split()[1])
    print(result.read_text() if result.exists() else "")
elif args[0] == "shell":
    words = shlex.split(args[1])
    if words[0] == "pm":
        print(plan.get("packages", "package:org.edgeretrain.demo"))
    elif words[0] == "mkdir":
        local(words[2]).mkdir(parents=True, exist_ok=True)
    elif words[0] == "mv":
        local(words[1]).replace(local(words[2]))
    elif words[0] == "am":
        print(plan.get("am", "Starting: Intent {{ }}"))
        if "run" in words and plan.get("answers", True):
            run = words[words.index("run") + 1]
            result = dict(plan.get("result", {{}}), edgeretrain="android-benchmark", version=1, run=run)
            local("/sdcard/Android/data/org.edgeretrain.demo/files/benchmark.json").write_text(json.dumps(result))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    manifest = tmp_path / "app" / android.MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text("<manifest/>")
    return tmp_path / "app"


class FakePhone:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan()

    def plan(self, **plan: Any) -> None:
        (self.root / "plan.json").write_text(json.dumps(plan))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.root / "calls").read_text().splitlines()]

    def file(self, name: str) -> Path:
        return self.root / str(android.FILES / name).lstrip("/")


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePhone:
    root = tmp_path / "phone"
    root.mkdir()
    adb = tmp_path / "bin" / "adb"
    adb.parent.mkdir()
    adb.write_text(FAKE_ADB)
    adb.chmod(adb.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(adb.parent))
    monkeypatch.setenv("FAKE_PHONE", str(root))
    return FakePhone(root)


def test_deploy_puts_the_model_and_nothing_else_into_the_assets(model_file: Path, app: Path) -> None:
    result = CliRunner().invoke(cli, ["deploy", str(model_file), "--app", str(app), "--json"])
    assert result.exit_code == 0, result.output
    assets = app / android.ASSETS
    assert [path.name for path in assets.iterdir()] == ["my_model.tflite"]
    assert (assets / "my_model.tflite").read_bytes() == model_file.read_bytes()
    document = json.loads(result.stdout)
    assert document["installed"] == str(assets / "my_model.tflite")
    assert document["pushed"] is False


def test_deploy_refuses_a_model_that_is_not_what_it_says(model_file: Path, app: Path, tmp_path: Path) -> None:
    data = bytearray(model_file.read_bytes())
    at = data.index(b"by edgeretrain")
    data[at] ^= 1
    changed = tmp_path / "changed.tflite"
    changed.write_bytes(data)
    with pytest.raises(QualityError, match=r"was not deployed, .*: network: the bytes were changed"):
        load_verified(changed)
    result = CliRunner().invoke(cli, ["deploy", str(changed), "--app", str(app)])
    assert isinstance(result.exception, QualityError)
    assert not (app / android.ASSETS).exists()


def test_install_refuses_a_folder_that_is_not_the_app(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not the demo app, it has no app/src/main/AndroidManifest\.xml"):
        install(load_verified(model_file), "m.tflite", tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.tflite", "a.tflite"), ("my model (2).tflite", "my_model__2_.tflite"), ("-rf;x.bin", "rf_x.tflite")],
)
def test_file_name_is_plain(name: str, expected: str) -> None:
    assert file_name(Path(name)) == expected


def test_deploy_adb_pushes_and_starts_the_app(model_file: Path, phone: FakePhone, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["deploy", str(model_file), "--adb", "--serial", "abc"])
    assert result.exit_code == 0, result.output
    assert phone.file("models/my_model.tflite").read_bytes() == model_file.read_bytes()
    assert [path.name for path in phone.file("models").iterdir()] == ["my_model.tflite"]
    assert all(call[:2] == ["-s", "abc"] for call in phone.calls)
    assert phone.calls[-1][-1] == "am start -n org.edgeretrain.demo/.MainActivity --es model my_model.tflite"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"state": "unauthorized"}, "the phone is 'unauthorized', not ready: unlock it and allow USB debugging"),
        ({"packages": "package:org.edgeretrain.demo2"}, "the phone has no app org.edgeretrain.demo"),
        ({"fail": "push"}, "adb push failed: adb: device offline"),
        ({"am": "Error type 3\nError: Activity class does not exist."}, "does not start: Error: Activity class does"),
    ],
)
def test_deploy_adb_explains_what_is_wrong(
    model_file: Path, phone: FakePhone, plan: dict[str, str], message: str
) -> None:
    phone.plan(**plan)
    result = CliRunner().invoke(cli, ["deploy", str(model_file), "--adb"])
    assert isinstance(result.exception, EnvironmentFailure)
    assert message in str(result.exception)


def test_deploy_without_adb_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailure, match="adb is not on the PATH: install Android's platform tools"):
        Phone.find()


def test_an_adb_that_cannot_run_or_hangs_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFailure, match="adb cannot be run: No such file or directory"):
        Phone(str(tmp_path / "none")).start("m.tflite")
    slow = tmp_path / "adb"
    slow.write_text(f"#!{sys.executable}\nimport time; time.sleep(30)\n")
    slow.chmod(0o755)
    monkeypatch.setattr(android, "_ADB_TIMEOUT_S", 0.3)
    with pytest.raises(EnvironmentFailure, match=r"adb shell took longer than 0\.3 s"):
        Phone(str(slow)).start("m.tflite")


PLAN = {"warmup_runs": 1, "min_runs": 5, "min_seconds": 0.5}


def test_benchmark_reads_the_result_of_its_own_run(phone: FakePhone) -> None:
    phone.file("").mkdir(parents=True)
    phone.file("benchmark.json").write_text('{"run": "an older one"}')
    phone.plan(result={"timings": [1]})
    found = Phone.find().benchmark("m.tflite", **PLAN, timeout=20)
    assert found["timings"] == [1]
    started = phone.calls[2][-1]
    assert "-n org.edgeretrain.demo/.BenchmarkActivity --es model m.tflite --ez start true" in started
    assert "--ei warmup_runs 1 --ei min_runs 5 --ef min_seconds 0.5" in started


def test_benchmark_explains_a_model_that_the_app_refuses(phone: FakePhone) -> None:
    phone.file("").mkdir(parents=True)
    phone.plan(result={"error": "NOT_TFLITE"})
    with pytest.raises(DataError, match=r"the app cannot use m\.tflite: NOT_TFLITE"):
        Phone.find().benchmark("m.tflite", **PLAN, timeout=20)


def test_benchmark_gives_up_in_the_end(phone: FakePhone) -> None:
    phone.plan(answers=False)
    with pytest.raises(EnvironmentFailure, match=r"gave no result for m\.tflite within 0\.2 s: is its screen on\?"):
        Phone.find().benchmark("m.tflite", **PLAN, timeout=0.2)


SUMMARY = {"p50_ms": 4.5, "p90_ms": 5.0, "p99_ms": 6.0}
TIMINGS = [
    {"threads": threads, "runs": 60, "inference": SUMMARY, "preprocess": {"p50_ms": 1.25}} for threads in (1, 2, 4)
]


def test_benchmark_by_the_app_gives_figures_per_thread_count(phone: FakePhone, model_file: Path) -> None:
    phone.plan(result={"timings": TIMINGS})
    found = measure_with_app([("m", model_file)], min_runs=10, min_seconds=0.1)
    assert [(t.name, t.threads, t.p50_ms, t.runs) for t in found.timings] == [("m", n, 4.5, 60) for n in (1, 2, 4)]
    assert found.timings[0].init_ms is None
    assert "preprocessing 1.25 ms" in str(found.timings[0].delegate)
    assert (found.problem, found.failures) == (None, ())
    assert phone.file("models/my_model.tflite").read_bytes() == model_file.read_bytes()


def test_benchmark_by_the_app_keeps_the_others_when_one_fails(phone: FakePhone, model_file: Path) -> None:
    phone.plan(result={"error": "BROKEN x"})
    found = measure_with_app([("m", model_file)])
    assert "the app cannot use my_model.tflite: BROKEN x" in found.failures[0].reason
    phone.plan(result={"timings": [{"threads": 1}]})
    found = measure_with_app([("m", model_file)])
    assert "the app's result for m is not complete" in found.failures[0].reason


def test_benchmark_by_the_app_says_when_the_phone_is_lost(phone: FakePhone, model_file: Path) -> None:
    phone.plan(answers=False)
    found = measure_with_app([("m", model_file), ("n", model_file)], timeout_s=0.2)
    assert found.timings == ()
    assert str(found.problem).startswith(
        "the phone was lost (the phone gave no result for my_model.tflite within 0.2 s"
    )
    assert "2 of 2 models were not measured" in str(found.problem)
