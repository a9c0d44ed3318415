import base64
import html.parser
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from edgeretrain.benchmark.compare import compare
from edgeretrain.benchmark.decision import pareto_front, recommend
from edgeretrain.benchmark.result import Failure, Phone, PhoneTiming, Preprocessing, against_best
from edgeretrain.report.html import render_benchmark, render_training
from edgeretrain.spec import GRID
from tests.benchmarks import answers, cell, document

HOSTILE = '"><script>alert(1)</script><img src=http://127.0.0.1:9/x.png onerror=alert(2)>\x00\u202e'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
PROBE = """
<script nonce="test">
const found = [];
addEventListener('error', e => found.push('error: ' + (e.message || e.target.outerHTML)), true);
addEventListener('securitypolicyviolation', e => found.push('request: ' + e.blockedURI + ' ' + e.violatedDirective));
const log = console.error; console.error = (...a) => { found.push('console: ' + a.join(' ')); log(...a); };
addEventListener('load', () => {
  for (const r of performance.getEntriesByType('resource')) found.push('request: ' + r.name);
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push('page wider than the window: ' + root.scrollWidth);
  for (const e of document.querySelectorAll('main *:not(svg *)')) {
    const style = getComputedStyle(e);
    if (style.display === 'inline' || style.overflowX !== 'visible') continue;
    if (e.clientWidth && e.scrollWidth > e.clientWidth + 1)
      found.push(`overflow: ${e.tagName} ${e.scrollWidth} > ${e.clientWidth} ${e.textContent.slice(0, 60)}`);
  }
  for (const t of document.querySelectorAll('svg text')) {
    const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
    if (a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1)
      found.push('text leaves its chart: ' + t.textContent);
    const box = t.parentNode.querySelector(':scope > rect.heat, :scope > rect.right, :scope > rect.wrong');
    if (box && a.width > box.getBoundingClientRect().width) found.push('text leaves its cell: ' + t.textContent);
  }
  const result = document.createElement('pre');
  result.id = 'found'; result.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.append(result);
});
</script>
"""


def grid_document(hostile=""):
    cells = []
    for spec in GRID:
        p50 = 0.3 * (spec.multiplier * 4) ** 1.6 * (spec.res / 128) ** 2
        right = int(300 + 60 * spec.multiplier + spec.res / 8)
        size_bytes, correct = int(250_000 * (spec.multiplier * 4) ** 1.8), answers(right, 400 - right)
        found = cell(spec.name, p50, size_bytes=size_bytes, correct=correct, noise=0.01, threads=(1, 2))
        worst = {"worst_class": hostile or "roses", "worst_recall": 0.5}
        accuracy = replace(found.accuracy, head_top1=0.9, agreement=0.98, **worst)
        cells.append(replace(found, accuracy=accuracy, published_top1=0.5))
    cells = against_best(tuple(cells))
    phone = Phone(
        "R5", hostile or "Pixel 8", "Tensor G3", "14", None, None, "light",
        tuple(PhoneTiming(c.name, 1, 4.0, (4.0, 4.1, 3.9), 5.0, 6.0, 7_000_000, 150, None) for c in cells),
        (Failure("x.tflite", hostile or "no"),), "the device disappeared (device offline)",
    )  # fmt: skip
    return document(
        *cells,
        failures=(Failure("bad.tflite", f"{hostile or 'bad'}.tflite: expected a TFLite model"),),
        preprocessing=tuple(Preprocessing(res, 20, "photos", 6.0, 1.0, 8.0) for res in (128, 160)),
        phones=(phone,),
        choice=recommend(cells, max_ms=2.0, max_kb=2000.0),
        pareto=tuple(c.name for c in pareto_front(cells)),
        command=f"edgeretrain benchmark {hostile or 'a.tflite'}",
    )  # fmt: skip


