"""The steps of a benchmark in order: try each file alone, time all that run side by side, put the figures together."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeretrain.benchmark.decision import pareto_front
from edgeretrain.benchmark.host import describe_host, host_state, int8_note, versions
from edgeretrain.benchmark.probe import Probe, probe
from edgeretrain.benchmark.result import Accuracy, Benchmark, Cell, Failure, Noise, Preprocessing, against_best
from edgeretrain.benchmark.timing import Plan, Session, Timing, measure
from edgeretrain.errors import DataError, UsageError
from edgeretrain.spec import ModelSpec
from edgeretrain.storage import sha256


@dataclass(frozen=True)
class Subject:
    """A model to measure, and what is known about it beforehand."""

    path: Path
    name: str
    accuracy: Accuracy | None = None
    published_top1: float | None = None
    macs: int | None = None
    kind: str | None = None
    """`int8`, `float32`, ...; the type of the input when None."""


def name_models(paths: Sequence[Path]) -> list[Subject]:
    """Return a subject for each file, named by its stem; files of one stem by as much of their path as it takes.

    Raises UsageError when one file is given twice.
    """
    resolved = [path.resolve() for path in paths]
    twice = next((path for path, full in zip(paths, resolved, strict=True) if resolved.count(full) > 1), None)
    if twice:
        raise UsageError(f"{twice} is given more than once: every model is measured against itself anyway")
    subjects = []
    for path, full in zip(paths, resolved, strict=True):
        depth = 1
        while sum(_name(other, depth) == _name(full, depth) for other in resolved) > 1 and depth < len(full.parts):
            depth += 1
        subjects.append(Subject(path, _name(full, depth)))
    return subjects


def run_benchmark(
    subjects: Sequence[Subject],
    plan: Plan,
    *,
    command: str = "",
    preprocessing: Callable[[list[int]], list[Preprocessing]] = lambda resolutions: [],
    advance: Callable[[int], None] = lambda steps: None,
) -> Benchmark:
    """Measure every subject and return the document; files that cannot be measured are in its `failures`.

    `preprocessing` gets the resolutions of the models that run. `advance(1)` is called `steps(len(subjects), plan)`
    times at most. Nothing else of ours may run meanwhile.
    """
    before = host_state()
    cells: list[tuple[Subject, tuple[Probe, ...]]] = []
    failures = []
    for subject in subjects:
        try:
            cells.append((subject, tuple(probe(subject.path, count, seed=plan.seed) for count in plan.threads)))
        except DataError as error:
            failures.append(Failure(str(subject.path), str(error)))
        advance(1)
    sessions = []
    if cells:
        for count in plan.threads:
            sessions.append(measure([subject.path for subject, _ in cells], count, plan))
            advance(1)
    finished = against_best(
        tuple(_cell(*cell, [session.timings[index] for session in sessions]) for index, cell in enumerate(cells))
    )
    host = describe_host()
    return Benchmark(
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=command,
        versions=versions(),
        host=host,
        before=before,
        after=host_state(),
        plan=plan,
        note=int8_note(host),
        noise=tuple(_noise(session) for session in sessions),
        cells=finished,
        failures=tuple(failures),
        preprocessing=tuple(preprocessing(sorted({cell.res for cell in finished}))),
        pareto=tuple(cell.name for cell in pareto_front(finished)),
    )


def steps(models: int, plan: Plan) -> int:
    """Return how often `run_benchmark` advances at most."""
    return models + len(plan.threads)


def _name(path: Path, depth: int) -> str:
    return "/".join((*path.parts[-depth:-1], path.stem))


def _cell(subject: Subject, probes: tuple[Probe, ...], timings: list[Timing]) -> Cell:
    data = subject.path.read_bytes()
    spec = ModelSpec.parse(subject.path.name)
    shape = probes[0].input_shape
    res = shape[1] if shape[3] in (1, 3, 4) else shape[2]  # NHWC, else NCHW
    return Cell(
        name=subject.name,
        path=str(subject.path),
        size_bytes=len(data),
        sha256=sha256(data),
        width=spec.width if spec and spec.res == res else None,
        res=res,
        probes=probes,
        timings=tuple(timings),
        accuracy=subject.accuracy,
        published_top1=subject.published_top1,
        macs=subject.macs,
        kind=subject.kind or probes[0].input_dtype,
    )


def _noise(session: Session) -> Noise:
    return Noise(
        threads=session.threads,
        noise_rms=session.noise_rms,
        reference_ms=session.reference.p50_ms,
        seconds=session.seconds,
        other_cpu=session.other_cpu,
    )
