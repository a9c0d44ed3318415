"""The machine a figure was taken on, and what it means for integer models."""

from __future__ import annotations

import contextlib
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

DOT_PRODUCT = {"avx_vnni": "AVX-VNNI", "avx512_vnni": "AVX-512 VNNI", "asimddp": "dot product", "i8mm": "int8 matmul"}
"""Processor flags, as Linux writes them, of the int8 instructions that XNNPACK has kernels for."""
_CPUINFO = Path("/proc/cpuinfo")
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


@dataclass(frozen=True)
class Host:
    """One computer. What cannot be found out is None."""

    cpu: str
    architecture: str
    """`x86_64`, `arm64`, ..."""
    cores: int
    """Physical cores."""
    threads: int
    """Hardware threads."""
    memory_bytes: int
    system: str
    dot_product: tuple[str, ...] | None
    """Which of `DOT_PRODUCT`'s instructions it has."""
    governor: str | None


@dataclass(frozen=True)
class HostState:
    """What changes while a benchmark runs."""

    load_1min: float | None
    clock_mhz: float | None
    """Mean over all cores, as the system tells it; a virtual machine often names a constant."""


def describe_host() -> Host:
    """Return the description of the computer this runs on."""
    import psutil

    text = _read(_CPUINFO)
    return Host(
        cpu=cpu_name(text) or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine(),
        architecture=platform.machine().lower(),
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        threads=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        dot_product=dot_product_of(text) if text else _dot_product_elsewhere(),
        governor=_read(_CPUFREQ / "scaling_governor").strip() or None,
    )


def host_state() -> HostState:
    """Return load and clock as they are now."""
    import psutil

    load = clock = None
    with contextlib.suppress(OSError, AttributeError):
        load = round(psutil.getloadavg()[0], 2)
    clocks = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _read(_CPUINFO), re.MULTILINE)]
    if clocks:
        clock = round(sum(clocks) / len(clocks), 1)
    else:
        with contextlib.suppress(OSError, AttributeError, NotImplementedError, RuntimeError):
            frequency = psutil.cpu_freq()
            clock = round(frequency.current, 1) if frequency else None
    return HostState(load, clock)


def cpu_name(cpuinfo: str) -> str | None:
    """Return the processor's name from the text of /proc/cpuinfo; ARM's has numbers only, which are named as such."""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE)
    if found:
        return " ".join(found[1].split())
    part = re.search(r"^CPU part\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    maker = re.search(r"^CPU implementer\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    return f"ARM implementer {maker[1] if maker else '?'} part {part[1]}" if part else None


def dot_product_of(cpuinfo: str) -> tuple[str, ...]:
    """Return the flags of `DOT_PRODUCT` that the text of /proc/cpuinfo lists (x86 `flags`, ARM `Features`)."""
    lines = re.findall(r"^(?:flags|Features)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    flags = set(lines[0].split()) if lines else set()
    return tuple(flag for flag in DOT_PRODUCT if flag in flags)


def int8_note(host: Host) -> str:
    """Say in one line what int8 against float32 means on this computer, and what it does not."""
    phone = "size and phone latency are what quantization buys, so judge it on a phone (--device adb)"
    if host.dot_product is None:
        return (
            f"int8 against float32: this system does not tell whether the processor has dot-product kernels; {phone}."
        )
    if host.dot_product:
        names = " and ".join(DOT_PRODUCT[flag] for flag in host.dot_product)
        has = f"this processor has int8 instructions ({names}), so int8 is usually faster here"
        return f"int8 against float32: {has}; {phone}."
    return (
        "int8 against float32: this processor has no int8 dot-product instructions, so int8 can be slower than float32 "
        f"here while it is faster on phones that have them; {phone}."
    )


class CpuShare:
    """How much of the machine other processes use between construction and `of_others()`."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        import psutil

        total = psutil.cpu_times()
        own = psutil.Process().cpu_times()
        idle = total.idle + getattr(total, "iowait", 0.0)
        # guest time is already inside user time
        everything = sum(total) - getattr(total, "guest", 0.0) - getattr(total, "guest_nice", 0.0)
        return everything, everything - idle, own.user + own.system

    def of_others(self) -> float:
        """Return the share of all cores, 0 to 1."""
        everything, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return min(1.0, max(0.0, (busy - own) / everything)) if everything > 0 else 0.0


def _dot_product_elsewhere() -> tuple[str, ...] | None:
    """The same for macOS and Windows, which have no /proc/cpuinfo."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        names = {"asimddp": "hw.optional.arm.FEAT_DotProd", "i8mm": "hw.optional.arm.FEAT_I8MM"}
        return tuple(flag for flag, name in names.items() if _sysctl(name) == "1")
    if platform.system() == "Darwin":
        features = (_sysctl("machdep.cpu.leaf7_features") or "").split()
        return ("avx512_vnni",) if "AVX512VNNI" in features else ()
    if platform.system() == "Windows" and platform.machine().lower() == "arm64":
        import ctypes

        kernel32 = getattr(ctypes, "windll").kernel32  # noqa: B009 (exists on Windows only)
        return ("asimddp",) if kernel32.IsProcessorFeaturePresent(43) else ()  # PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
    return None


def _sysctl(name: str) -> str | None:
    """Ask macOS; None on other systems."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip() or None
    return None


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a measurement, by name."""
    import hashlib
    import ssl

    from edgeretrain.artifact import versions as of_packages

    found = {**of_packages(), "python": platform.python_version()}
    # reference_work's speed depends on it
    found["sha256"] = ssl.OPENSSL_VERSION if "openssl" in type(hashlib.sha256()).__module__ else hashlib.__name__
    return found
