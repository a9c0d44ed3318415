"""CARD.md of a distilled backbone: what somebody who finds the folder wants to know."""

from __future__ import annotations

from typing import Any


def card(report: dict[str, Any]) -> str:
    """The report of a distillation (`distill.json`) as Markdown."""
    student, teacher, photos = report["student"], report["teacher"], report["photos"]
    recipe, training = report["recipe"], report["training"]
    logits = f", and its {teacher['logits']} logits" if teacher["logits"] else ""
    options = ", ".join(f"{name} {value}" for name, value in recipe.items())
    lines = [
        f"# {student['name']}, distilled",
        "A MobileNet V1 backbone without head, int8 per channel: `edgeretrain train --module` takes this folder.",
        "",
        f"- Teacher: {teacher['name']} ({teacher['source']['kind']}: {teacher['source']['name']}, "
        f"SHA-256 {teacher['source']['sha256']}); learnt were its embeddings{logits}.",
        f"- Start: {report['start']['kind']} ({report['start']['name']}).",
        f"- Photos: {photos['used']}, without labels, {photos['held_back']} of them held back to measure; "
        f"SHA-256 over their contents {photos['sha256']}.",
        f"- Recipe: {options}.",
        f"- Training: {training['views']} views in {training['seconds']:.0f} s.",
        "- Versions: " + ", ".join(f"{name} {value}" for name, value in report["versions"].items()) + ".",
        "",
        "## How near to the teacher",
        "Of the int8 files, on photos held back: what a linear layer reads of the teacher's standardized features out of "
        "the student's. Cosines are of features less their mean.",
        "",
        "| network | explained variance | cosine | 95 % interval | N |",
        "|---|---|---|---|---|",
    ]
    for name, row in report["quality"].items():
        interval = f"{row['cosine_low']:.3f} to {row['cosine_high']:.3f}"
        lines.append(f"| {name} | {row['explained_variance']:.3f} | {row['cosine']:.3f} | {interval} | {row['n']} |")
    if report["probe"]:
        lines += [
            "",
            "## Linear probe on labelled photos",
            "Top-1 of a softmax layer on the embeddings of the int8 files, 5-fold cross-validation.",
            "",
            "| network | top-1 % | 95 % interval | N |",
            "|---|---|---|---|",
        ]
        for name, row in report["probe"].items():
            interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
            lines.append(f"| {name} | {100 * row['top1']:.1f} | {interval} | {row['n']} |")
    return "\n".join(lines) + "\n"
