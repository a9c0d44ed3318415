"""One line about the machine and versions, for everything that is measured here."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from edgeretrain.artifact import versions


def machine() -> str:
    """Processor, cores, instructions that matter, Python, versions and commit."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(
        (part.strip() for part in line.split(":", 1))
        for line in text.splitlines()
        if ":" in line  # type: ignore[misc]
    )
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    dots = [flag for flag in ("avx2", "avx_vnni", "avx512_vnni", "asimddp", "i8mm") if flag in flags]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    name = fields.get("model name", platform.processor() or platform.machine())
    return f"{name}, {os.cpu_count()} cores, {' '.join(dots)}; Python {platform.python_version()}, {packages}; commit {commit}"
