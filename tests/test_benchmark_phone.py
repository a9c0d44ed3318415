"""The protocol with a phone, against a fake adb that records every call and replays what real ones print."""

import json
import os
import sys
from pathlib import Path

import pytest

from edgeretrain.benchmark.phone import REMOTE_DIR, measure_on_phone, parse_output
from edgeretrain.errors import EnvironmentFailure

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake adb is a script with a #! line")

OUTPUT = """STARTING!
Log parameter values verbosely: [0]
Min num runs: [50]
Num threads: [{threads}]
Graph: [{graph}]
Use xnnpack: [1]
Loaded model {graph}
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
The input model file size (MB): 0.312
Initialized session in 5.623ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=171 first=11532 curr=2871 min=2802 max=11532 avg=2941.11 std=702 p5=2820 median=2860 p95=3011

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=349 first=2890 curr=2854 min=2799 max=3960 avg=2.86034e+03 std=81 p5=2815 median={median} p95=2967

Inference timings in us: Init: 5623, First inference: 11532, Warmup (avg): 2941.11, Inference (avg): 2860.34
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory.
Memory footprint delta from the start of the tool (MB): init=2.5 overall=6.25
"""
OLD_OUTPUT = """count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, Inference (avg): 2.95034e+06
Memory footprint delta from the start of the tool (MB): init=4.21094 overall=46.0859
"""

FAKE = """#!{python}
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__))
settings = json.load(open(os.path.join(folder, "settings.json")))
arguments = sys.argv[1:]
with open(os.path.join(folder, "log.jsonl"), "a") as log:
    log.write(json.dumps(arguments) + chr(10))
runs_file = os.path.join(folder, "runs")
runs = int(open(runs_file).read()) if os.path.exists(runs_file) else 0

def say(text="", code=0, error=""):
    sys.stdout.write(text)
    sys.stderr.write(error)
    sys.exit(code)

if arguments[:1] == ["-s"]:
    if arguments[1] != settings["serial"]:
        say(code=1, error="error: device '%s' not found" % arguments[1] + chr(10))
    arguments = arguments[2:]
if settings["state"] != "device":
    say(code=1, error=settings["state"] + chr(10))
if runs > settings["dies_after"]:
    say(code=1, error="adb: device '%s' not found" % settings["serial"] + chr(10))
if arguments == ["get-state"]:
    say("device" + chr(10))
if arguments == ["get-serialno"]:
    say(settings["serial"] + chr(10))
if arguments[0] == "push":
    if settings["push_fails"] and settings["push_fails"] in arguments[1]:
        say(code=1, error="adb: error: failed to copy: No space left on device" + chr(10))
    say("1 file pushed, 0 skipped. 41.2 MB/s (312442 bytes in 0.007s)" + chr(10))
if arguments[0] == "shell":
    line = arguments[1]
    for start, answer in settings["answers"].items():
        if line.startswith(start):
            say(answer[0], answer[1], answer[2])
    if "benchmark_model --graph" in line:
        open(runs_file, "w").write(str(runs + 1))
        if runs + 1 > settings["dies_after"]:
            say("STARTING!" + chr(10), 255, "")
        if settings["bad_model"] and settings["bad_model"] in line:
            say("STARTING!" + chr(10), 1, "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '9'" + chr(10))
        graph = line.split("--graph=")[1].split()[0]
        threads = line.split("--num_threads=")[1].split()[0]
        median = str(2000 + 100 * runs)
        output = settings["output"].replace("{{graph}}", graph).replace("{{threads}}", threads)
        say(output.replace("{{median}}", median))
say()
"""
ANSWERS = {
    "getprop ro.product.model": ["Pixel 3\n", 0, ""],
    "getprop ro.soc.model": ["\n", 0, ""],
    "getprop ro.board.platform": ["sdm845\n", 0, ""],
    "getprop ro.build.version.release": ["12\n", 0, ""],
    "cat /sys/": ["schedutil\n", 0, ""],
    "dumpsys thermalservice": ["IsStatusOverride: false\nThermal Status: 1\nCached temperatures:\n", 0, ""],
}


