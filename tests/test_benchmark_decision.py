import pytest

from edgeretrain.benchmark.decision import pareto_front, recommend
from tests.benchmarks import answers, cell


def names(cells):
    return [c.name for c in cells]


def test_pareto_front_drops_what_another_beats_in_everything():
    fast = cell("fast", 1.0, size_bytes=100, correct=answers(80, 20))
    good = cell("good", 2.0, size_bytes=200, correct=answers(90, 10))
    beaten = cell("beaten", 2.5, size_bytes=200, correct=answers(85, 15))
    assert names(pareto_front([fast, good, beaten])) == ["fast", "good"]


def test_pareto_front_keeps_a_small_one_that_is_slow_and_bad():
    small = cell("small", 3.0, size_bytes=50_000, correct=answers(70, 30))
    fast = cell("fast", 1.0, size_bytes=100_000, correct=answers(80, 20))
    assert names(pareto_front([small, fast])) == ["small", "fast"]


def test_pareto_front_does_not_count_single_bytes():
    a = cell("a", 3.0, size_bytes=257_010, correct=answers(70, 30))
    b = cell("b", 1.0, size_bytes=257_090, correct=answers(80, 20))
    assert names(pareto_front([a, b])) == ["b"]


def test_pareto_front_without_accuracy_weighs_latency_and_size():
    assert names(pareto_front([cell("a", 1.0, size_bytes=100), cell("b", 2.0, size_bytes=200)])) == ["a"]


def test_pareto_front_leaves_out_what_was_not_timed():
    assert pareto_front([cell("a", None)]) == []


def test_recommend_takes_the_most_accurate_within_limits():
    cells = [
        cell("small", 1.0, size_bytes=300_000, correct=answers(300, 100)),
        cell("middle", 2.0, size_bytes=900_000, correct=answers(360, 40)),
        cell("large", 8.0, size_bytes=3_000_000, correct=answers(380, 20)),
    ]
    choice = recommend(cells, max_ms=3, max_kb=1000, min_top1=0.8)
    assert (choice.cell, choice.nearest) == ("middle", None)
    assert choice.reason == (
        "middle is the most accurate with at most 3 ms, at most 1000 kB, surely at least 80.0% top-1: "
        "2 ms, 900 kB, top-1 90.0% (86.7% to 92.6%, N = 400)."
    )
    assert recommend(cells).cell == "large"


def test_recommend_names_a_faster_one_that_is_not_significantly_worse():
    cells = [
        cell("fast", 1.0, correct=answers(359, 41)),
        cell("slow", 2.0, correct=answers(360, 40)),
        cell("bad", 0.5, correct=answers(200, 200)),
    ]
    choice = recommend(cells)
    assert choice.cell == "slow"
    assert "fast is not significantly less accurate and faster: 1 ms" in choice.reason
    assert "bad" not in choice.reason


def test_recommend_asks_for_the_lower_bound_of_accuracy():
    assert recommend([cell("a", 1.0, correct=answers(90, 10))], min_top1=0.9).cell is None


def test_recommend_says_which_comes_nearest_when_none_qualifies():
    cells = [cell("far", 9.0), cell("near", 3.3)]
    choice = recommend(cells, max_ms=3)
    assert (choice.cell, choice.nearest) == (None, "near")
    assert choice.reason == "None qualifies; near: p50 3.3 ms (up to 3.3), limit 3 ms."


def test_recommend_weighs_all_limits_for_the_nearest():
    cells = [cell("heavy", 1.0, size_bytes=4_000_000), cell("slow", 3.3, size_bytes=900_000)]
    choice = recommend(cells, max_ms=3, max_kb=1000)
    assert choice.nearest == "slow"
    choice = recommend(cells, max_ms=0.1, max_kb=100)
    assert "(up to 3.3), limit 0.1 ms and 900 kB, limit 100 kB" in choice.reason


def test_recommend_without_accuracy_takes_the_largest_network():
    choice = recommend([cell("a", 1.0), cell("b", 2.0), cell("c", 5.0)], max_ms=3)
    assert choice.cell == "b"
    assert choice.reason.endswith("Accuracy was not measured.")


def test_recommend_cannot_require_an_accuracy_nobody_measured():
    choice = recommend([cell("a", 1.0)], min_top1=0.9)
    assert choice.cell is None
    assert "add --image-dir" in choice.reason


def test_recommend_treats_a_missing_accuracy_as_a_miss():
    choice = recommend([cell("a", 1.0), cell("b", 2.0, correct=answers(5, 5))], min_top1=0.9)
    assert choice.nearest == "b"
    assert "top-1 50.0% (surely 23.7%), limit 90.0%" in choice.reason


@pytest.mark.parametrize("cells", [[], [cell("a", None)]])
def test_recommend_of_nothing_says_so(cells):
    assert recommend(cells).reason == "No model was measured."
