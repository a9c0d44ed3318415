import csv
import io
import json
from dataclasses import replace

import pytest

from edgeretrain.benchmark.decision import recommend
from edgeretrain.benchmark.result import (
    SCHEMA,
    Accuracy,
    Failure,
    Phone,
    PhoneTiming,
    Preprocessing,
    against_best,
    from_json,
    paired_p,
    read,
    to_json,
)
from edgeretrain.benchmark.tables import COLUMNS, latency_rows, noise_lines, to_csv, to_markdown
from edgeretrain.errors import DataError
from tests.benchmarks import answers, cell, document

PHONE = Phone(
    "R5", "Pixel 8", "Tensor G3", "14", "schedutil", "none", "light",
    (PhoneTiming("=a|b", 1, 4.0, (4.0, 4.1), 5.0, 6.0, 7_000_000, 150, None),), (Failure("x.tflite", "no"),), "it left",
)  # fmt: skip


def full():
    found = cell("=a|b", noise=0.01, correct=answers(9, 1), threads=(1, 2))
    return document(
        found,
        failures=(Failure("bad.tflite", "bad.tflite: <no> model"),),
        preprocessing=(Preprocessing(160, 3, "generated", 6.0, 1.0, 8.0),),
        phones=(PHONE,),
        choice=recommend([found], max_ms=5.0),
        pareto=(found.name,),
    )


def test_json_comes_back_as_it_was():
    text = to_json(full())
    again = from_json(text)
    assert to_json(again) == text
    assert again.cells[0].timings[0].blocks[0].runs_ms[0] == pytest.approx(
        full().cells[0].timings[0].blocks[0].runs_ms[0], rel=1e-5
    )
    assert again.phones == full().phones
    assert again.choice == full().choice
    assert again.host == full().host
    assert json.loads(text)["schema"] == SCHEMA


def test_json_keeps_every_raw_sample():
    timing = full().cells[0].timings[1]
    saved = json.loads(to_json(full()))["cells"][0]["timings"][1]["blocks"]
    assert [len(block["runs_ms"]) for block in saved] == [5] * 40
    assert sum(map(len, (block["runs_ms"] for block in saved))) == timing.runs


def test_json_of_a_later_program_may_have_more_fields():
    data = json.loads(to_json(full()))
    data["later"] = 1
    data["host"]["later"] = [1]
    assert from_json(json.dumps(data)) == from_json(to_json(full()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.update(schema="other/2"),
            r"old.json: expected the schema 'edgeretrain.benchmark/1', found 'other/2'",
        ),
        (lambda d: d.pop("schema"), "found None"),
        (lambda d: d["host"].pop("cpu"), "old.json: not a complete benchmark.json: TypeError .*cpu"),
        (lambda d: d.update(cells=[1]), "not a complete benchmark.json"),
        (lambda d: d["cells"][0].update(size_bytes="many"), "TypeError expected int, found 'many'"),
        (lambda d: d["plan"].update(threads=None), "not a complete benchmark.json"),
    ],
)
def test_json_of_something_else_is_explained(change, message):
    data = json.loads(to_json(full()))
    change(data)
    with pytest.raises(DataError, match=message):
        from_json(json.dumps(data), "old.json")


def test_text_that_is_no_json_is_explained():
    with pytest.raises(DataError, match=r"b.json: expected a benchmark.json, found no valid JSON: "):
        from_json("{", "b.json")
    with pytest.raises(DataError, match="found None"):
        from_json("[1]")


def test_read_explains_a_missing_or_binary_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read: No such file"):
        read(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"b\.json: cannot be read: "):
        read(tmp_path / "b.json")


def test_against_best_tests_every_model_on_the_same_photos():
    cells = against_best(
        (
            cell("worse", correct=answers(80, 20)),
            cell("best", correct=answers(90, 10)),
            cell("unrated"),
            replace(cell("other"), accuracy=Accuracy.of_answers(answers(5, 5), "other photos")),
        )
    )
    assert cells[0].accuracy.p_vs_best == pytest.approx(2 / 2**10)
    assert cells[1].accuracy.p_vs_best is None
    assert cells[2].accuracy is None
    assert cells[3].accuracy.p_vs_best is None
    assert against_best((cell("unrated"),))[0].accuracy is None


def test_paired_p_counts_photos_only_one_model_knows():
    a, b = Accuracy.of_answers("1100", "t"), Accuracy.of_answers("1010", "t")
    assert paired_p(a, b) == 1
    assert paired_p(a, replace(b, test_id="u")) is None


def test_csv_has_one_line_for_each_timing_and_no_formulas():
    rows = list(csv.DictReader(io.StringIO(to_csv(full()))))
    assert [row["device"] for row in rows] == ["Some CPU", "Some CPU", "Pixel 8"]
    assert tuple(rows[0]) == COLUMNS
    assert {row["model"] for row in rows} == {"'=a|b"}
    assert rows[0]["threads"] == "1"
    assert float(rows[0]["p50_ms"]) == pytest.approx(full().cells[0].timings[0].p50_ms, rel=1e-5)
    assert (rows[0]["top1"], rows[0]["n"], rows[2]["p50_ms"]) == ("0.9", "10", "4")
    assert float(rows[0]["top1_low"]) < 0.9 < float(rows[0]["top1_high"])
    assert (rows[0]["init_ms"], rows[0]["op_count"], rows[2]["peak_memory_bytes"]) == ("3", "31", "7000000")


def test_markdown_escapes_names_and_names_the_device_apart():
    text = to_markdown(full())
    assert "| =a\\|b | 1 |" in text
    assert "&lt;no> model" in text
    assert text.index("## Pixel 8") > text.index("Noise floor")
    assert "thermal status none before, light after" in text
    assert "it left" in text


def test_rows_put_the_fastest_first_and_show_accuracy_only_when_there_is_one():
    headers, rows = latency_rows(document(cell("slow", 9.0), cell("fast", 1.0)))
    assert [row[0] for row in rows] == ["fast", "slow"]
    assert "top-1 (95 %)" not in headers
    headers, rows = latency_rows(document(cell("a", correct=answers(1, 1)), cell("b")))
    assert rows[0][headers.index("top-1 (95 %)")] == "50.0 % (9.5 to 90.5)"
    assert rows[1][headers.index("top-1 (95 %)")] == "-"
    assert {len(row) for row in rows} == {len(headers)}


def test_rows_say_that_a_model_was_not_warm():
    found = cell()
    cold = replace(found, timings=(replace(found.timings[0], warm=False),))
    assert latency_rows(document(cold))[1][0][-1] == "stable, not warm"


def test_noise_lines_name_threads_and_other_load():
    assert noise_lines(document(cell()))[0].startswith("Noise floor with 1 thread: 0.30% rms")
    assert "other processes used 10% of the machine" in noise_lines(document(cell()))[0]