class Fake:
    """A fake adb in a folder; `settings` change what it answers, `calls` are what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            "serial": "R58M", "state": "device", "dies_after": 10**6, "push_fails": "", "bad_model": "",
            "answers": dict(ANSWERS), "output": OUTPUT,
        }  # fmt: skip
        script = folder / "adb"
        script.write_text(FAKE.format(python=sys.executable))
        script.chmod(0o755)

    def measure(self, models, **options):
        (self.folder / "settings.json").write_text(json.dumps(self.settings))
        return measure_on_phone(models, adb=str(self.folder / "adb"), **options)

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def fake(tmp_path):
    folder = tmp_path / "platform tools"
    folder.mkdir()
    return Fake(folder)


@pytest.fixture
def models(tmp_path):
    paths = [tmp_path / "a; reboot.tflite", tmp_path / "$(id).tflite"]
    for path in paths:
        path.write_bytes(b"model")
    return [(path.stem, path) for path in paths]


def test_measure_on_phone_returns_figures_and_the_device(fake, models):
    phone = fake.measure(models, threads=(1, 4))
    assert (phone.serial, phone.model, phone.soc, phone.android) == ("R58M", "Pixel 3", "sdm845", "12")
    assert (phone.governor, phone.thermal_before, phone.thermal_after) == ("schedutil", "light", "light")
    assert (phone.problem, phone.failures) == (None, ())
    assert [(t.name, t.threads) for t in phone.timings] == [
        ("a; reboot", 1), ("a; reboot", 4), ("$(id)", 1), ("$(id)", 4),
    ]  # fmt: skip
    for timing in phone.timings:
        assert len(timing.rounds_ms) == 3
        assert timing.p50_ms == sorted(timing.rounds_ms)[1]
        assert (timing.init_ms, timing.first_ms, timing.memory_bytes) == (5.623, 11.532, int(6.25 * (1 << 20)))
        assert timing.runs == 3 * 349
        assert "XNNPACK delegate" in timing.delegate
    # the fake's medians count its runs: every one was used once, four in each round
    assert sorted(ms for t in phone.timings for ms in t.rounds_ms) == [2 + n / 10 for n in range(12)]
    for turn in range(3):
        assert all(round(10 * (t.rounds_ms[turn] - 2)) // 4 == turn for t in phone.timings)


def test_protocol_uses_own_names_on_the_device_and_cleans_up(fake, models):
    fake.measure(models, serial="R58M")
    assert all(call[:2] == ["-s", "R58M"] for call in fake.calls)
    calls = [call[2:] for call in fake.calls]
    assert calls[0] == ["get-state"]
    assert ["push", str(models[0][1]), f"{REMOTE_DIR}/model0.tflite"] in calls
    remote = [call[1] for call in calls if call[0] == "shell"]
    assert not any("reboot" in line or "$(" in line for line in remote)
    assert remote[0] == f"mkdir -p {REMOTE_DIR}"
    assert remote[-1] == f"rm -r {REMOTE_DIR}"
    run = f"--graph={REMOTE_DIR}/model1.tflite --num_threads=1 --use_xnnpack=true --max_secs=60"
    assert f"/data/local/tmp/benchmark_model {run}" in remote


def test_binary_of_this_computer_is_copied(fake, models, tmp_path):
    binary = tmp_path / "benchmark_model"
    binary.write_bytes(b"\x7fELF")
    fake.measure(models, binary=str(binary))
    assert ["push", str(binary), f"{REMOTE_DIR}/benchmark_model"] in fake.calls
    assert ["shell", f"chmod 755 {REMOTE_DIR}/benchmark_model"] in fake.calls


def test_words_for_the_device_are_quoted(fake, models):
    fake.measure(models, binary="/data/local/tmp/my tool; reboot/benchmark_model")
    lines = [call[1] for call in fake.calls if call[0] == "shell"]
    assert "test -x '/data/local/tmp/my tool; reboot/benchmark_model'" in lines


def test_device_that_disappears_keeps_what_was_measured(fake, models):
    fake.settings["dies_after"] = 1
    phone = fake.measure(models)
    assert len(phone.timings) == 1
    assert phone.problem == "the device disappeared (device 'R58M' not found): 1 of 2 models were not measured"
    assert phone.thermal_after is None


def test_device_that_disappears_while_copying_is_reported(fake, models):
    fake.settings["dies_after"] = -1
    with pytest.raises(EnvironmentFailure, match=r"expected a device that adb can use, found: device 'R58M' not found"):
        fake.measure(models)


def test_device_that_disappears_before_the_first_run_is_reported(fake, models):
    fake.settings["answers"]["mkdir"] = ["", 1, "error: device offline\n"]
    with pytest.raises(EnvironmentFailure, match="disappeared before the first run: device offline"):
        fake.measure(models)


def test_model_that_the_device_refuses_leaves_the_others(fake, models):
    fake.settings["bad_model"] = "model0"
    phone = fake.measure(models)
    assert [t.name for t in phone.timings] == ["$(id)"]
    assert len(phone.timings[0].rounds_ms) == 3
    (failure,) = phone.failures
    assert failure.reason.startswith("benchmark_model failed on the device: ERROR: Didn't find op")
    assert sum("model0" in call[-1] and "--graph" in call[-1] for call in fake.calls) == 1


def test_model_that_cannot_be_copied_leaves_the_others(fake, models):
    fake.settings["push_fails"] = "reboot"
    phone = fake.measure(models)
    assert phone.failures[0].reason == (
        "cannot be copied to the device: error: failed to copy: No space left on device"
    )
    assert len(phone.timings) == 1


def test_run_without_timings_is_a_failure(fake, models):
    fake.settings["output"] = "STARTING!\n"
    phone = fake.measure(models)
    assert phone.timings == ()
    assert phone.failures[0].reason == "benchmark_model failed on the device: no timings in its output, exit code 0"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("error: no devices/emulators found", "expected a device that adb can use, found: no devices/emulators found"),
        ("error: more than one device/emulator", "found: more than one device/emulator; see `adb devices`"),
        ("error: device unauthorized.", "found: device unauthorized"),
    ],
)
def test_no_usable_device_is_one_line(fake, models, state, message):
    fake.settings["state"] = state
    with pytest.raises(EnvironmentFailure, match=message):
        fake.measure(models)


def test_unknown_serial_is_named(fake, models):
    with pytest.raises(EnvironmentFailure, match="expected device XYZ that adb can use, found: device 'XYZ' not found"):
        fake.measure(models, serial="XYZ")


def test_missing_binary_is_named(fake, models):
    fake.settings["answers"]["test -x"] = ["", 1, ""]
    with pytest.raises(EnvironmentFailure, match=r"benchmark_model at /data/local/tmp/benchmark_model on the device"):
        fake.measure(models)
    with pytest.raises(EnvironmentFailure, match=r"benchmark_model at not/absolute on the device, found none"):
        fake.measure(models, binary="not/absolute")


def test_binary_that_cannot_be_copied_is_named(fake, models, tmp_path):
    binary = tmp_path / "benchmark_model"
    binary.write_bytes(b"\x7fELF")
    fake.settings["push_fails"] = "benchmark_model"
    with pytest.raises(EnvironmentFailure, match=r"cannot copy .*benchmark_model to the device: .*No space left"):
        fake.measure(models, binary=str(binary))


def test_device_without_a_writable_folder_is_named(fake, models):
    fake.settings["answers"]["mkdir"] = ["", 1, "mkdir: '/data/local/tmp': Permission denied\n"]
    with pytest.raises(EnvironmentFailure, match=f"cannot make {REMOTE_DIR} on the device: mkdir: .*Permission denied"):
        fake.measure(models)


def test_missing_adb_is_named(models, tmp_path):
    with pytest.raises(EnvironmentFailure, match="no-adb was not found: install Android's platform tools"):
        measure_on_phone(models, adb="no-adb")
    (tmp_path / "adb").write_text("not executable")
    with pytest.raises(EnvironmentFailure, match=r"adb cannot be run: Permission denied"):
        measure_on_phone(models, adb=str(tmp_path / "adb"))


def test_parse_output_reads_new_and_old_formats():
    new = parse_output(OUTPUT.replace("{median}", "2851"))
    assert (new.p50_ms, new.runs, new.init_ms) == (2.851, 349, 5.623)
    old = parse_output(OLD_OUTPUT)
    assert (old.p50_ms, old.first_ms, old.runs, old.delegate) == (2950.34, 3512.391, 50, None)
    assert old.memory_bytes == int(46.0859 * (1 << 20))
    assert parse_output("I tflite  : " + "I tflite  : ".join(OLD_OUTPUT.splitlines(True))).p50_ms == 2950.34


def test_parse_output_of_an_unfinished_run_is_none():
    assert parse_output("STARTING!\n") is None
    assert parse_output(OUTPUT.partition("Inference timings")[0]) is None
