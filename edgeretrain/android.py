"""The demo app: put a model into its project, or onto a phone that has it, and ask it for a benchmark.

The app (android_demo/) looks for models in its assets, in its own storage, and in the folder on the phone's shared storage
that `adb` may write to.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgeretrain.artifact import Model, load_model, verify
from edgeretrain.errors import DataError, EnvironmentFailure, QualityError, UsageError
from edgeretrain.storage import write_file

PACKAGE = "org.edgeretrain.demo"
ASSETS = Path("app/src/main/assets/models")
MANIFEST = Path("app/src/main/AndroidManifest.xml")
FILES = PurePosixPath("/sdcard/Android/data") / PACKAGE / "files"
"""The app's folder on the phone's shared storage."""

RESULT_FILE = "benchmark.json"
_ADB_TIMEOUT_S = 60.0
_POLL_S = 0.5


def load_verified(path: Path) -> Model:
    """Read the model at `path` and hold it against its own contract.

    Raises DataError when it is no model of ours, QualityError when it is not what it says it is.
    """
    model = load_model(path)
    failed = [check for check in verify(model) if not check.ok]
    if failed:
        raise QualityError(
            f"{path} was not deployed, it is not what it says it is: {failed[0].subject}: {failed[0].seen}"
        )
    return model


def file_name(path: Path) -> str:
    """What the model at `path` is called on the phone: letters, digits, dot, dash and underscore only."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", path.stem).lstrip(".-") + ".tflite"


def install(model: Model, name: str, app: Path) -> Path:
    """Put `model` as `name` into the assets of the Gradle project `app`; return where. Raises UsageError."""
    if not (app / MANIFEST).is_file():
        raise UsageError(f"{app} is not the demo app, it has no {MANIFEST}: give its folder with --app")
    target = app / ASSETS / name
    write_file(target, model.data)
    return target


@dataclass(frozen=True)
class Phone:
    """A phone reached through `adb`, at path `adb`; `serial` chooses among several."""

    adb: str
    serial: str | None = None

    @classmethod
    def find(cls, serial: str | None = None) -> Phone:
        """The phone that `adb` of the PATH sees. Raises EnvironmentFailure when there is none, or none with the app."""
        adb = shutil.which("adb")
        if adb is None:
            raise EnvironmentFailure("adb is not on the PATH: install Android's platform tools")
        phone = cls(adb, serial)
        state = phone._run("get-state").strip()
        if state != "device":
            raise EnvironmentFailure(f"the phone is {state!r}, not ready: unlock it and allow USB debugging")
        if f"package:{PACKAGE}" not in phone._shell("pm", "list", "packages", PACKAGE).split():
            raise EnvironmentFailure(f"the phone has no app {PACKAGE}: run android_demo on it once from Android Studio")
        return phone

    def push(self, path: Path, name: str) -> None:
        """Put the file at `path` as `name` among the app's models: whole or not at all."""
        target = FILES / "models" / name
        aside = target.with_name(f"{name}.partial")
        self._shell("mkdir", "-p", str(target.parent))
        self._run("push", str(path), str(aside))
        self._shell("mv", str(aside), str(target))

    def start(self, name: str) -> None:
        """Bring the app to the front with the model `name`."""
        self._start("MainActivity", "--es", "model", name)

    def benchmark(self, name: str, *, warmup_runs: int, min_runs: int, min_seconds: float, timeout: float) -> Any:
        """Have the app measure the model `name` and return its JSON document (`edgeretrain`: `android-benchmark`).

        Raises DataError when the app cannot use the model, EnvironmentFailure after `timeout` seconds without a result.
        """
        run = secrets.token_hex(8)
        extras = ("--es", "model", name, "--ez", "start", "true", "--es", "run", run)
        plan = ("--ei", "warmup_runs", str(warmup_runs), "--ei", "min_runs", str(min_runs))
        self._start("BenchmarkActivity", *extras, *plan, "--ef", "min_seconds", str(min_seconds))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = _parse(self._run("exec-out", f"cat {FILES / RESULT_FILE} 2>/dev/null || true"))
            if found.get("run") == run:
                if "error" in found:
                    raise DataError(f"the app cannot use {name}: {found['error']}")
                return found
            time.sleep(_POLL_S)
        raise EnvironmentFailure(f"the phone gave no result for {name} within {timeout:g} s: is its screen on?")

    def _start(self, activity: str, *extras: str) -> None:
        answer = self._shell("am", "start", "-n", f"{PACKAGE}/.{activity}", *extras)
        if "Error" in answer:
            raise EnvironmentFailure(f"the app does not start: {_last_line(answer)}")

    def _shell(self, *words: str) -> str:
        """Run a command on the phone; its shell splits the line again, so that each word is quoted."""
        return self._run("shell", shlex.join(words))

    def _run(self, *arguments: str) -> str:
        command = [self.adb, *(("-s", self.serial) if self.serial else ()), *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_ADB_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentFailure(f"adb {arguments[0]} took longer than {_ADB_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise EnvironmentFailure(f"adb cannot be run: {error.strerror}") from None
        if done.returncode != 0:
            raise EnvironmentFailure(f"adb {arguments[0]} failed: {_last_line(done.stderr or done.stdout)}")
        return done.stdout


def _parse(text: str) -> dict[str, Any]:
    """The JSON object in `text`; empty while the phone has not written it."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip()[:200] if lines else "it said nothing"
