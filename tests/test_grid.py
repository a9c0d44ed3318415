import json
import shutil
from pathlib import Path

import pytest

from edgeretrain import embed, grid
from edgeretrain.artifact import load_model, verify
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.grid import CellJob, build_cell, build_grid, count_macs, find_backbones, parse_cells
from edgeretrain.modules.starter import load_starter
from edgeretrain.spec import GRID, ModelSpec, TrainSpec
from tests.conftest import hosted_file

SMALL = [ModelSpec("025", 128), ModelSpec("025", 160)]
FAST = ("--min-runs", 10, "--min-seconds", "0.01")


def test_cells_are_the_whole_grid_or_what_is_asked_for():
    assert tuple(parse_cells([], [])) == GRID
    assert parse_cells(["050"], [128, 224]) == [ModelSpec("050", 128), ModelSpec("050", 224)]


def test_backbones_come_from_the_modules_given_and_else_from_the_package(shared):
    found = find_backbones(SMALL, [str(hosted_file(shared, "025"))])
    assert [backbone.source.kind for backbone in found] == ["hosted", "starter"]
    assert [backbone.spec for backbone in found] == SMALL


def test_a_folder_of_modules_is_searched_by_name(shared, tmp_path):
    shutil.copy(hosted_file(shared, "025"), tmp_path)
    assert find_backbones(SMALL[:1], [str(tmp_path)])[0].source.kind == "hosted"
    with pytest.raises(EnvironmentFailure, match="holds no module named like mobilenet_v1_050_160"):
        (tmp_path / "empty").mkdir()
        find_backbones(SMALL, [str(tmp_path / "empty")])


def test_macs_are_those_of_the_paper():
    # Howard et al. 2017, tables 6 and 7: 569 M for 1.0 / 224, with the ImageNet head
    assert count_macs(load_starter(ModelSpec("100", 224)), 1001) / 1e6 == pytest.approx(569, abs=1)


def test_cells_without_photos_are_written_and_sized(tmp_path):
    subjects = build_grid([load_starter(spec) for spec in SMALL], None, TrainSpec(), tmp_path, float_baseline=True)
    assert [subject.name for subject in subjects] == [
        *("mobilenet_v1_025_128", "mobilenet_v1_025_128_float32"),
        *("mobilenet_v1_025_160", "mobilenet_v1_025_160_float32"),
    ]
    assert [subject.kind for subject in subjects] == ["int8", "float32"] * 2
    assert all(subject.accuracy is None and subject.published_top1 is None for subject in subjects)
    for subject in subjects:
        assert load_model(subject.path).input.dtype == ("float32" if "float32" in subject.name else "uint8")


def test_cells_with_photos_are_retrained_evaluated_and_sealed(photos, tmp_path):
    subjects = build_grid([load_starter(spec) for spec in SMALL], photos, TrainSpec(), tmp_path, jobs=2)
    for subject in subjects:
        accuracy = subject.accuracy
        assert accuracy.top1 >= 0.9
        assert accuracy.n == len(accuracy.correct)
        assert accuracy.head_top1 is not None
        assert accuracy.worst_class in ("blue", "green things", "red")
        assert all(check.ok for check in verify(load_model(subject.path)))
    assert subjects[0].accuracy.test_id == subjects[1].accuracy.test_id


def test_a_sweep_decodes_each_photo_once(photos, tmp_path, fresh_cache, monkeypatch):
    decoded = []
    decode = embed.decode
    monkeypatch.setattr(embed, "decode", lambda data: decoded.append(1) or decode(data))
    build_grid([load_starter(spec) for spec in SMALL], photos, TrainSpec(), tmp_path, jobs=1)
    assert len(decoded) == 72
    build_grid([load_starter(spec) for spec in SMALL], photos, TrainSpec(), tmp_path, jobs=1)
    assert len(decoded) == 72


def test_a_killed_sweep_goes_on_where_it_was(photos, tmp_path, fresh_cache, monkeypatch):
    backbones = [load_starter(spec) for spec in SMALL]
    first = build_grid(backbones[:1], photos, TrainSpec(), tmp_path / "killed", jobs=1)
    trained = []
    run = grid.run
    monkeypatch.setattr(grid, "run", lambda *a, **o: trained.append(a[1].spec) or run(*a, **o))
    again = build_grid(backbones, photos, TrainSpec(), tmp_path / "again", jobs=1)
    assert trained == SMALL[1:]
    assert again[0].accuracy == first[0].accuracy
    assert again[0].path.read_bytes() == first[0].path.read_bytes()
    (damaged,) = [
        path for path in fresh_cache.glob("cells/*.tflite") if path.read_bytes() == first[0].path.read_bytes()
    ]
    damaged.write_bytes(b"x")
    build_grid(backbones, photos, TrainSpec(), tmp_path / "third", jobs=1)
    assert trained == [SMALL[1], SMALL[0]]


def test_published_figures_stand_beside_official_networks_only(shared, tmp_path):
    (official,) = find_backbones(SMALL[:1], [str(hosted_file(shared, "025"))])
    (subject,) = build_cell(CellJob(official, None, TrainSpec(), tmp_path))
    assert subject.published_top1 == 0.395
    (subject,) = build_cell(CellJob(load_starter(SMALL[0]), None, TrainSpec(), tmp_path))
    assert subject.published_top1 is None


def test_benchmark_without_arguments_measures_the_grid(command, tmp_path):
    """One cell stands for all 16 here; the whole grid is in benchmarks/results."""
    out = tmp_path / "out"
    code, text, err = command("benchmark", "--widths", "0.25", "--resolutions", 128, *FAST, "--out", out)
    assert code == 0, err
    assert "mobilenet_v1_025_128" in text
    assert "Backbones: 1 starter" in err
    assert sorted(path.name for path in out.iterdir()) == [
        *("benchmark.csv", "benchmark.html", "benchmark.json", "benchmark.md", "models"),
    ]


def test_benchmark_with_photos_reports_accuracy_and_recommends(command, photos, tmp_path):
    arguments = ("benchmark", "--widths", "025", "--resolutions", "128,160", "--image-dir", photos, *FAST)
    code, _, err = command(*arguments, "--min-top1", "50%", "--out", tmp_path / "out")
    assert code == 0, err
    document = json.loads((tmp_path / "out/benchmark.json").read_text())
    assert [cell["accuracy"]["n"] for cell in document["cells"]] == [document["cells"][0]["accuracy"]["n"]] * 2
    assert document["choice"]["cell"] in ("mobilenet_v1_025_128", "mobilenet_v1_025_160")
    code, _, err = command(*arguments, "--max-ms", "0.0001", "--out", tmp_path / "none")
    assert code == 4
    assert "Error: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--widths", "033"], 2, "width must be one of"),
        (["--resolutions", "128,100"], 2, "res must be one of"),
        (["--image-dir", "nowhere"], 3, "found no folder nowhere"),
        (["--module", "no/such"], 5, "--module no/such: no such file"),
        (["MODEL", "--float-baseline"], 2, "are for the grid: give no files"),
    ],
)
def test_bad_grids_end_in_one_line(command, trained, arguments, code, message):
    filled = [a.replace("MODEL", str(trained / "mobilenet_v1_025_128.tflite")) for a in arguments]
    found, out, err = command("benchmark", *filled)
    assert (found, out) == (code, "")
    assert message in err
    assert not any(Path("runs").iterdir()) if Path("runs").exists() else True
