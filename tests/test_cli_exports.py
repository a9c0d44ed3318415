"""retrain.py's command line, and what it writes besides the .tflite."""

import json
import os

import pytest

from tests.conftest import module_folder
from tests.test_cli import MODEL, STARTER, files_in, python

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow, tf_keras and tfmot warn about themselves

DISTORTIONS = ("--flip_left_right", "--random_crop", 10, "--random_scale", 10, "--random_brightness", 10)
SUMMARIES = ("--summaries_dir", "logs", "--intermediate_output_graphs_dir", "between/")
INTERMEDIATE = ("--intermediate_store_frequency", 20)


@pytest.mark.parametrize(
    "more", [(), DISTORTIONS, (*SUMMARIES, *INTERMEDIATE)], ids=["rest", "distortions", "summaries"]
)
def test_the_old_command_line_works_as_it_stands(command, photos, tmp_path, shared, monkeypatch, more):
    """Every option of retrain.py, spelled as it spelled them, with a module of its own kind."""
    monkeypatch.chdir(tmp_path)
    code, out, err = command(
        *("train", "--image_dir", photos, "--tfhub_module", module_folder(shared, "025")),
        *("--output_graph", "output_graph.pb", "--output_labels", "output_labels.txt"),
        *("--how_many_training_steps", 50, "--learning_rate=0.01", "--testing_percentage", 10),
        *("--validation_percentage", 10, "--eval_step_interval", 10, "--train_batch_size", 20),
        *("--test_batch_size", -1, "--validation_batch_size", 100, "--print_misclassified_test_images"),
        *("--bottleneck_dir", "bottleneck", "--final_tensor_name", "final_result", "--saved_model_dir=models/7/"),
        *("--logging_verbosity", "INFO", "--checkpoint_path", "_retrain_checkpoint"),
        *more,
    )
    assert code == 0, err
    training = json.loads((tmp_path / "runs/mobilenet_v1_025_128-1/report.json").read_text())["training"]
    assert (training["steps"], training["train_batch_size"], training["learning_rate"]) == (50, 20, 0.01)
    assert (tmp_path / "models/7/saved_model.pb").is_file()
    assert (tmp_path / "output_graph.pb").stat().st_size > 800_000
    assert (tmp_path / "output_labels.txt").read_text() == "blue\ngreen things\nred\n"
    assert sum(path.stat().st_size for path in (tmp_path / "bottleneck").glob("embeddings.sqlite*")) > 72 * 256
    if "--summaries_dir" in more:
        assert list((tmp_path / "logs").rglob("events.out.tfevents*"))
        assert files_in(tmp_path / "between") == [f"mobilenet_v1_025_128_step_{n:06d}.tflite" for n in (20, 40)]
    assert "misclassified test photos" in out
    assert "Embeddings (bottlenecks) are kept in bottleneck/embeddings.sqlite" in err
    assert "--checkpoint-path is accepted and not used" in err


@pytest.mark.parametrize(("level", "quiet"), [("debug", False), ("WARN", True), ("ERROR", True), ("FATAL", True)])
def test_logging_verbosity_is_quiet_or_not(command, photos, level, quiet):
    code, _, err = command("train", "--image_dir", photos, *STARTER, "--logging_verbosity", level)
    assert code == 0
    assert (err == "") == quiet


def test_misclassified_photos_are_listed_on_demand(command, photos, tmp_path):
    """The green photos are put under `blue`: many must be called wrongly."""
    for name in ("red", "blue"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for number, path in enumerate(sorted(photos.glob("*/*.jpg"))):
        name = "blue" if "blue" in path.parts else "red" if "red" in path.parts else ("red", "blue")[number % 2]
        (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(path.read_bytes())
    arguments = ("train", "--image-dir", tmp_path / "photos", *STARTER, "--testing-percentage", 40)
    code, out, _ = command(*arguments, "--print-misclassified-test-images", "--out", tmp_path / "out")
    assert code == 0
    rows = json.loads((tmp_path / "out/report.json").read_text())["misclassified"]
    assert rows
    assert f"{len(rows)} misclassified test photos" in out
    for row in rows:
        line = next(line for line in out.splitlines() if row["path"] in line)
        assert line.split() == [row["path"], row["truth"], row["predicted"], f"{100 * row['confidence']:.1f}"]
    assert "misclassified" not in command(*arguments, "--out", tmp_path / "silent")[1]
    as_json = command(*arguments, "--print-misclassified-test-images", "--json", "--out", tmp_path / "json")[1]
    assert json.loads(as_json)["misclassified"] == rows


def test_float_exports_need_no_tensorflow(photos, tmp_path):
    arguments = ["train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--export", "float16, float32"]
    code = (
        "import sys; from edgeretrain.__main__ import run; code = run(sys.argv[1:]); "
        "print('heavy:', 'tensorflow' in sys.modules, code)"
    )
    out, err = python("-c", code, *arguments).communicate(timeout=60)
    assert "heavy: False 0" in out, err
    assert "Exported: mobilenet_v1_025_128_float16.tflite (tflite float16, " in err
    stem = MODEL.removesuffix(".tflite")
    assert {f"{stem}_float16.tflite", f"{stem}_float32.tflite", MODEL} <= set(files_in(tmp_path / "out"))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [entry["kind"] for entry in report["exports"]] == ["tflite float16", "tflite float32"]
    assert report["seconds"]["export"] > 0


def test_a_taken_place_is_said_before_anything_is_trained(command, photos, tmp_path):
    (tmp_path / "graph.pb").write_text("mine")
    arguments = ("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--output-graph")
    code, _, err = command(*arguments, tmp_path / "graph.pb")
    assert code == 2
    assert "graph.pb exists and nothing is overwritten: choose another --output-graph, or add --force" in err
    assert files_in(tmp_path) == ["graph.pb"]
    assert (tmp_path / "graph.pb").read_text() == "mine"


def test_export_of_an_unknown_type_is_a_usage_error(command, photos):
    code, _, err = command("train", "--image-dir", photos, *STARTER, "--export", "float64")
    assert code == 2
    assert "--export must be one or more of float32, float16, not 'float64'" in err


def test_force_replaces_a_saved_model_whole(command, photos, tmp_path):
    folder = tmp_path / "models/1"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"old")
    (folder / "variables/old").write_bytes(b"old")
    arguments = ("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--saved-model-dir", folder)
    assert command(*arguments)[0] == 2
    assert command(*arguments, "--force")[0] == 0
    assert files_in(folder) == ["assets", "fingerprint.pb", "saved_model.pb", "variables"]
    assert "old" not in files_in(folder / "variables")
    assert files_in(tmp_path / "models") == ["1"]


def test_an_export_that_is_refused_does_not_cost_the_integer_file(command, photos, tmp_path, monkeypatch):
    from edgeretrain.exports import writing

    monkeypatch.setattr(writing, "TO_TFLITE", {"int8": 0.0})
    code, _, err = command("train", "--image-dir", photos, *STARTER, "--out", tmp_path / "out", "--export", "float32")
    assert code == 4
    assert "the float32 .tflite, loaded back, is not what it should be" in err
    assert set(files_in(tmp_path / "out")) == {MODEL, "labels.txt", "report.json"}
    assert command("verify", tmp_path / "out" / MODEL)[0] == 0


def test_a_place_that_cannot_be_written_is_said_at_once(command, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    code, _, err = command("train", "--image-dir", photos, *STARTER, "--output-graph", tmp_path / "graph.pb")
    assert code == 5
    assert "is not a folder open to writing" in err
