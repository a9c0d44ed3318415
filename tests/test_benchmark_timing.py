import itertools
import random
import statistics

import numpy as np
import pytest

from edgeretrain.benchmark.timing import Block, Plan, blocks_wanted, is_warm, measure, schedule, summarize
from edgeretrain.errors import DataError, UsageError
from tests.tiny import tiny_model

QUICK = Plan(min_runs=20, min_seconds=0.001, rounds=4, warmup_seconds=0.5)


def test_schedule_holds_every_block_and_spreads_them_evenly():
    order = schedule([40, 10, 0], 10, random.Random(0))
    assert (order.count(0), order.count(1), order.count(2)) == (40, 10, 0)
    for turn in range(10):
        part = order[5 * turn : 5 * turn + 5]
        assert (part.count(0), part.count(1)) == (4, 1)


def test_schedule_is_random_in_each_round_and_repeatable():
    first = schedule([50, 50], 10, random.Random(1))
    assert first == schedule([50, 50], 10, random.Random(1))
    assert first != schedule([50, 50], 10, random.Random(2))
    assert first[:10] != first[10:20]


def test_blocks_wanted_meets_both_minimums():
    plan = Plan(block_runs=5, min_runs=100, min_seconds=1, max_seconds=20)
    for run_s in (0.0001, 0.003, 0.02):
        runs = 2 * 5 * blocks_wanted(run_s, plan)
        assert runs >= 100
        assert runs * run_s >= 1


def test_blocks_wanted_caps_models_that_take_seconds():
    plan = Plan(block_runs=5, min_runs=100, min_seconds=1, max_seconds=20)
    assert 2 * 5 * blocks_wanted(1.0, plan) == 20
    assert blocks_wanted(60.0, plan) == 2


def test_is_warm_waits_until_windows_stop_falling():
    assert not is_warm([10, 8])
    assert not is_warm([10, 8, 6])
    assert not is_warm([10, 8, 6, 5.9])
    assert is_warm([10, 8, 6, 6.1, 5.95])
    assert is_warm([5, 5, 5])


def test_summarize_compares_the_copies_and_pools_them():
    blocks = [Block(k % 2, float(k), (10.0 + k % 2,) * 5) for k in range(20)]
    timing = summarize(reversed(blocks), threads=2)
    assert timing.aa_error == pytest.approx(1 / 10.5)
    assert timing.verdict == "noisy"
    assert timing.p50_ms == 10.5
    assert (timing.runs, timing.threads) == (100, 2)
    assert timing.seconds == pytest.approx(1.05)
    assert [block.at_s for block in timing.blocks] == sorted(block.at_s for block in blocks)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_measure_times_every_model_with_both_copies(tmp_path, dtype):
    small = tiny_model(tmp_path / "small.tflite", dtype=dtype)
    large = tiny_model(tmp_path / "large.tflite", dtype=dtype, shape=(1, 256, 256, 3))
    told = []
    session = measure([small, large], 1, QUICK, progress=told.append)
    assert len(session.timings) == 2
    for timing in session.timings:
        assert timing.runs >= 20
        assert {block.copy for block in timing.blocks} == {0, 1}
        assert len({len(block.runs_ms) for block in timing.blocks}) == 1
        assert timing.low_ms <= timing.p50_ms <= timing.high_ms
        assert timing.p50_ms <= timing.p90_ms <= timing.p99_ms
        assert statistics.median(run for block in timing.blocks for run in block.runs_ms) == pytest.approx(
            timing.p50_ms
        )
        assert timing.warmup_runs >= 30
    assert sum(told) == sum(t.runs for t in (*session.timings, session.reference))
    assert 0 <= session.other_cpu <= 1
    errors = [timing.aa_error for timing in session.timings]
    assert session.noise_rms == pytest.approx(np.sqrt(np.mean(np.square(errors))))


def test_measure_interleaves_the_models(tmp_path):
    paths = [tiny_model(tmp_path / f"{name}.tflite") for name in "ab"]
    a, b = measure(paths, 1, QUICK).timings
    marks = sorted([(block.at_s, "a") for block in a.blocks] + [(block.at_s, "b") for block in b.blocks])
    switches = sum(first[1] != second[1] for first, second in itertools.pairwise(marks))
    assert switches > len(marks) / 5


def test_measure_explains_a_file_that_litert_refuses(tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"\x20\0\0\0TFL3" + bytes(100))
    with pytest.raises(DataError, match=r"bad.tflite: LiteRT refuses it: "):
        measure([path], 1, QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": ()}, "threads must be numbers from 1 to 256, not none"),
        ({"threads": (1, 0)}, "threads must be numbers from 1 to 256, not 1, 0"),
        ({"rounds": 0}, "rounds must be above 0, not 0"),
        ({"min_seconds": -1.0}, "min_seconds must be above 0, not -1.0"),
    ],
)
def test_plan_refuses_nonsense(options, message):
    with pytest.raises(UsageError, match=message):
        Plan(**options)
