"""One model in a process of its own: does it load and run, how fast from cold, with how much memory, by which kernels.

LiteRT trusts the numbers inside a valid flatbuffer: a hostile file can end the process that loads it. So every file is
tried in a child first; what kills the child is reported in one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeretrain.errors import DataError

TIMEOUT_S = 120.0
"""A file that does not load and run once in this time is given up."""
MEMORY_LIMIT_BYTES = 2 << 30
"""More than any model for a phone needs; keeps a hostile file from filling the machine's memory."""
MARK = "edgeretrain-probe:"
"""Starts the child's one line of result; whatever else appears on its stdout is native chatter."""

_CHILD = (
    "import os, sys; sys.path[:] = sys.argv[1].split(os.pathsep); "
    "from edgeretrain.benchmark.probe import main; main(sys.argv[2:])"
)


@dataclass(frozen=True)
class Probe:
    """What a fresh process saw of one model with `threads` threads."""

    threads: int
    input_shape: tuple[int, ...]
    input_dtype: str
    output_shape: tuple[int, ...]
    output_dtype: str
    init_ms: float
    """Reading the file, building the interpreter, packing weights, planning memory."""
    first_ms: float
    """The first inference."""
    peak_memory_bytes: int
    """Largest resident size of the process, Python and LiteRT included."""
    model_memory_bytes: int
    """How much of that came after LiteRT was loaded: the model's share."""
    op_count: int
    delegated_count: int
    """Ops that XNNPACK took over."""
    left_ops: tuple[str, ...]
    """Names of the ops that stayed with LiteRT's builtin kernels, in order."""


def probe(path: Path, threads: int = 1, *, seed: int = 0, timeout_s: float = TIMEOUT_S) -> Probe:
    """Load and run the model at `path` once in a child process and return what it cost.

    Raises DataError, one line, when the file is no TFLite model, takes something else than one image, does not run, or
    takes the child process down with it.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a .tflite file, found {'a folder' if path.is_dir() else 'nothing'}")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if head[4:8] != b"TFL3":
        raise DataError(f"{path}: expected a TFLite model, found {_kind(head)}")
    # the parent's own search path, so that the child imports the same packages and never one from the current folder
    search = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    command = [sys.executable, "-c", _CHILD, search, str(path.resolve()), str(threads), str(seed)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False, text=True,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(f"{path}: did not load and run once within {timeout_s:.0f} s") from None
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            answer = json.loads(line[len(MARK) :])
            if "error" in answer:
                raise DataError(f"{path}: {answer['error']}")
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in answer.items()}
            return Probe(**fields)
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise DataError(
        f"{path}: LiteRT crashed while it loaded or ran this file ({ended}): it is damaged, hostile, "
        f"or needs more than {MEMORY_LIMIT_BYTES >> 30} GiB of memory"
    )


def main(arguments: list[str]) -> None:
    """The child's side: print one line of JSON for `path threads seed`."""
    path, threads, seed = arguments[0], int(arguments[1]), int(arguments[2])
    _limit_memory()
    try:
        answer: dict[str, Any] = asdict(_measure(path, threads, seed))
    except DataError as error:
        answer = {"error": str(error)}
    except (ValueError, RuntimeError, MemoryError) as error:  # what LiteRT raises
        answer = {"error": f"LiteRT refuses it: {one_line(error)}"}
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return an exception's text on one line of at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def check_image_input(inputs: list[dict[str, Any]]) -> None:
    """Raise DataError unless LiteRT's input details describe one picture of a fixed size, NHWC or NCHW."""
    if len(inputs) != 1:
        raise DataError(f"expected one input, an image; this model has {len(inputs)} inputs")
    shape = [int(n) for n in inputs[0]["shape"]]
    signature = [int(n) for n in inputs[0].get("shape_signature", shape)]
    if len(shape) == 4 and -1 in signature[1:]:
        raise DataError(f"expected an image input of a fixed size, found the shape {signature}")
    channels = (1, 3, 4)
    image = len(shape) == 4 and (
        (shape[3] in channels and min(shape[1:3]) > 1) or (shape[1] in channels and min(shape[2:]) > 1)
    )
    if not image:
        raise DataError(f"expected an image input like [1, 224, 224, 3], found the shape {shape}")


