"""The same models on a phone: TensorFlow's own benchmark_model binary, driven over adb.

adb is always called with a list of arguments, never through this computer's shell. What it runs on the device does go
through the device's shell, so every word of it is quoted, and models get names of our own making there.
"""

from __future__ import annotations

import random
import re
import shlex
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edgeretrain.benchmark.result import Failure, Phone, PhoneTiming
from edgeretrain.errors import EnvironmentFailure

REMOTE_DIR = "/data/local/tmp/edgeretrain"
"""Where models are put on the device; removed afterwards."""
REMOTE_BINARY = "/data/local/tmp/benchmark_model"
"""Where benchmark_model is expected on the device unless one is given; the place its own manual names."""
ROUNDS = 3
"""Every model is run this often, in random order."""
_RUN_TIMEOUT_S = 180.0
_GONE = re.compile(
    r"device .*not found|no devices|device offline|device still authorizing|error: closed", re.IGNORECASE
)


class DeviceGone(Exception):  # noqa: N818 (an event, always caught here)
    """The device no longer answers; the text says what adb said."""


@dataclass(frozen=True)
class Run:
    """What one run of benchmark_model printed."""

    p50_ms: float
    """Its median; its mean where it prints no median (before 2024)."""
    init_ms: float
    first_ms: float
    memory_bytes: int | None
    runs: int
    delegate: str | None


def measure_on_phone(
    models: Sequence[tuple[str, Path]],
    *,
    serial: str | None = None,
    binary: str | None = None,
    threads: Sequence[int] = (1,),
    rounds: int = ROUNDS,
    seed: int = 0,
    adb: str = "adb",
    progress: Callable[[int], None] = lambda runs: None,
) -> Phone:
    """Run every model (name, path) on a device in `rounds` rounds of random order and return the figures.

    `binary` is a benchmark_model on this computer, which is copied over, or the path of one on the device. A model the
    device cannot run is listed in `failures`; when the device disappears, `problem` says so and what was measured until
    then is kept. Raises EnvironmentFailure when there is no adb, no device, or no binary to begin with.
    """
    device = Device(adb, serial)
    try:
        remote_binary = _install(device, binary)
        phone = describe(device)
    except DeviceGone as gone:
        raise EnvironmentFailure(f"the device disappeared before the first run: {gone}") from None
    found: dict[tuple[int, int], list[Run]] = {}
    failures: dict[int, Failure] = {}
    problem = None
    try:
        _put_models(device, models, failures)
        rng = random.Random(seed)
        for _ in range(rounds):
            jobs = [(index, count) for index in range(len(models)) for count in threads]
            rng.shuffle(jobs)
            for index, count in jobs:
                if index not in failures:
                    run = _run(device, remote_binary, index, count, models[index][1], failures)
                    if run:
                        found.setdefault((index, count), []).append(run)
                progress(1)
        thermal_after = thermal_state(device)
        device.shell("rm", "-r", REMOTE_DIR)
    except DeviceGone as gone:
        thermal_after = None
        missing = len(models) - len({index for index, _ in found}) - len(failures)
        problem = f"the device disappeared ({gone}): {missing} of {len(models)} models were not measured"
    return replace(
        phone,
        thermal_after=thermal_after,
        timings=tuple(_timing(models[index][0], count, runs) for (index, count), runs in sorted(found.items())),
        failures=tuple(failures[index] for index in sorted(failures)),
        problem=problem,
    )


def parse_output(text: str) -> Run | None:
    """Return what benchmark_model printed on stdout and stderr; None when it did not finish."""
    # us may be written 2.95034e+06
    number = r"([\d.]+(?:e[+-]?\d+)?)"
    summary = re.search(
        rf"Inference timings in us: Init: {number}, First inference: {number}, .*Inference \(avg\): {number}", text
    )
    counts = re.findall(rf"^(?:.*: )?count=(\d+)(?: .*?median={number})?", text, re.MULTILINE)
    if not summary or not counts:
        return None
    count, median = counts[-1]  # the first such line is the warm-up's
    memory = re.search(rf"emory footprint.*\(MB\): init={number} overall={number}", text)
    delegate = re.search(r"(?:Explicitly applied|Applied) (\w+) delegate[^\n]*", text)
    return Run(
        p50_ms=float(median or summary[3]) / 1e3,
        init_ms=float(summary[1]) / 1e3,
        first_ms=float(summary[2]) / 1e3,
        memory_bytes=int(float(memory[2]) * (1 << 20)) if memory else None,
        runs=int(count),
        delegate=" ".join(delegate[0].split())[:160] if delegate else None,
    )


