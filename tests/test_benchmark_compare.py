from dataclasses import replace

from edgeretrain.benchmark.compare import compare
from edgeretrain.benchmark.timing import summarize
from tests.benchmarks import HOST, answers, cell, document


def latency(comparison):
    return next(change for change in comparison.changes if change.what.startswith("latency"))


def test_compare_never_fires_on_two_runs_of_the_same_models():
    for seed in range(20):
        old = document(cell(noise=0.02, seed=seed), noise_rms=0.004)
        new = document(cell(noise=0.02, seed=seed + 100), noise_rms=0.004)
        assert not compare(old, new).worse
        assert not compare(old, old).worse


def test_compare_fires_on_a_model_ten_percent_slower():
    for seed in range(20):
        old = document(cell(p50_ms=2.0, noise=0.01, seed=seed), noise_rms=0.004)
        new = document(cell(p50_ms=2.2, noise=0.01, seed=seed + 100), noise_rms=0.004)
        (change,) = compare(old, new).worse
        assert change.what == "latency, 1 thread"
        assert change.low > 1.05
        assert "limit +5%" in change.text


def test_compare_does_not_fire_when_the_noise_floor_explains_it():
    old, new = cell(p50_ms=2.0), cell(p50_ms=2.2)
    assert compare(document(old), document(new)).worse
    assert not compare(document(old, noise_rms=0.03), document(new, noise_rms=0.03)).worse


def test_compare_does_not_fire_when_other_work_interrupted_most_runs():
    calm = cell(p50_ms=2.0, noise=0.01)
    blocks = calm.timings[0].blocks
    busy = [
        replace(block, runs_ms=block.runs_ms if n % 4 == 0 else tuple(2 * ms for ms in block.runs_ms))
        for n, block in enumerate(blocks)
    ]
    disturbed = replace(calm, timings=(summarize(busy, threads=1),))
    assert disturbed.p50_ms > 3.9
    assert not compare(document(calm), document(disturbed)).worse


def test_compare_does_not_fire_when_the_whole_machine_was_slower():
    old = document(cell(p50_ms=2.0), reference_ms=0.090)
    new = document(cell(p50_ms=2.2), reference_ms=0.099)
    assert not compare(old, new).worse
    other_library = replace(old, versions={**old.versions, "sha256": "another"})
    assert compare(other_library, new).worse


def test_compare_still_fires_when_the_machine_was_faster():
    old = document(cell(p50_ms=2.0), reference_ms=0.099)
    new = document(cell(p50_ms=2.2), reference_ms=0.090)
    assert compare(old, new).worse


def test_compare_respects_the_limit_of_slowness():
    old, new = document(cell(p50_ms=2.0)), document(cell(p50_ms=2.2))
    assert not compare(old, new, fail_if_slower=0.15).worse


def test_compare_does_not_fire_on_a_faster_model():
    change = latency(compare(document(cell(p50_ms=2.0)), document(cell(p50_ms=1.0))))
    assert not change.worse
    assert change.high < 1


def test_compare_matches_thread_counts():
    old = document(cell(threads=(1, 2)))
    new = document(cell(threads=(2, 4)))
    assert [c.what for c in compare(old, new).changes] == ["latency, 2 threads", "size"]


def test_compare_fires_on_size_beyond_the_limit_only():
    old = document(cell(size_bytes=1000))
    assert not compare(old, document(cell(size_bytes=1050))).worse
    (change,) = compare(old, document(cell(size_bytes=1051))).worse
    assert change.text == "mobilenet_v1_050_160: 1,000 -> 1,051 bytes, +5.1% (limit +5%)"


def test_compare_fires_on_accuracy_only_when_chance_is_excluded():
    old = document(cell(correct=answers(360, 40)))
    assert not compare(old, document(cell(correct=answers(357, 43)))).worse
    (change,) = compare(old, document(cell(correct=answers(340, 60)))).worse
    assert change.what == "top-1"
    assert "90.0% -> 85.0%, -5.0 points (McNemar p = 1.9e-06" in change.text
    assert not compare(old, document(cell(correct=answers(340, 60))), fail_if_less_accurate=0.06).worse


def test_compare_of_other_photos_uses_the_interval_of_the_difference():
    old = document(cell(correct=answers(360, 40)))
    other = replace(cell(correct=answers(357, 43)).accuracy, test_id="other photos")
    new = document(replace(cell(), accuracy=other))
    change = compare(old, new).changes[-1]
    assert (change.what, change.worse) == ("top-1", False)
    assert change.low < -0.0075 < change.high
    much = replace(cell(correct=answers(300, 100)).accuracy, test_id="other photos")
    assert compare(old, document(replace(cell(), accuracy=much))).worse


def test_compare_never_compares_latencies_of_two_computers():
    old = document(cell(p50_ms=1.0), host=replace(HOST, cpu="Other CPU"))
    found = compare(old, document(cell(p50_ms=9.0)))
    assert [change.what for change in found.changes] == ["size"]
    assert found.notes == (
        "latencies not compared: measured on different computers (Other CPU with 4 threads, Some CPU with 4)",
    )


def test_compare_names_models_of_one_side():
    found = compare(document(cell("a"), cell("b")), document(cell("b"), cell("c")))
    assert found.notes == ("a: only in the old results", "c: only in the new results")


def test_compare_uses_the_models_own_error_when_it_is_larger():
    new = cell(p50_ms=2.2)
    restless = replace(new, timings=(replace(new.timings[0], aa_error=0.05),))
    assert not compare(document(cell(p50_ms=2.0)), document(restless)).worse
