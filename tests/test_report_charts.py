import re
from xml.etree import ElementTree

import pytest

from edgeretrain.report.axes import (
    Scale,
    clean,
    escape,
    nice_step,
    number,
    percent,
    scale_for,
    shorten,
    text_width,
    tick_text,
)  # fmt: skip
from edgeretrain.report.charts import Point, Series, heat_map, histogram, line_chart, scatter
from edgeretrain.report.class_charts import bars, confusion_matrix

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script>&\x00\x1b[31m\u202egnp.exe'


def parse(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


def texts(chart: str) -> list[str]:
    return ["".join(node.itertext()) for node in parse(chart).iter(f"{SVG}text")]


def titles(chart: str) -> list[str]:
    return ["".join(node.itertext()) for node in parse(chart).iter(f"{SVG}title")]


CHARTS = {
    "scatter": lambda name: scatter(
        [Point(name, (1, 0.9, 1.1), (0.5, 0.4, 0.6), front=True, note=name)], x_label=name, y_label=name, groups=[name]
    ),
    "heat_map": lambda name: heat_map([name], [name], [[1.0]], row_title=name, column_title=name, title=name),
    "histogram": lambda name: histogram([1, 2, 3], interval=(2, 1, 3), title=name),
    "line_chart": lambda name: line_chart([Series(name, [0, 1], [1, 2])], x_label=name, y_label=name),
    "confusion_matrix": lambda name: confusion_matrix([name, "b"], [[1, 2], [0, 3]]),
    "bars": lambda name: bars([name], [(0.5, 0.4, 0.6)], notes=[name]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHARTS)
def test_chart_of_a_hostile_name_is_plain_text_in_valid_xml(kind):
    chart = CHARTS[kind](HOSTILE)
    assert "<script" not in chart
    assert "\u202e" not in chart
    assert not re.search("[\x00-\x08]", chart)
    assert {node.tag.removeprefix(SVG) for node in parse(chart).iter()} <= {
        "svg", "g", "rect", "line", "path", "circle", "text", "title",
    }  # fmt: skip


@pytest.mark.parametrize("kind", CHARTS)
def test_chart_has_a_label_and_no_colour_of_its_own(kind):
    chart = CHARTS[kind]("name")
    assert parse(chart).attrib["role"] == "img"
    assert parse(chart).attrib["aria-label"]
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(", chart)


def test_scatter_draws_every_point_and_names_the_front():
    points = [Point("a", (1, 1, 1), (0.5, 0.4, 0.6), front=True), Point("b", (2, 2, 2), (0.4, 0.3, 0.5))]
    chart = scatter(points, x_label="ms", y_label="top-1", y_percent=True)
    assert len(list(parse(chart).iter(f"{SVG}circle"))) == 2
    assert "a" in texts(chart)
    assert "b" not in texts(chart)
    assert [title.split("\n")[0] for title in titles(chart)] == ["a", "b"]
    assert "40 %" in texts(chart)


def test_scatter_is_logarithmic_when_it_spans_much():
    def chart(high):
        points = [Point("a", (1, 1, 1), (1, 1, 1)), Point("b", (high, high, high), (2, 2, 2))]
        return scatter(points, x_label="ms", y_label="kB")

    assert "ms (logarithmic)" in texts(chart(100))
    assert "ms" in texts(chart(5))


def test_scatter_joins_only_what_is_best_in_the_plane():
    ys = {1: 0.5, 2: 0.4, 3: 0.6}
    points = [Point(str(x), (x, x, x), (y, y, y), front=True) for x, y in ys.items()]
    paths = [node.attrib["d"] for node in parse(scatter(points, x_label="", y_label="")).iter(f"{SVG}path")]
    assert paths[0].count("L") == 1  # from 1 to 3: 2 is on the front for its size


def test_scatter_labels_do_not_overlap():
    points = [Point(f"mobilenet_{n}", (1 + n / 50,) * 3, (0.5 + n / 500,) * 3, front=True) for n in range(12)]
    chart = scatter(points, x_label="", y_label="")
    boxes = []
    for node in parse(chart).iter(f"{SVG}text"):
        if node.attrib.get("class") == "small":
            x, y = float(node.attrib["x"]), float(node.attrib["y"])
            boxes.append((x, y - 10, x + text_width(node.text, 11), y + 3))
    assert len(boxes) >= 3
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]


def test_heat_map_shades_larger_values_more_and_shows_gaps():
    chart = heat_map(["r"], ["a", "b", "c"], [[1.0, 2.0, None]], row_title="", column_title="")
    shades = [float(n.attrib["fill-opacity"]) for n in parse(chart).iter(f"{SVG}rect") if "fill-opacity" in n.attrib]
    assert shades[0] < shades[1]
    assert "–" in texts(chart)
    assert titles(chart) == ["r / a: 1.00", "r / b: 2.00"]


def test_heat_map_of_equal_values_and_of_nothing_is_drawn():
    assert texts(heat_map(["r"], ["a"], [[5.0]], row_title="", column_title="")).count("5.00") == 1
    assert "–" in texts(heat_map(["r"], ["a"], [[None]], row_title="", column_title=""))


def test_histogram_counts_every_run_up_to_its_edge():
    samples = [1 + n / 1000 for n in range(1000)] + [50.0] * 3
    chart = histogram(samples, interval=(1.5, 1.49, 1.51))
    counted = sum(int(match[1]) for title in titles(chart) if (match := re.search(r": (\d+) runs", title)))
    beyond = int(re.search(r"(\d+) beyond", " ".join(texts(chart)))[1])
    assert counted + beyond == 1003
    assert beyond >= 3


def test_histogram_of_one_value_is_drawn():
    assert "median 2.00 ms, 5 runs" in texts(histogram([2.0] * 5, interval=(2.0, 2.0, 2.0)))[-1]


def test_line_chart_thins_long_curves_and_keeps_the_end():
    steps = list(range(10_001))
    chart = line_chart([Series("loss", steps, [10_000 - s for s in steps])], x_label="step", y_label="loss", zero=True)
    path = next(n.attrib["d"] for n in parse(chart).iter(f"{SVG}path"))
    assert path.count("L") <= 601
    assert titles(chart) == ["loss: 0 at the end"]


def test_line_chart_leaves_out_what_is_not_a_number():
    chart = line_chart([Series("a", [0, 1, 2], [1.0, float("nan"), float("inf")])], x_label="", y_label="")
    assert "nan" not in chart
    assert "inf" not in chart


def test_confusion_matrix_shows_counts_and_shares():
    chart = confusion_matrix(["cat", "dog"], [[8, 2], [0, 5]])
    assert "cat answered as dog: 2 of 10 (20.0 %)" in titles(chart)
    assert "dog answered as cat: 0 of 5 (0.0 %)" not in titles(chart)
    assert {"8", "2", "5"} <= set(texts(chart))


def test_confusion_matrix_of_forty_classes_stays_readable_in_width():
    names = [f"class number {n}" for n in range(40)]
    chart = confusion_matrix(names, [[int(r == c) for c in range(40)] for r in range(40)])
    assert float(parse(chart).attrib["viewBox"].split()[2]) <= 1032


def test_bars_are_as_long_as_their_values():
    chart = bars(["a", "b"], [(0.5, 0.5, 0.5), (1.0, 1.0, 1.0)])
    widths = [float(n.attrib["width"]) for n in parse(chart).iter(f"{SVG}rect") if "soft" in n.attrib["class"]]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert "50.0 %" in texts(chart)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.48, "0.480"), (5, "5.00"), (12, "12.0"), (123.4, "123"), (1774, "1,774")]
)
def test_number_shows_three_digits(value, text):
    assert number(value) == text


