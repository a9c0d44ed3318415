"""What TensorBoard's event files cost `edgeretrain train`: whole warm processes with and without them, in pairs.

    python benchmarks/summaries.py ../shared [PAIRS]

The head on all photos of flowers_small, backbone and embeddings cached; within a pair the order alternates. Counted are CPU
seconds (user and system, all threads), which other load on the machine moves less than the clock, and wall seconds beside
them. Prints medians, the median difference of a pair and its 95 % interval from order statistics. "Without" is the same
command in which observing, finishing and writing do nothing.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from machine import machine

# edgeretrain.__main__ first: it sets the number of threads before numpy is loaded
WITHOUT = """
import edgeretrain.__main__
from edgeretrain import events, summaries
summaries.Summaries.observe = lambda self, measured: None
summaries.Summaries.finish = lambda self, report: None
events.EventFile.flush = lambda self: None
"""
WITH = "import edgeretrain.__main__\nfrom edgeretrain import events, summaries\n"
RUN = "import sys\nsys.exit(edgeretrain.__main__.run(sys.argv[1:]))"


def train(shared: Path, folder: Path, *, summaries: bool) -> tuple[float, float]:
    """CPU seconds and wall seconds of a whole process."""
    module = shared / "modules/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"
    arguments = ["train", "--image-dir", shared / "data/flowers_small", "--module", module, "--force", "-q", "--json"]
    command = [sys.executable, "-c", (WITH if summaries else WITHOUT) + RUN, *arguments, "--out", folder / "out"]
    environment = os.environ | {"EDGERETRAIN_CACHE_DIR": str(folder / "cache")}
    out = os.open(folder / "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    start = time.perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, out, 1)]
    process = os.posix_spawn(sys.executable, [str(word) for word in command], environment, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    os.close(out)
    if status:
        sys.exit(f"train failed: {(folder / 'stdout').read_text()}")
    written = any((folder / "out" / "summaries").glob("*/*tfevents*"))
    assert written or not summaries
    return usage.ru_utime + usage.ru_stime, seconds


def interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of the median, from order statistics (normal approximation of the sign test)."""
    ranked, n = sorted(values), len(values)
    reach = 0.98 * n**0.5
    return ranked[max(0, int(n / 2 - reach))], ranked[min(n - 1, int(n / 2 + reach))]


def main() -> None:
    shared, pairs = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 30
    results: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        train(shared, Path(folder), summaries=True)
        for pair in range(pairs):
            for summaries in (True, False) if pair % 2 else (False, True):
                results[summaries].append(train(shared, Path(folder), summaries=summaries))
    print(machine())
    print(f"load average {os.getloadavg()[1]:.1f}, N = {pairs} pairs")
    for index, what in enumerate(("CPU", "wall")):
        with_, without = ([run[index] for run in results[kind]] for kind in (True, False))
        differences = [a - b for a, b in zip(with_, without, strict=True)]
        base, (low, high) = statistics.median(without), interval(differences)
        middle = statistics.median(differences)
        print(
            f"{what}: {base:.3f} s without, {statistics.median(with_):.3f} s with; difference {1000 * middle:.0f} ms "
            f"({1000 * low:.0f} to {1000 * high:.0f}), {100 * middle / base:.1f} % ({100 * low / base:.1f} to "
            f"{100 * high / base:.1f} %)"
        )


if __name__ == "__main__":
    main()
