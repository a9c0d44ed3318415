"""A phone's processor without a phone: LiteRT's ARM64 kernels under qemu, to compare bytes (never speed).

The root file system is made once, in the cache, of Debian's arm64 packages and the aarch64 wheels of the very versions of
LiteRT and numpy that run here; nothing is installed on this system. Two things make emulated LiteRT tell the truth: the
root holds a `proc/cpuinfo` of the emulated core (without it LiteRT crashes), and the core is a real one (`-cpu max`
computes wrongly with qemu 7.2).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeretrain.artifact import MOST_CODES, Check, Model, codes_apart
from edgeretrain.errors import DataError, EnvironmentFailure
from edgeretrain.golden import as_input, golden_picture, run
from edgeretrain.images import Pixels
from edgeretrain.runtime import load_interpreter
from edgeretrain.storage import cache_dir, explained, sha256

QEMU = "qemu-aarch64-static"
TOOLS = {QEMU: "qemu-user-static", "apt-get": "apt", "dpkg-deb": "dpkg"}
"""Programs that are needed, and Debian's packages of them."""

LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8")
WHEELS = ("ai-edge-litert", "numpy", "flatbuffers")
_PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in (36, 34, 31, 28, 27, 17)] + ["manylinux2014_aarch64"]
_TIMEOUT_S = 1800.0

_RUNNER = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

for folder in sys.argv[1:]:
    interpreter = Interpreter(model_path=folder + "/model.tflite", num_threads=1)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    pictures = np.fromfile(folder + "/input", source["dtype"]).reshape(-1, *source["shape"])
    with open(folder + "/output", "wb") as file:
        for picture in pictures:
            interpreter.set_tensor(source["index"], picture)
            interpreter.invoke()
            file.write(interpreter.get_tensor(result["index"]).tobytes())
"""


@dataclass(frozen=True)
class Core:
    """An ARM core: `name` is qemu's, `part` and `features` are what /proc/cpuinfo says on a phone that has it."""

    name: str
    part: str
    features: str


CORES = (
    Core(
        "neoverse-n1",
        "0xd0c",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
    Core("cortex-a72", "0xd08", "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"),
)
"""With dot product instructions, as phones since about 2018 have them, and without."""


def answers(
    models: Sequence[bytes], pictures: Sequence[Sequence[NDArray[np.generic]]], core: Core, root: Path | None = None
) -> list[list[bytes]]:
    """The output bytes of each of `models` (flatbuffers) for its `pictures` (input tensors) on an emulated `core`.

    `root` is what `make_root` returned; by default it is made where it is missing. Raises EnvironmentFailure.
    """
    root = root or make_root()
    with tempfile.TemporaryDirectory(prefix="edgeretrain-arm64-") as scratch:
        view = _view(root, core, Path(scratch) / "root")
        folders = [Path(scratch) / str(i) for i in range(len(models))]
        for folder, model, inputs in zip(folders, models, pictures, strict=True):
            folder.mkdir()
            (folder / "model.tflite").write_bytes(model)
            (folder / "input").write_bytes(b"".join(picture.tobytes() for picture in inputs))
        python = next((root / "usr/bin").glob("python3.*"))
        environment = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(root / "site"), "PATH": os.defpath}
        command = [QEMU, "-cpu", core.name, "-L", str(view), str(python), "-c", _RUNNER, *map(str, folders)]
        _call(command, f"LiteRT on an emulated {core.name}", environment)
        results = []
        for folder, inputs in zip(folders, pictures, strict=True):
            output = (folder / "output").read_bytes()
            size = len(output) // max(len(inputs), 1)
            results.append([output[i * size : (i + 1) * size] for i in range(len(inputs))])
    return results


def check_arm64(
    models: Sequence[Model], photos: Sequence[Sequence[Pixels]], *, root: Path | None = None
) -> list[list[Check]]:
    """For each of `models` one Check per core: its golden pictures and its `photos` (uint8 [res, res, 3]) give this
    machine's bytes, or are at most `MOST_CODES` apart.

    Raises DataError for a model without a contract, EnvironmentFailure where ARM64 cannot be emulated.
    """
    inputs = []
    for model, pixels in zip(models, photos, strict=True):
        if model.contract is None:
            raise DataError(f"{model.name} has no contract: only models written by edgeretrain can be verified")
        seeds = [int(vector["seed"]) for vector in model.contract["golden"]["vectors"]]
        inputs.append([*(golden_picture(seed, model.res) for seed in seeds), *pixels])
    here = [_answers_here(model, pictures) for model, pictures in zip(models, inputs, strict=True)]
    tensors = [
        [as_input(picture, model.input.dtype, model.mean, model.std) for picture in pictures]
        for model, pictures in zip(models, inputs, strict=True)
    ]
    checks: list[list[Check]] = [[] for _ in models]
    root = root or make_root()
    with ThreadPoolExecutor(len(CORES)) as pool:
        emulated = list(pool.map(lambda core: answers([m.flatbuffer for m in models], tensors, core, root), CORES))
    for core, there in zip(CORES, emulated, strict=True):
        for found, expected, model, lines in zip(there, here, models, checks, strict=True):
            lines.append(_compare(model, core, found, expected))
    return checks


