"""The same models on a phone, measured by the demo app's benchmark screen, which `am start` opens and whose JSON is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeretrain import android
from edgeretrain.benchmark.phone import Device, DeviceGone, describe, thermal_state
from edgeretrain.benchmark.result import Failure, Phone, PhoneTiming
from edgeretrain.errors import DataError, EnvironmentFailure

TIMEOUT_S = 180.0
WARMUP_RUNS = 10


def measure_with_app(
    models: Sequence[tuple[str, Path]],
    *,
    serial: str | None = None,
    min_runs: int = 50,
    min_seconds: float = 2.0,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int], None] = lambda models: None,
) -> Phone:
    """Push every model (name, path) to the app, have it measured with the app's own thread counts, return the figures.

    A model the app cannot use is listed in `failures`; when the phone is lost, `problem` says so and what was measured until
    then is kept. Raises EnvironmentFailure when there is no adb, no phone, or no app on it.
    """
    app = android.Phone.find(serial)
    try:
        device = Device(app.adb, serial)
        phone = describe(device)
    except DeviceGone as gone:
        raise EnvironmentFailure(f"the device disappeared before the first run: {gone}") from None
    timings: list[PhoneTiming] = []
    failures: list[Failure] = []
    problem = thermal_after = None
    try:
        for name, path in models:
            remote = android.file_name(path)
            app.push(path, remote)
            try:
                document = app.benchmark(
                    remote, warmup_runs=WARMUP_RUNS, min_runs=min_runs, min_seconds=min_seconds, timeout=timeout_s
                )
                timings += _timings(name, document)
            except DataError as error:
                failures.append(Failure(str(path), str(error)))
            progress(1)
        thermal_after = thermal_state(device)
    except (EnvironmentFailure, DeviceGone) as gone:
        done = len({timing.name for timing in timings}) + len(failures)
        problem = f"the phone was lost ({gone}): {len(models) - done} of {len(models)} models were not measured"
    return replace(
        phone, thermal_after=thermal_after, timings=tuple(timings), failures=tuple(failures), problem=problem
    )


def _timings(name: str, document: dict[str, Any]) -> list[PhoneTiming]:
    try:
        return [
            PhoneTiming(
                name=name,
                threads=int(entry["threads"]),
                p50_ms=float(entry["inference"]["p50_ms"]),
                rounds_ms=(float(entry["inference"]["p50_ms"]),),
                init_ms=None,
                first_ms=None,
                memory_bytes=None,
                runs=int(entry["runs"]),
                delegate=f"demo app; preprocessing {float(entry['preprocess']['p50_ms']):.2f} ms",
            )
            for entry in document["timings"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the app's result for {name} is not complete ({error!r}): update the app") from None
