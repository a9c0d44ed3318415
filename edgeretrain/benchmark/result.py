"""`benchmark.json`: what a benchmark found, with everything needed to judge it. Described in docs/benchmark-json.md."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgeretrain.benchmark.host import Host, HostState
from edgeretrain.benchmark.probe import Probe
from edgeretrain.benchmark.timing import Plan, Timing
from edgeretrain.errors import DataError
from edgeretrain.stats import mcnemar, wilson

SCHEMA = "edgeretrain.benchmark/1"
"""Name and version. Added fields keep the version; a field that goes or changes its meaning makes a new one."""
T = TypeVar("T")


@dataclass(frozen=True)
class Accuracy:
    """What one model answered on the photos of the test split."""

    top1: float
    """Share of right answers of the .tflite itself, 0 to 1."""
    low: float
    """Bounds of its 95 % Wilson interval."""
    high: float
    n: int
    test_id: str
    """Identifies the photos (a hash): answers are only compared between equal ones."""
    correct: str = ""
    """One character per test photo, in the order of the split: 1 right, 0 wrong. Empty when not kept."""
    head_top1: float | None = None
    """The same network with the unquantized head."""
    instrumented_top1: float | None = None
    """The fake-quant network."""
    agreement: float | None = None
    """Share of photos on which the .tflite and the unquantized head answer the same."""
    worst_class: str | None = None
    worst_recall: float | None = None
    p_vs_best: float | None = None
    """McNemar's exact p against the most accurate model of the same run; None for that one."""

    @classmethod
    def of_answers(cls, correct: str, test_id: str, **more: Any) -> Accuracy:
        """Build from the string of right (1) and wrong (0) answers; `more` are the other fields."""
        n, right = len(correct), correct.count("1")
        low, high = wilson(right, n)
        return cls(right / n if n else 0.0, low, high, n, test_id, correct, **more)


@dataclass(frozen=True)
class Cell:
    """One model: a .tflite and what was found out about it."""

    name: str
    path: str
    size_bytes: int
    sha256: str
    width: str | None
    """Of the grid, when the name tells; None for other models."""
    res: int
    """Height of the input in pixels."""
    probes: tuple[Probe, ...] = ()
    """One for every number of threads."""
    timings: tuple[Timing, ...] = ()
    """One for every number of threads."""
    accuracy: Accuracy | None = None
    published_top1: float | None = None
    """ImageNet top-1 that the makers of the backbone published: a reference, never a measurement of this model."""
    macs: int | None = None
    """Multiply-accumulates of one inference."""
    kind: str = "uint8"
    """Type of the input, or what the caller named it: `float32` marks a baseline."""

    def timing(self, threads: int | None = None) -> Timing | None:
        """Return the timing with `threads` threads (the first one measured when None)."""
        return next((t for t in self.timings if threads in (None, t.threads)), None)

    @property
    def p50_ms(self) -> float | None:
        """Median latency with the first number of threads."""
        timing = self.timing()
        return timing.p50_ms if timing else None


@dataclass(frozen=True)
class Noise:
    """What one session, all models with one number of threads, says about the measurement itself."""

    threads: int
    noise_rms: float
    """Root mean square of the A/A errors: the noise floor, as a share of the latency."""
    reference_ms: float
    """Median of a fixed piece of work (hashing 128 KiB) timed in between: compares the machine with itself."""
    seconds: float
    other_cpu: float
    """Share of all cores that other processes used meanwhile."""


@dataclass(frozen=True)
class Preprocessing:
    """Decoding and resizing one photo to `res` pixels, on this computer; no part of the inference times."""

    res: int
    photos: int
    source: str
    """Which photos: a folder, or `generated`."""
    decode_p50_ms: float
    resize_p50_ms: float
    total_p90_ms: float


@dataclass(frozen=True)
class PhoneTiming:
    """One model on a device, as TensorFlow's benchmark_model measured it in each round, or the demo app in one."""

    name: str
    threads: int
    p50_ms: float
    """Median over the rounds of each round's median (its mean where the tool prints no median)."""
    rounds_ms: tuple[float, ...]
    init_ms: float | None
    first_ms: float | None
    """None where the demo app measured, which tells neither."""
    memory_bytes: int | None
    """How much the process grew, as the tool says; approximate."""
    runs: int
    delegate: str | None
    """What the tool says about who ran the graph."""


