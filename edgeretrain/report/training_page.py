"""The page of one training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeretrain.report.axes import number, percent
from edgeretrain.report.charts import Series, line_chart
from edgeretrain.report.class_charts import bars, confusion_matrix
from edgeretrain.report.networks import network_names
from edgeretrain.report.page import render
from edgeretrain.stats import wilson

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_MATRIX_CLASSES = 40
"""With more classes a matrix is unreadable: the worst confusions alone are listed."""
MOST_CONFUSIONS = 20
MOST_BARS = 60
MOST_PHOTOS = 48
MOST_REJECTED = 200
MOST_THUMBNAIL_BYTES = 400_000
"""All thumbnails together, as text: the page stays under 1 MB."""


def render_training(report: Mapping[str, Any]) -> str:
    """Return one training run as one HTML page that needs no script, no network and no other file.

    Keys of `report`; a missing optional one leaves its part of the page out:

    - `model` str, for example `mobilenet_v1_050_160`; `source` str, where the backbone came from
    - `classes` list of str, in the order of the labels
    - `counts` optional, {`train`: int, `validation`: int, `test`: int}, photos
    - `accuracy` {name: {`top1`: share, `low`: share, `high`: share, `n`: int}}, 95 % interval; name is `tflite`,
      `head` (unquantized), `instrumented` (fake-quant network) or `float` (float module, post-training route), the first
      is required
    - `agreement` optional share of test photos that `tflite` and `head`, after fine-tuning `instrumented`, answer alike
    - `per_class` optional list of {`class_name`, `precision` (share or None), `recall` (share or None), `support` int}
    - `confusion` optional int [C][C], rows the true classes
    - `curve` optional {`step`: [int], `train_loss`: [float], `validation_loss`: [float], `validation_top1`: [share]},
      each of the last three as long as `step` or empty
    - `fine_tuning` optional {`curve` as above, `steps` int, `photos_per_s` float}; `head` is then the head before it
    - `misclassified` optional list of {`path`, `truth`, `predicted`, `confidence` (share), `thumbnail` (a `data:image/`
      URI of a small JPEG, or None)}, the most confident mistakes first
    - `rejected` optional list of {`path`, `class_name`, `reason`}
    - `warnings` optional list of str
    - `timings` optional {stage: seconds}
    - `size_bytes` int; `command` optional str; `versions` optional {name: version}; `created` optional str; `seed`
      optional int

    Raises KeyError when a required key is missing.
    """
    classes = [str(name) for name in report["classes"]]
    matrix = report.get("confusion")
    confusions = _confusions(classes, matrix) if matrix else []
    per_class, per_class_note = _per_class(report.get("per_class") or [])
    photos = [_photo(photo) for photo in (report.get("misclassified") or [])[:MOST_PHOTOS]]
    rejected = report.get("rejected") or []
    many = len(classes) > MOST_MATRIX_CLASSES
    tuned = report.get("fine_tuning")
    return render(
        "training.html",
        title=report["model"],
        subtitle=_subtitle(report, classes),
        tiles=_tiles(report, classes),
        warnings=report.get("warnings") or [],
        accuracy=_accuracy(report["accuracy"], network_names(report)),
        agreement=percent(report["agreement"]) if report.get("agreement") is not None else None,
        twin=network_names(report)["instrumented" if tuned else "head"],
        curves=_curves(report.get("curve") or {}),
        tuned_curves=_curves(tuned["curve"]) if tuned else [],
        matrix=_svg(confusion_matrix(classes, matrix)) if matrix and not many else None,
        confusions=[[str(text) for text in row] for row in confusions[:MOST_CONFUSIONS]],
        confusions_note=_shown(MOST_CONFUSIONS, len(confusions), "confusions"),
        per_class=per_class,
        per_class_note=per_class_note,
        misclassified=_within_budget(photos),
        misclassified_note=_shown(MOST_PHOTOS, len(report.get("misclassified") or []), "misclassified photos"),
        rejected=[[item["path"], item["class_name"], item["reason"]] for item in rejected[:MOST_REJECTED]],
        rejected_note=_shown(MOST_REJECTED, len(rejected), "rejected files"),
        facts_list=_facts(report, classes),
        timings=_timings(report.get("timings") or {}),
    )


def _svg(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # charts escape every text they are given


def _shown(most: int, total: int, what: str) -> str:
    return f"{most} of {total:,} {what}; the rest is in report.json." if total > most else ""


def _subtitle(report: Mapping[str, Any], classes: Sequence[str]) -> str:
    parts = [f"{len(classes):,} classes", f"backbone from {report['source']}"]
    return " · ".join([*parts, *([str(report["created"])] if report.get("created") else [])])


def _tiles(report: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, str]]:
    own = report["accuracy"]["tflite"]
    interval = f"{100 * own['low']:.1f} to {100 * own['high']:.1f} %, N = {own['n']:,}"
    tiles = [
        {"label": "Top-1 of the .tflite", "value": percent(own["top1"]), "note": interval},
        {"label": "File size", "value": f"{report['size_bytes'] / 1000:,.0f} kB", "note": "fully integer .tflite"},
    ]
    twin = report["accuracy"].get("float") or report["accuracy"].get("head")
    if twin:
        what = "Gain of fine-tuning" if report.get("fine_tuning") else "Cost of quantization"
        name = network_names(report)["float" if report["accuracy"].get("float") else "head"]
        change = f"{100 * (own['top1'] - twin['top1']):+.1f} points"
        tiles.append({"label": what, "value": change, "note": f"against the {name}"})
    counts = report.get("counts")
    if counts:
        parts = ", ".join(f"{counts[name]:,} {name}" for name in ("train", "validation", "test") if name in counts)
        tiles.append({"label": "Photos", "value": f"{sum(counts.values()):,}", "note": parts})
    return tiles


def _accuracy(accuracy: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> Markup:
    shown = [(names[key], accuracy[key]) for key in names if accuracy.get(key)]
    values = [(a["top1"], a["low"], a["high"]) for _, a in shown]
    notes = [f"N = {int(a['n']):,}" for _, a in shown]
    return _svg(bars([name for name, _ in shown], values, notes=notes, title="Accuracy"))


def _curves(curve: Mapping[str, Sequence[float]]) -> list[Markup]:
    steps = curve.get("step") or []
    losses = [
        Series(name, steps, curve[key], group)
        for key, name, group in (("train_loss", "training", 0), ("validation_loss", "validation", 1))
        if curve.get(key)
    ]
    charts = []
    if losses and len(steps) > 1:
        charts.append(_svg(line_chart(losses, x_label="step", y_label="cross entropy", zero=True, title="Loss")))
    if curve.get("validation_top1") and len(steps) > 1:
        series = [Series("validation", steps, curve["validation_top1"], 1)]
        charts.append(_svg(line_chart(series, x_label="step", y_label="top-1", y_percent=True, title="Accuracy")))
    return charts


def _confusions(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[list[object]]:
    """Return (truth, answer, count, photos of the class, share), the most frequent first."""
    found = []
    for r, row in enumerate(matrix):
        total = sum(row)
        for c, count in enumerate(row):
            if count and r != c:
                found.append((int(count), total, classes[r], classes[c]))
    found.sort(key=lambda item: (-item[0], -item[0] / item[1], item[2], item[3]))
    return [[truth, answer, count, total, percent(count / total)] for count, total, truth, answer in found]


def _per_class(rows: Sequence[Mapping[str, Any]]) -> tuple[Markup | None, str]:
    """Return the bars of the classes, worst recall first, and what to say about those left out."""
    known = sorted(
        (row for row in rows if row["recall"] is not None), key=lambda row: (row["recall"], row["class_name"])
    )
    if not known:
        return None, ""
    shown = known[:MOST_BARS]
    values = []
    for row in shown:
        low, high = wilson(round(row["recall"] * row["support"]), row["support"])
        values.append((float(row["recall"]), low, high))
    notes = [
        f"N = {row['support']}, precision {percent(row['precision']) if row['precision'] is not None else '-'}"
        for row in shown
    ]
    note = f"The {MOST_BARS} worst of {len(known):,} classes." if len(known) > MOST_BARS else "Worst first."
    return _svg(bars([str(row["class_name"]) for row in shown], values, notes=notes, title="Recall")), note


def _photo(photo: Mapping[str, Any]) -> dict[str, str | None]:
    thumbnail = photo.get("thumbnail")
    # anything else would be fetched from the network when the page is opened
    inline = isinstance(thumbnail, str) and thumbnail.startswith("data:image/")
    return {
        "path": str(photo["path"]),
        "truth": str(photo["truth"]),
        "predicted": str(photo["predicted"]),
        "confidence": percent(photo["confidence"]),
        "thumbnail": thumbnail if inline else None,
    }


def _within_budget(photos: list[dict[str, str | None]]) -> list[dict[str, str | None]]:
    """Leave out the thumbnails that would make the page too big."""
    left = MOST_THUMBNAIL_BYTES
    kept = []
    for photo in photos:
        size = len(photo["thumbnail"] or "")
        kept.append(photo if size <= left else {**photo, "thumbnail": None})
        left -= size if size <= left else 0
    return kept


def _facts(report: Mapping[str, Any], classes: Sequence[str]) -> list[tuple[str, str]]:
    names = ", ".join(classes[:30]) + (f" and {len(classes) - 30:,} more" if len(classes) > 30 else "")
    versions = ", ".join(f"{name} {version}" for name, version in (report.get("versions") or {}).items())
    seed = report.get("seed")
    return [
        ("Command", str(report.get("command") or "")),
        ("Backbone", str(report["source"])),
        ("Classes", names),
        ("Size", f"{report['size_bytes']:,} bytes"),
        ("Seed", "" if seed is None else str(seed)),
        ("Versions", versions),
    ]


def _timings(timings: Mapping[str, float]) -> Markup | None:
    if not timings:
        return None
    values = [(float(s), float(s), float(s)) for s in timings.values()]
    return _svg(bars(list(timings), values, show=lambda s: f"{number(s)} s", top_value=None, title="Time per stage"))