def _answers_here(model: Model, pictures: Sequence[Pixels]) -> list[bytes]:
    interpreter = load_interpreter(model.flatbuffer)
    return [run(interpreter, picture, model.mean, model.std).tobytes() for picture in pictures]


def _compare(model: Model, core: Core, found: Sequence[bytes], expected: Sequence[bytes]) -> Check:
    count = len(expected)
    equal = sum(a == b for a, b in zip(found, expected, strict=True))
    apart = max((codes_apart(a, b, model.output.dtype) for a, b in zip(found, expected, strict=True)), default=0)
    seen = f"{equal} of {count} pictures equal" + (
        "" if equal == count else f", the others at most {apart} codes apart"
    )
    return Check(f"ARM64 {core.name}", apart <= MOST_CODES, seen)


def make_root() -> Path:
    """The ARM64 root file system, from the cache or made anew (about 20 MB are fetched). Raises EnvironmentFailure."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise EnvironmentFailure(f"ARM64 cannot be emulated here: install Debian's packages {', '.join(missing)}")
    wheels = [f"{name}=={version(name)}" for name in WHEELS]
    key = sha256(" ".join([*LIBRARIES, *wheels]).encode())[:16]
    root = cache_dir() / "arm64" / key
    if root.is_dir():
        return root
    with explained(f"make {root}"):
        root.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{key}."))
        try:
            _fill(aside, wheels)
            aside.chmod(0o755)
            if not root.is_dir():  # another process may have been faster
                aside.rename(root)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return root


def _fill(root: Path, wheels: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="edgeretrain-apt-") as scratch:
        apt = _private_apt(Path(scratch))
        _call(["apt-get", *apt, "-qq", "update"], "apt-get update for arm64")
        python = _python_version(
            _call(["apt-cache", *apt, "show", "python3-minimal"], "apt-cache show python3-minimal")
        )
        packages = [f"python{python}-minimal", f"libpython{python}-minimal", f"libpython{python}-stdlib"]
        debs = Path(scratch) / "debs"
        debs.mkdir()
        _call(["apt-get", *apt, "-qq", "download", *LIBRARIES, *packages], "apt-get download for arm64", cwd=debs)
        for deb in sorted(debs.glob("*.deb")):
            _call(["dpkg-deb", "-x", str(deb), str(root)], f"unpacking {deb.name}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    target = ["--only-binary=:all:", *platforms, f"--python-version={python}", "--target", str(root / "site")]
    _call([*pip, *target, *wheels], "fetching the aarch64 wheels of LiteRT and numpy")


def _private_apt(scratch: Path) -> list[str]:
    """Options that give apt lists and an architecture of its own, so that this system's are left alone."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    values = {
        "Dir::State": scratch / "state",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]


def _python_version(description: str) -> str:
    found = re.search(r"python(3\.\d+)-minimal", description)
    if found is None:
        raise EnvironmentFailure("apt knows no python3-minimal for arm64: ARM64 is emulated with Debian's packages")
    return found[1]


def _view(root: Path, core: Core, view: Path) -> Path:
    """`root` with the cpuinfo of `core` in it."""
    (view / "proc").mkdir(parents=True)
    for entry in root.iterdir():
        (view / entry.name).symlink_to(entry)
    fields: Mapping[str, str] = {
        "processor": "0",
        "BogoMIPS": "50.00",
        "Features": core.features,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x1",
        "CPU part": core.part,
        "CPU revision": "0",
    }
    (view / "proc/cpuinfo").write_text("".join(f"{name}\t: {value}\n" for name, value in fields.items()) + "\n")
    return view


def _call(
    command: Sequence[str], what: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            env=environment and dict(environment),
            cwd=cwd,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailure(f"{what} took longer than {_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise EnvironmentFailure(f"{what} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise EnvironmentFailure(
            f"{what} failed ({done.returncode}): {lines[-1][:200] if lines else 'it said nothing'}"
        )
    return done.stdout