class Device:
    """One device behind adb."""

    def __init__(self, adb: str, serial: str | None) -> None:
        self._command = [adb, *(["-s", serial] if serial else [])]
        state = self._call("get-state")
        if state.returncode != 0 or state.stdout.strip() != "device":
            said = _said(state) or state.stdout.strip()
            which = f"device {serial}" if serial else "a device"
            raise EnvironmentFailure(f"expected {which} that adb can use, found: {said}; see `adb devices`")
        self.serial = serial or self._call("get-serialno").stdout.strip()

    def _call(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        command = [*self._command, *arguments]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError:
            raise EnvironmentFailure(
                f"{command[0]} was not found: install Android's platform tools, or put adb on the PATH"
            ) from None
        except OSError as error:
            raise EnvironmentFailure(f"{command[0]} cannot be run: {error.strerror or error}") from error
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"adb gave no answer within {timeout_s:.0f} s")

    def call(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run an adb command. Raises DeviceGone when the device does not answer any more."""
        done = self._call(*arguments, timeout_s=timeout_s)
        if done.returncode != 0:
            if _GONE.search(done.stderr):
                raise DeviceGone(_said(done))
            state = self._call("get-state")  # a run cut short says nothing itself
            if state.stdout.strip() != "device":
                raise DeviceGone(_said(state) or "no answer")
        return done

    def shell(self, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command on the device, each word quoted for its shell."""
        return self.call("shell", shlex.join(words), timeout_s=timeout_s)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:200].removeprefix("error: ").removeprefix("adb: ") if lines else ""


def _install(device: Device, binary: str | None) -> str:
    """Make the work folder and return the path of benchmark_model on the device."""
    made = device.shell("mkdir", "-p", REMOTE_DIR)
    if made.returncode != 0:
        raise EnvironmentFailure(f"cannot make {REMOTE_DIR} on the device: {_said(made)}")
    if binary and Path(binary).is_file():
        remote = f"{REMOTE_DIR}/benchmark_model"
        pushed = device.call("push", str(Path(binary).resolve()), remote, timeout_s=300)
        if pushed.returncode != 0 or device.shell("chmod", "755", remote).returncode != 0:
            raise EnvironmentFailure(f"cannot copy {binary} to the device: {_said(pushed)}")
        return remote
    remote = binary or REMOTE_BINARY
    if not PurePosixPath(remote).is_absolute() or device.shell("test", "-x", remote).returncode != 0:
        raise EnvironmentFailure(
            f"expected TensorFlow's benchmark_model at {remote} on the device, found none: "
            "give the file with --benchmark-binary"
        )
    return remote


def describe(device: Device) -> Phone:
    """Return the device without figures."""

    def prop(*names: str) -> str:
        values = (device.shell("getprop", name).stdout.strip() for name in names)
        return next((value for value in values if value), "unknown")

    governor = device.shell("cat", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return Phone(
        serial=device.serial,
        model=prop("ro.product.model"),
        soc=prop("ro.soc.model", "ro.board.platform"),
        android=prop("ro.build.version.release"),
        governor=(governor.stdout.strip() or None) if governor.returncode == 0 else None,
        thermal_before=thermal_state(device),
        thermal_after=None,
        timings=(),
    )


def thermal_state(device: Device) -> str | None:
    """Return Android's thermal status in its own words (android.os.PowerManager), None where it tells none."""
    found = re.search(r"Thermal Status:\s*(\d)", device.shell("dumpsys", "thermalservice").stdout)
    words = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    return words[int(found[1])] if found and int(found[1]) < len(words) else None


def _remote_model(index: int) -> str:
    return f"{REMOTE_DIR}/model{index}.tflite"


def _put_models(device: Device, models: Sequence[tuple[str, Path]], failures: dict[int, Failure]) -> None:
    for index, (_, path) in enumerate(models):
        pushed = device.call("push", str(path.resolve()), _remote_model(index), timeout_s=300)
        if pushed.returncode != 0:
            failures[index] = Failure(str(path), f"cannot be copied to the device: {_said(pushed)}")


def _run(device: Device, binary: str, index: int, threads: int, path: Path, failures: dict[int, Failure]) -> Run | None:
    options = (f"--graph={_remote_model(index)}", f"--num_threads={threads}", "--use_xnnpack=true", "--max_secs=60")
    done = device.shell(binary, *options, timeout_s=_RUN_TIMEOUT_S)
    run = parse_output(done.stdout + "\n" + done.stderr)
    if done.returncode != 0 or run is None:
        said = _said(done) or f"no timings in its output, exit code {done.returncode}"
        failures[index] = Failure(str(path), f"benchmark_model failed on the device: {said}")
        return None
    return run


def _timing(name: str, threads: int, runs: Sequence[Run]) -> PhoneTiming:
    memory = [run.memory_bytes for run in runs if run.memory_bytes is not None]
    return PhoneTiming(
        name=name,
        threads=threads,
        p50_ms=statistics.median(run.p50_ms for run in runs),
        rounds_ms=tuple(run.p50_ms for run in runs),
        init_ms=statistics.median(run.init_ms for run in runs),
        first_ms=statistics.median(run.first_ms for run in runs),
        memory_bytes=max(memory, default=None),
        runs=sum(run.runs for run in runs),
        delegate=runs[-1].delegate,
    )