def training_report(count=5, hostile=""):
    classes = [f"class {n}" for n in range(count)]
    if hostile:
        classes[:4] = [hostile, "W" * 300, "日本語のとても長い名前" * 8, "&amp; \x1b[31m"]
    matrix = [[20 if r == c else int((r * 7 + c * 3) % 11 == 0) for c in range(count)] for r in range(count)]
    steps = list(range(0, 1000, 10))
    accuracy = {"top1": 0.9, "low": 0.86, "high": 0.93, "n": 400}
    return {
        "model": "mobilenet_v1_050_160",
        "source": hostile or "starter",
        "classes": classes,
        "counts": {"train": 2900, "validation": 360, "test": 400},
        "accuracy": {"tflite": accuracy, "head": {**accuracy, "top1": 0.91}, "instrumented": accuracy},
        "agreement": 0.985,
        "per_class": [
            {"class_name": name, "precision": 0.9 if n else None, "recall": n / count, "support": 20}
            for n, name in enumerate(classes)
        ],
        "confusion": matrix,
        "curve": {
            "step": steps,
            "train_loss": [2 / (1 + s / 50) for s in steps],
            "validation_loss": [2.1 / (1 + s / 50) for s in steps],
            "validation_top1": [1 - 1 / (1.5 + s / 50) for s in steps],
        },
        "misclassified": [
            {"path": f"{classes[n % count]}/{n}.jpg", "truth": classes[n % count], "predicted": classes[0],
             "confidence": 0.99, "thumbnail": "http://127.0.0.1:9/x.png" if hostile else PIXEL}
            for n in range(60)
        ],
        "rejected": [{"path": hostile or "a.jpg", "class_name": "roses", "reason": "truncated"}] * 250,
        "warnings": [hostile or "roses has 18 photos"],
        "timings": {"embed": 4.0, "train": 1.5},
        "size_bytes": 412_345,
        "command": f"edgeretrain train --image-dir {hostile or 'photos'}",
        "versions": {"edgeretrain": "0.1.0"},
        "created": "2026-11-24",
        "seed": 0,
    }  # fmt: skip


PAGES = {
    "benchmark of the grid": lambda: render_benchmark(grid_document(), compare(grid_document(), grid_document())),
    "benchmark of one file": lambda: render_benchmark(document(cell("a" * 120, 3.0))),
    "benchmark of nothing": lambda: render_benchmark(document()),
    "benchmark, hostile": lambda: render_benchmark(grid_document(HOSTILE)),
    "training of 2 classes": lambda: render_training(training_report(2)),
    "training of 40 classes": lambda: render_training(training_report(40)),
    "training of 1,000 classes": lambda: render_training(training_report(1000)),
    "training, hostile": lambda: render_training(training_report(8, HOSTILE)),
    "training, bare": lambda: render_training(
        {key: training_report()[key] for key in ("model", "source", "classes", "size_bytes")}
        | {"accuracy": {"tflite": training_report()["accuracy"]["tflite"]}}
    ),
}


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.mark.parametrize("name", PAGES)
def test_page_is_small_and_needs_nothing_from_outside(name):
    page = PAGES[name]()
    assert len(page.encode()) < 1_000_000
    tags = Tags()
    tags.feed(page)
    for tag, attributes in tags.found:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href"):
            assert attributes.get(key, "data:").startswith("data:")
    assert "url(" not in page
    assert "@import" not in page
    assert "\x00" not in page
    assert "\u202e" not in page


def test_benchmark_page_tells_what_the_document_holds():
    page = render_benchmark(grid_document())
    assert page.count("<svg") == 1 + 3 + 32
    for text in ("Recommended", "Accuracy against latency", "On a device: Pixel 8", "What int8 means here."):
        assert text in page
    assert "bad.tflite: expected a TFLite model" in page
    assert "nothing here comes from this computer" in page
    assert "a reference, not a measurement" in page


def test_benchmark_page_without_accuracy_plots_size():
    page = render_benchmark(document(cell("a", 1.0), cell("b", 2.0)))
    assert "Size against latency" in page
    assert "<h2>Accuracy</h2>" not in page
    assert "Over the grid" not in page