@dataclass(frozen=True)
class Failure:
    """A model that could not be measured."""

    path: str
    reason: str


@dataclass(frozen=True)
class Phone:
    """All models on one device. Never merged with the host's figures."""

    serial: str
    model: str
    soc: str
    android: str
    governor: str | None
    thermal_before: str | None
    thermal_after: str | None
    timings: tuple[PhoneTiming, ...]
    failures: tuple[Failure, ...] = ()
    problem: str | None = None
    """Why measuring ended early, models measured until then kept; None when it did not."""


@dataclass(frozen=True)
class Choice:
    """What `recommend` decided, with the limits it was given (None: no limit)."""

    max_ms: float | None
    max_kb: float | None
    min_top1: float | None
    cell: str | None
    """Name of the recommended model; None when none qualifies."""
    nearest: str | None
    """Name of the model that comes nearest when none qualifies."""
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """The whole document."""

    created: str
    """Local time with its offset, ISO 8601."""
    command: str
    versions: dict[str, str]
    host: Host
    before: HostState
    after: HostState
    plan: Plan
    note: str
    """What int8 against float32 means on this host."""
    noise: tuple[Noise, ...] = ()
    cells: tuple[Cell, ...] = ()
    failures: tuple[Failure, ...] = ()
    preprocessing: tuple[Preprocessing, ...] = ()
    phones: tuple[Phone, ...] = ()
    choice: Choice | None = None
    pareto: tuple[str, ...] = ()
    """Names of the models that no other beats in latency, accuracy and size at once."""
    schema: str = SCHEMA


def against_best(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return `cells` with `p_vs_best` filled in for all that answered the same photos as the most accurate one."""
    rated = [cell for cell in cells if cell.accuracy and cell.accuracy.correct]
    if not rated:
        return cells
    best = max(rated, key=lambda cell: cell.accuracy.top1 if cell.accuracy else 0.0)
    return tuple(
        replace(cell, accuracy=replace(cell.accuracy, p_vs_best=paired_p(best.accuracy, cell.accuracy)))
        if cell is not best and cell.accuracy and best.accuracy
        else cell
        for cell in cells
    )


def paired_p(first: Accuracy, second: Accuracy) -> float | None:
    """Return McNemar's exact p of two models' answers; None when they did not answer the same photos."""
    if first.test_id != second.test_id or len(first.correct) != len(second.correct) or not first.correct:
        return None
    pairs = list(zip(first.correct, second.correct, strict=True))
    return mcnemar(pairs.count(("1", "0")), pairs.count(("0", "1")))


def to_json(document: Benchmark) -> str:
    """Return the document as JSON text, samples rounded to 0.1 microsecond, keys in the order of the classes."""
    return json.dumps(_rounded(asdict(document)), separators=(",", ":"), ensure_ascii=False) + "\n"


def from_json(text: str, source: str = "benchmark.json") -> Benchmark:
    """Read what `to_json` wrote. Raises DataError naming `source` and what is wrong with it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{source}: expected a benchmark.json, found no valid JSON: {error}") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise DataError(f"{source}: expected the schema {SCHEMA!r}, found {schema!r}")
    try:
        return _build(Benchmark, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{source}: not a complete benchmark.json: {type(error).__name__} {error}") from error


def read(path: Path) -> Benchmark:
    """Read a benchmark.json. Raises DataError when it cannot be read or is something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return from_json(text, str(path))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def _build(kind: type[T], data: dict[str, Any]) -> T:
    """Return a dataclass made of JSON data: missing fields get their defaults, unknown ones are left out."""
    hints = typing.get_type_hints(kind)
    known = {item.name for item in fields(typing.cast(Any, kind))}
    return kind(**{key: _convert(hints[key], value) for key, value in data.items() if key in known})


def _convert(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        return tuple(_convert(arguments[0], item) for item in value)
    if origin is dict:
        return {str(key): _convert(arguments[1], item) for key, item in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value)
    if hint is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, hint):
        raise TypeError(f"expected {hint.__name__}, found {value!r:.60}")
    return value
