"""Where the time of `edgeretrain train` goes, and how costs grow with photos and cells: whole processes, cold and warm.

    python benchmarks/stages.py ../shared

For 125, 250, 500 and 1,000 photos of flowers_small: a cold run (empty embedding cache, backbone read before) and a warm
one, three times each, medians; and the peak memory of the process. Then `edgeretrain benchmark --image-dir` with 250 photos,
starters and hardly any timing, for 1, 2, 4, 8 and 16 cells, empty cache, once each.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from machine import machine

from edgeretrain.console import print_table

COUNTS = (125, 250, 500, 1000)
REPEATS = 3
CELLS = (("025", "128"), ("025", "128,160"), ("025", ""), ("025,050", ""), ("", ""))


def subset(photos: Path, count: int, target: Path) -> Path:
    classes = sorted(folder for folder in photos.iterdir() if folder.is_dir())
    for folder in classes:
        (target / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[: count // len(classes)]:
            (target / folder.name / path.name).symlink_to(path.resolve())
    return target


def train(photos: Path, module: Path, cache: Path, out: Path) -> tuple[float, float, dict[str, float]]:
    """Wall seconds, peak MB and stages of one run in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "edgeretrain",
        "train",
        "--image-dir",
        photos,
        "--module",
        module,
        "--out",
        out,
        "-q",
    ]
    start = time.perf_counter()
    process = psutil.Popen(
        [*map(str, command), "--json"], stdout=subprocess.PIPE, env=os.environ | {"EDGERETRAIN_CACHE_DIR": str(cache)}
    )
    report = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_maxrss / 1024, report["seconds"]


def sweep(photos: Path, widths: str, resolutions: str, root: Path) -> float:
    """Wall seconds of one benchmark of some cells, from an empty cache."""
    command = [sys.executable, "-m", "edgeretrain", "benchmark", "-q", "--image-dir", photos, "--module", "starter"]
    command += ["--out", root / "out", "--min-runs", "10", "--min-seconds", "0.01"]
    command += ["--widths", widths] if widths else []
    command += ["--resolutions", resolutions] if resolutions else []
    environment = os.environ | {"EDGERETRAIN_CACHE_DIR": str(root / "cache")}
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def main() -> None:
    shared = Path(sys.argv[1]).resolve()
    module = shared / "modules/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        seed = root / "seed"
        train(subset(shared / "data/flowers_small", 125, root / "first"), module, seed, root / "first out")
        shutil.rmtree(root / "first out")
        for database in seed.glob("embeddings*"):
            database.unlink()
        for count in COUNTS:
            photos = subset(shared / "data/flowers_small", count, root / f"photos{count}")
            for kind in ("cold", "warm"):
                runs = []
                for repeat in range(REPEATS):
                    cache = root / f"cache{count}-{repeat}"
                    if kind == "cold":
                        shutil.copytree(seed, cache)
                    runs.append(train(photos, module, cache, root / f"out{count}-{kind}-{repeat}"))
                stages = {key: statistics.median(run[2].get(key, 0.0) for run in runs) for key in runs[0][2]}
                wall = statistics.median(run[0] for run in runs)
                start = wall - sum(value for key, value in stages.items() if key != "total")
                shown = [stages[key] for key in ("backbone", "embed", "train", "write", "evaluate", "seal")]
                peak = max(run[1] for run in runs)
                rows.append((count, kind, f"{wall:.2f}", f"{start:.2f}", *(f"{v:.2f}" for v in shown), f"{peak:.0f}"))
        cells = []
        for number, (widths, resolutions) in enumerate(CELLS):
            seconds = sweep(root / "photos250", widths, resolutions, root / f"sweep{number}")
            cells.append((2**number, f"{seconds:.1f}", f"{seconds / 2**number:.2f}"))
    print(machine())
    headers = (
        "photos",
        "cache",
        "wall s",
        "start, report",
        "backbone",
        "embed",
        "train",
        "write",
        "evaluate",
        "seal",
        "MB",
    )
    print_table(headers, rows, title=f"train, 050/160, medians of {REPEATS}", right=(0, *range(2, 11)))
    print_table(("cells", "wall s", "s a cell"), cells, title="benchmark with 250 photos", right=(0, 1, 2))


if __name__ == "__main__":
    main()