def test_benchmark_page_says_what_got_worse():
    slower = compare(document(cell(p50_ms=2.0)), document(cell(p50_ms=3.0)))
    page = render_benchmark(document(cell(p50_ms=3.0)), slower)
    assert "Worse than the earlier results." in page
    assert "+50.0 %" in page
    assert "Nothing is worse" not in page
    assert "Nothing is worse" in render_benchmark(document(cell()), compare(document(cell()), document(cell())))


def test_benchmark_page_says_that_none_qualifies():
    page = render_benchmark(document(cell(), choice=recommend([cell()], max_ms=0.1)))
    assert "No model qualifies" in page


def test_benchmark_page_bounds_its_histograms():
    page = render_benchmark(document(*(cell(f"m{n}", 1.0 + n, threads=(1, 2)) for n in range(30))))
    assert page.count("<figure><h3>") == 48
    assert "12 more in benchmark.json" in page


def test_training_page_shows_a_matrix_up_to_40_classes_only():
    assert "Confusion matrix" in render_training(training_report(40))
    many = render_training(training_report(41))
    assert "Confusion matrix" not in many
    assert "Worst confusions" in many


def test_training_page_bounds_its_lists():
    page = render_training(training_report(1000))
    assert page.count("<img") == 48
    assert "48 of 60 misclassified photos" in page
    assert "200 of 250 rejected files" in page
    assert "The 60 worst of 1,000 classes" in page


def test_training_page_drops_thumbnails_over_its_budget():
    report = training_report()
    for photo in report["misclassified"]:
        photo["thumbnail"] = "data:image/jpeg;base64," + base64.b64encode(bytes(30_000)).decode()
    page = render_training(report)
    assert len(page) < 1_000_000
    assert 5 <= page.count("<img") < 15
    assert page.count('class="none"') == 48 - page.count("<img")


def test_training_page_takes_only_pictures_that_are_inside():
    page = render_training(training_report(5, HOSTILE))
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_training_page_states_the_cost_of_quantization():
    assert "-1.0 points" in render_training(training_report())


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian's package chromium) to open the pages")
@pytest.mark.parametrize(
    ("name", "width"),
    [*((name, 1280) for name in PAGES), *((name, 520) for name in PAGES if "hostile" in name or "grid" in name)],
)
def test_page_opens_in_a_browser_without_error_request_or_overflow(name, width, tmp_path):
    own = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    page = PAGES[name]()
    assert own in page
    # the probe itself is the only script that may run; a request that the policy stops is reported to it
    copy = page.replace(own, f"{own}; script-src 'nonce-test'").replace("<title>", f"{PROBE}<title>", 1)
    assert browse(copy, width, tmp_path) == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian's package chromium) to open the pages")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<img src="http://127.0.0.1:9/x.png">', "request: http://127.0.0.1:9"),
        ('<div style="width:50px">Donaudampfschifffahrtsgesellschaft</div>', "overflow: DIV"),
        ('<svg width="50" height="20"><text y="15">much too long for this</text></svg>', "text leaves its chart"),
        ('<script nonce="test">missing()</script>', "error: Uncaught ReferenceError"),
        ('<script nonce="test">console.error("bad")</script>', "console: bad"),
    ],
)
def test_browser_check_notices_each_kind_of_fault(body, expected, tmp_path):
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-test'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">{PROBE}'
    found = browse(f"<!doctype html><html><head>{head}</head><body><main>{body}</main></body></html>", 1280, tmp_path)
    assert any(text.startswith(expected) for text in found), found


def browse(page, width, folder):
    """Open `page` in headless Chromium and return what its probe found."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="found">([^<]*)</pre>', done.stdout)
    assert found, f"Chromium gave no answer: {done.stderr[-500:]}"
    return json.loads(base64.b64decode(found[1]))