def test_percent_and_ticks():
    assert percent(0.925) == "92.5 %"
    assert tick_text(0.5) == "0.5"
    assert tick_text(0.9, as_percent=True) == "90 %"
    assert tick_text(2500) == "2,500"


def test_nice_steps_and_ticks_are_round():
    assert [nice_step(v) for v in (0.011, 0.9, 3, 0, 7)] == [0.02, 1, 5, 1, 10]
    assert Scale(0, 1, 0, 100).ticks(5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert Scale(0.3, 12, 0, 100, log=True).ticks() == pytest.approx([0.5, 1, 2, 5, 10])


def test_scale_for_holds_equal_and_missing_values():
    for values in ([3.0, 3.0], [], [0.0]):
        scale = scale_for(values, 0, 100)
        assert scale.low < scale.high
    assert scale_for([5.0, 9.0], 0, 100, zero=True).low == 0
    assert scale_for([1.0, 100.0], 0, 100, log=True)(10) == pytest.approx(50, abs=0.5)


def test_shorten_keeps_both_ends_within_the_width():
    text = shorten("a" * 100 + "b" * 100, 120)
    assert text.startswith("a")
    assert text.endswith("b")
    assert "…" in text
    assert text_width(text) <= 120
    assert shorten("short", 120) == "short"
    assert text_width(shorten("日本語" * 50, 120)) <= 120


def test_clean_and_escape_leave_honest_text_alone():
    assert clean("Größe 日本 é") == "Größe 日本 é"
    assert clean("a\u202eb\x00") == "a\ufffdb\ufffd"
    assert clean("\ud800") == "\ufffd"
    assert escape("<a & 'b'>") == "&lt;a &amp; &#x27;b&#x27;&gt;"
