"""What a bug report or a puzzled user needs to know about this installation."""

from __future__ import annotations

import os
import platform
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgeretrain import __version__
from edgeretrain.modules import archive_url, cached_backbones, download_url, hub_handle
from edgeretrain.spec import ModelSpec
from edgeretrain.storage import cache_dir

PACKAGES = (
    "ai-edge-litert",
    "numpy",
    "pillow",
    "tensorflow",
    "tf-keras",
    "tensorflow-hub",
    "tensorflow-model-optimization",
    "setuptools",
)


def examine(*, offline: bool, timeout: float) -> dict[str, str]:
    """Facts about versions, processor, cache and network, by name. Imports neither TensorFlow nor LiteRT."""
    facts = {"edgeretrain": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "missing: install edgeretrain again"
    facts["system"] = f"{platform.system()} {platform.release()} on {platform.machine()}"
    facts["cores"] = str(os.cpu_count())
    folder = cache_dir()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    facts["cache"] = f"{folder}, {size / 1e6:.1f} MB, {len(cached_backbones())} backbones"
    facts["cache_writable"] = "yes" if _writable(folder) else "no: nothing will be kept between runs"
    spec = ModelSpec()
    for name, url in (("hub", download_url(hub_handle(spec))), ("Google's archives", archive_url(spec))):
        facts[name] = "not tried (--offline)" if offline else f"{_answer(url, timeout)}: {url}"
    return facts


def _writable(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _answer(url: str, timeout: float) -> str:
    """Whether a source answers: the first byte is asked for, no more is read."""
    request = urllib.request.Request(url, headers={"Range": "bytes=0-0", "User-Agent": f"edgeretrain/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            response.read(1)
        return "answers"
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return f"does not answer ({getattr(error, 'reason', error)})"
