"""What may be exported where, and how it gets there."""

from pathlib import Path

import pytest

from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.exports.spec import ExportSpec
from edgeretrain.exports.staging import measured, staging


def saved_model(folder):
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"old")
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"float_types": ("bfloat16",)}, "--export must be one or more of float32, float16, not 'bfloat16'"),
        ({"final_tensor_name": "a b"}, "--final-tensor-name must be letters, digits, . _ or -, .* not 'a b'"),
        ({"final_tensor_name": "Placeholder"}, "neither Placeholder nor network, not 'Placeholder'"),
        (
            {"output_graph": Path("x/../same"), "output_labels": Path("same")},
            "--output-graph and --output-labels both name same: choose two places",
        ),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        ExportSpec(**options)


def test_nothing_is_wanted_by_default():
    assert not ExportSpec().wanted
    assert ExportSpec(float_types=("float16",)).wanted
    assert ExportSpec(output_labels=Path("labels.txt")).wanted


def test_free_places_are_accepted_and_not_touched(tmp_path):
    ExportSpec(tmp_path / "a/b/1", tmp_path / "c/graph.pb", output_labels=tmp_path / "labels.txt").check_targets(
        force=False
    )
    (tmp_path / "empty").mkdir()
    ExportSpec(tmp_path / "empty").check_targets(force=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]


def test_taken_places_are_refused_unless_forced(tmp_path):
    (tmp_path / "graph.pb").write_bytes(b"old")
    saved_model(tmp_path / "1")
    graph, serving = ExportSpec(output_graph=tmp_path / "graph.pb"), ExportSpec(tmp_path / "1")
    with pytest.raises(
        UsageError, match=r"graph\.pb exists and nothing is overwritten: choose another --output-graph, or"
    ):
        graph.check_targets(force=False)
    with pytest.raises(UsageError, match="1 is not empty and nothing is overwritten: choose another --saved-model-dir"):
        serving.check_targets(force=False)
    graph.check_targets(force=True)
    serving.check_targets(force=True)


def test_what_is_no_export_is_never_replaced(tmp_path):
    saved_model(tmp_path / "mine")
    (tmp_path / "mine/thesis.odt").write_text("mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"mine holds more than a SavedModel \(thesis\.odt\)"):
        ExportSpec(tmp_path / "mine").check_targets(force=True)
    with pytest.raises(UsageError, match="--saved-model-dir .*file is a file: name a folder"):
        ExportSpec(tmp_path / "file").check_targets(force=True)
    with pytest.raises(UsageError, match="--output-labels .*mine is a folder: name a file"):
        ExportSpec(output_labels=tmp_path / "mine").check_targets(force=True)
    with pytest.raises(EnvironmentFailure, match="--output-graph .* cannot be written: .*file is not a folder open to"):
        ExportSpec(output_graph=tmp_path / "file/graph.pb").check_targets(force=True)


def test_staged_things_appear_together_or_not_at_all(tmp_path):
    (tmp_path / "graph.pb").write_bytes(b"old")
    old = saved_model(tmp_path / "deep/1")
    with pytest.raises(RuntimeError), staging() as stage:
        stage.place(tmp_path / "graph.pb").write_bytes(b"new")
        raise RuntimeError
    assert (tmp_path / "graph.pb").read_bytes() == b"old"
    with staging() as stage:
        stage.place(tmp_path / "graph.pb").write_bytes(b"new")
        aside = stage.place(tmp_path / "deep/1")
        aside.mkdir()
        (aside / "saved_model.pb").write_bytes(b"new")
        stage.beside(aside, "labels.txt").write_text("not kept")
        assert (old / "saved_model.pb").read_bytes() == b"old"
        stage.publish()
    assert (tmp_path / "graph.pb").read_bytes() == b"new"
    assert (old / "saved_model.pb").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1", "deep", "graph.pb", "saved_model.pb"]


def test_a_place_that_cannot_be_made_is_an_environment_failure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="cannot write .*graph.pb"), staging() as stage:
        stage.place(tmp_path / "file/graph.pb")


def test_the_digest_of_a_folder_follows_names_and_contents(tmp_path):
    for name, content in (("a", b"12"), ("b", b"12"), ("c", b"21")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(content)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/y").write_bytes(b"12")
    sizes, digests = zip(*(measured(tmp_path / name) for name in "abcd"), strict=True)
    assert sizes == (2, 2, 2, 2)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
