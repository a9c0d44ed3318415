"""The command as a user meets it. Its errors carry the exit code that the command group ends with."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

from edgeretrain.cli.benchmark import benchmark
from edgeretrain.console import Console
from edgeretrain.errors import EdgeRetrainError
from tests.test_benchmark_phone import Fake
from tests.tiny import tiny_model

QUICK = ["--min-runs", "20", "--min-seconds", "0.01"]


def call(*arguments, code=0, console=None):
    """Run the command; return its result after checking the exit code that its error stands for."""
    result = CliRunner().invoke(benchmark, [*map(str, arguments)], obj=console or Console(quiet=True))
    error = result.exception
    found = error.exit_code if isinstance(error, EdgeRetrainError) else result.exit_code
    assert found == code, (result.output, error)
    return result


@pytest.fixture
def model(tmp_path):
    return tiny_model(tmp_path / "tiny.tflite")


def test_benchmark_prints_a_table_and_writes_four_files(model, tmp_path):
    other = tiny_model(tmp_path / "mobilenet_v1_050_160.tflite", shape=(1, 160, 160, 3))
    result = call(model, other, *QUICK, "--threads", "1,2", "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "benchmark.csv", "benchmark.html", "benchmark.json", "benchmark.md",
    ]  # fmt: skip
    assert result.stdout.count("mobilenet_v1_050_160") == 2
    assert "Noise floor with 2 threads" in result.stdout
    assert "int8 against float32" in result.stdout
    data = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    tiny, mobilenet = data["cells"]
    assert (tiny["name"], tiny["res"], tiny["width"], tiny["size_bytes"]) == ("tiny", 16, None, model.stat().st_size)
    assert (mobilenet["res"], mobilenet["width"]) == (160, "050")
    assert [timing["threads"] for timing in tiny["timings"]] == [1, 2]
    assert [p["res"] for p in data["preprocessing"]] == [16, 160]
    assert data["plan"]["min_runs"] == 20
    assert "tiny" in data["pareto"]


def test_benchmark_json_is_the_document(model, tmp_path):
    result = call(model, *QUICK, "--json", "--out", tmp_path / "out")
    assert result.stdout == (tmp_path / "out" / "benchmark.json").read_text()
    assert json.loads(result.stdout)["schema"] == "edgeretrain.benchmark/1"


def test_bad_files_are_named_and_the_others_measured(model, tmp_path, capsys):
    text = tmp_path / "text.tflite"
    text.write_text("hello, I am no model")
    cut = tiny_model(tmp_path / "cut.tflite", dtype="float32")
    cut.write_bytes(cut.read_bytes()[:-200])
    vector = tiny_model(tmp_path / "vector.tflite", shape=(1, 1, 1, 64))
    result = call(text, cut, vector, tmp_path / "none.tflite", model, *QUICK, "--out", tmp_path / "out", code=3)
    assert str(result.exception) == "4 of 5 files could not be measured; the reasons are above"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning: ")]
    expected = ["text.tflite: expected a TFLite model", "cut.tflite: LiteRT refuses it"]
    expected += ["vector.tflite: expected an image input", "none.tflite: expected a .tflite file, found nothing"]
    assert len(lines) == 4
    for line, start in zip(lines, expected, strict=True):
        assert start in line
    data = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [cell["name"] for cell in data["cells"]] == ["tiny"]
    assert len(data["failures"]) == 4


def test_nothing_measured_is_bad_data(tmp_path):
    result = call(tmp_path / "none.tflite", "--out", tmp_path / "out", code=3)
    assert str(result.exception) == "none of 1 files could be measured; the reasons are above"
    assert (tmp_path / "out" / "benchmark.html").exists()


def test_one_file_twice_is_refused(model):
    assert "is given more than once" in str(call(model, model.parent / "." / model.name, code=2).exception)


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    paths = [tiny_model(tmp_path / folder / "m.tflite") for folder in ("old", "new")]
    call(*paths, *QUICK, "--out", tmp_path / "out")
    data = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [cell["name"] for cell in data["cells"]] == ["old/m", "new/m"]


def test_output_folder_in_use_or_unwritable_is_refused_before_measuring(model, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "is not empty" in str(call(model, "--out", tmp_path / "full", code=2).exception)
    call(model, *QUICK, "--out", tmp_path / "full", "--force")
    (tmp_path / "file").touch()
    assert "cannot make the folder" in str(call(model, "--out", tmp_path / "file" / "x", code=5).exception)


def test_limits_recommend_or_exit_4(model, tmp_path):
    result = call(model, *QUICK, "--max-ms", "1000", "--max-kb", "100", "--out", tmp_path / "a")
    assert "tiny is the largest network with at most 1000 ms, at most 100 kB" in result.stdout
    result = call(model, *QUICK, "--max-kb", "0.1", "--out", tmp_path / "b", code=4)
    assert str(result.exception).startswith("None qualifies; tiny: ")
    result = call(model, *QUICK, "--min-top1", "90%", "--out", tmp_path / "c", code=4)
    assert "No accuracy was measured" in str(result.exception)


def test_compare_with_an_earlier_run_passes_or_exits_4(model, tmp_path):
    call(model, *QUICK, "--out", tmp_path / "old")
    old = tmp_path / "old" / "benchmark.json"
    tolerant = ["--fail-if-slower", "100%"]  # a test must not depend on how busy the machine is
    result = call(model, *QUICK, "--compare", old, *tolerant, "--out", tmp_path / "same")
    assert "bytes, +0.0% (limit +5%)" in result.stdout
    assert "Against the earlier results" in (tmp_path / "same" / "benchmark.html").read_text()
    model.write_bytes(model.read_bytes() + bytes(200))
    result = call(model, *QUICK, "--compare", old, *tolerant, "--out", tmp_path / "larger", code=4)
    assert str(result.exception).startswith("worse than the earlier results: tiny: ")
    assert "WORSE tiny" in result.stdout
    call(model, *QUICK, "--compare", old, *tolerant, "--fail-if-larger", "100%", "--out", tmp_path / "allowed")


def test_compare_with_something_else_is_bad_data(model, tmp_path):
    assert "cannot be read" in str(call(model, "--compare", tmp_path / "none.json", code=3).exception)
    (tmp_path / "other.json").write_text("{}")
    assert "expected the schema" in str(call(model, "--compare", tmp_path / "other.json", code=3).exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-if-slower", "5"], "'5' is more than 100%: did you mean 5%?"),
        (["--fail-if-slower", "fast"], "'fast' is no share: write 5% or 0.05"),
        (["--threads", "one"], "'one' is no list of numbers: write 1 or 1,2,4"),
        (["--min-runs", "0"], "0 is not in the range"),
    ],
)
def test_malformed_options_are_usage_errors(model, arguments, message):
    assert message in call(model, *arguments, code=2).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "threads must be numbers from 1 to 256, not 0"),
        (["--device", "usb"], "--device must be adb or adb:SERIAL, not 'usb'"),
        (["--device", "adb:a b"], "--device must be adb or adb:SERIAL"),
        (["--benchmark-binary", "x"], "--benchmark-binary and --app are for a phone: add --device adb"),
        (["--app"], "--benchmark-binary and --app are for a phone: add --device adb"),
        (["--app", "--benchmark-binary", "x", "--device", "adb"], "--app measures without benchmark_model"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(model, arguments, message):
    assert message in str(call(model, *arguments, code=2).exception)


def test_photos_are_timed_and_broken_ones_skipped(model, tmp_path):
    photos = tmp_path / "photos" / "roses"
    photos.mkdir(parents=True)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    Image.new("RGB", (64, 48), "red").save(photos / "red.png")
    call(model, *QUICK, "--image-dir", photos.parent, "--out", tmp_path / "out")
    (found,) = json.loads((tmp_path / "out" / "benchmark.json").read_text())["preprocessing"]
    assert (found["photos"], found["res"], found["source"]) == (1, 16, str(photos.parent))
    assert found["total_p90_ms"] >= found["resize_p50_ms"] > 0


def test_folder_without_photos_is_bad_data(model, tmp_path):
    assert "found no folder" in str(call(model, "--image-dir", tmp_path / "none", code=3).exception)
    (tmp_path / "empty").mkdir()
    assert "found none that can be read" in str(call(model, "--image-dir", tmp_path / "empty", code=3).exception)


@pytest.mark.skipif(sys.platform == "win32", reason="the fake adb is a script with a #! line")
def test_phone_figures_stand_apart_under_its_name(model, tmp_path, monkeypatch):
    folder = tmp_path / "tools"
    folder.mkdir()
    fake = Fake(folder)
    (folder / "settings.json").write_text(json.dumps(fake.settings))
    monkeypatch.setenv("PATH", str(folder))
    result = call(model, *QUICK, "--device", "adb:R58M", "--out", tmp_path / "out")
    assert "On Pixel 3 (sdm845, Android 12); governor schedutil; thermal status light before" in result.stdout
    (phone,) = json.loads((tmp_path / "out" / "benchmark.json").read_text())["phones"]
    assert phone["timings"][0]["name"] == "tiny"
    assert "On a device: Pixel 3" in (tmp_path / "out" / "benchmark.html").read_text()
    fake.settings["bad_model"] = "model0"
    (folder / "settings.json").write_text(json.dumps(fake.settings))
    result = call(model, *QUICK, "--device", "adb:R58M", "--out", tmp_path / "bad", code=3)
    assert "1 models could not be measured on the device" in str(result.exception)
    fake.settings.update(bad_model="", dies_after=0)
    (folder / "settings.json").write_text(json.dumps(fake.settings))
    (folder / "runs").unlink()
    result = call(model, *QUICK, "--device", "adb:R58M", "--out", tmp_path / "gone", code=5)
    assert "the device disappeared" in str(result.exception)
    assert (tmp_path / "gone" / "benchmark.json").exists()


def test_help_ends_with_examples_and_loads_nothing_heavy():
    result = call("--help")
    assert "Examples:" in result.stdout
    assert "edgeretrain benchmark model.tflite" in result.stdout
    script = (
        "import sys; from edgeretrain.cli.benchmark import benchmark; "
        "benchmark(['--help'], standalone_mode=False); "
        "print({'numpy', 'ai_edge_litert', 'jinja2', 'rich', 'PIL', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_benchmark_never_imports_tensorflow(model, tmp_path):
    script = (
        "import sys; from edgeretrain.cli.benchmark import benchmark; "
        f"benchmark({[str(model), *QUICK, '--out', str(tmp_path / 'out')]!r}, standalone_mode=False); "
        "print([name for name in sys.modules if name.startswith(('tensorflow', 'tf_keras', 'keras'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