def random_input(shape: tuple[int, ...], dtype: str, seed: int) -> Any:
    """Return a random picture for a model's input: any integer type's whole range, floats in [-1, 1).

    Raises DataError for an input that holds no numbers.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, kind, endpoint=True)
    if kind.kind == "f":
        return rng.uniform(-1, 1, shape).astype(kind)
    raise DataError(f"expected an image input of numbers, found the type {kind.name}")


def peak_memory_bytes() -> int:
    """Return the largest resident size this process has had. 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would inherit the parent's size through fork
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "darwin":
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return 0


def remaining_ops(interpreter: Any) -> tuple[int, tuple[str, ...]]:
    """Return the number of ops in the file and the names of those that no delegate took, in order.

    After delegation LiteRT lists the file's own ops and, behind them, one DELEGATE op per part that was taken over. An
    op is still run when an output is reached, walking back from the model's outputs, that no DELEGATE op produces.
    """
    ops = interpreter._get_ops_details()  # no public equivalent in LiteRT's Python interface
    own = [op for op in ops if "delegate" not in op["op_name"].lower()]
    by_delegate = {int(t): op for op in ops if "delegate" in op["op_name"].lower() for t in op["outputs"]}
    by_own = {int(t): op for op in own for t in op["outputs"]}
    needed = [int(detail["index"]) for detail in interpreter.get_output_details()]
    seen: set[int] = set()
    left: dict[int, str] = {}
    while needed:
        tensor = needed.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        op = by_delegate.get(tensor) or by_own.get(tensor)
        if op is None:
            continue
        if tensor not in by_delegate:
            left[int(op["index"])] = str(op["op_name"])
        needed.extend(int(t) for t in op["inputs"] if t >= 0)
    return len(own), tuple(left[index] for index in sorted(left))


def _limit_memory() -> None:
    """Let this process take at most `MEMORY_LIMIT_BYTES` more address space than LiteRT alone (Linux and the like)."""
    import ai_edge_litert.interpreter
    import numpy
    import psutil

    del ai_edge_litert, numpy
    if sys.platform != "win32":
        import resource

        limit = psutil.Process().memory_info().vms + MEMORY_LIMIT_BYTES
        with contextlib.suppress(ValueError, OSError):  # a lower limit is already set, or the system knows none
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _measure(path: str, threads: int, seed: int) -> Probe:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    before = peak_memory_bytes()
    start = time.perf_counter()
    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    init_ms = (time.perf_counter() - start) * 1e3
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    check_image_input(inputs)
    if not outputs:
        raise DataError("expected a model with an output, found none")
    shape = tuple(int(n) for n in inputs[0]["shape"])
    dtype = np.dtype(inputs[0]["dtype"]).name
    interpreter.set_tensor(inputs[0]["index"], random_input(shape, dtype, seed))
    start = time.perf_counter()
    interpreter.invoke()
    first_ms = (time.perf_counter() - start) * 1e3
    peak = peak_memory_bytes()
    op_count, left = remaining_ops(interpreter)
    return Probe(
        threads=threads,
        input_shape=shape,
        input_dtype=dtype,
        output_shape=tuple(int(n) for n in outputs[0]["shape"]),
        output_dtype=np.dtype(outputs[0]["dtype"]).name,
        init_ms=init_ms,
        first_ms=first_ms,
        peak_memory_bytes=peak,
        model_memory_bytes=max(0, peak - before),
        op_count=op_count,
        delegated_count=op_count - len(left),
        left_ops=left,
    )


def _kind(head: bytes) -> str:
    """Say in a few words what a file with these first bytes is."""
    for start, name in (
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"\x89PNG", "a PNG picture"),
        (b"\x89HDF", "an HDF5 file"),
        (b"version ", "a Git LFS pointer"),
        (b"<!DOCTYP", "an HTML page"),
    ):
        if head.startswith(start):
            return name
    return "an empty file" if not head else "something else"
