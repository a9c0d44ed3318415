"""Where a Backbone comes from: a module folder, an archive, a hosted .tflite, a handle, or the first source that answers.

One file per source: `quantops` (TF1-Hub folders), `hosted` (Google's .tflite files), `starter` (in the package), `fetch`
(the network). Any other image network is a FloatModule (`generic`): what a graph is decides, never its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeretrain.backbone import MAGIC, Backbone, unpack
from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules.fetch import download, unpacked
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.modules.kept import Files, cached, entry_of, forget, in_cache, kept, key_of, public_name
from edgeretrain.modules.keras_file import is_keras_file
from edgeretrain.modules.starter import load_starter
from edgeretrain.spec import ModelSpec
from edgeretrain.storage import cache_dir, explained, sha256, write_file

if TYPE_CHECKING:
    from edgeretrain.modules.generic import FloatModule

HUB = "https://tfhub.dev"
ARCHIVES = "https://storage.googleapis.com/download.tensorflow.org/models/mobilenet_v1_2018_08_02"
HUB_VARIABLE, ARCHIVES_VARIABLE = "EDGERETRAIN_HUB", "EDGERETRAIN_ARCHIVES"
"""Environment variables that name mirrors of the two."""

TIMEOUT_S = 10.0
REMEMBER_S = 6 * 3600
"""So long `auto` goes straight to the starter after neither source answered."""
_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")


def hub_handle(spec: ModelSpec) -> str:
    """The official quantops module of `spec` at tfhub.dev."""
    return f"{HUB}/google/imagenet/{spec.name}/quantops/feature_vector/3"


def archive_url(spec: ModelSpec) -> str:
    """Google's archive of the same trained network as a TFLite file (TensorFlow's hosted models page)."""
    base = os.environ.get(ARCHIVES_VARIABLE, ARCHIVES).rstrip("/")
    return f"{base}/mobilenet_v1_{spec.multiplier:g}_{spec.res}_quant.tgz".replace("_1_", "_1.0_")


def load_backbone(
    module: str,
    width: str | None = None,
    res: int | None = None,
    *,
    offline: bool = False,
    timeout: float = TIMEOUT_S,
    retry: bool = False,
    console: Console | None = None,
) -> Backbone:
    """The module that `module` names, if it is a MobileNet V1: as `load_module`, which takes float modules too.

    Raises UsageError for a float module.
    """
    found = load_module(module, width, res, offline=offline, timeout=timeout, retry=retry, console=console)
    if isinstance(found, Backbone):
        return found
    raise UsageError(
        f"{module} is a float module ({found.spec.name}), which only `edgeretrain train` takes; expected a MobileNet V1 "
        "with fake-quant operators, a hosted .tflite, or starter"
    )


def load_module(
    module: str,
    width: str | None = None,
    res: int | None = None,
    *,
    offline: bool = False,
    timeout: float = TIMEOUT_S,
    retry: bool = False,
    console: Console | None = None,
) -> Backbone | FloatModule:
    """Return the backbone or float module that `module` names; read once, it comes from the cache afterwards.

    `module`: `auto`, `starter`, a TF1-Hub module or TF2 SavedModel folder, a .tar.gz (path or URL), a hosted .tflite (path or
    URL), a tfhub.dev handle, a Keras file, or a file written by `backbone.pack`. `width` and `res`, where given, must be the
    module's own; a float module for any size takes `res`. `timeout` in seconds bounds each wait for the network; `retry`
    makes `auto` try sources that did not answer lately. Raises UsageError when width or res differ, EnvironmentFailure
    when the module cannot be had.
    """
    console = console or Console(quiet=True)
    if module in ("auto", "starter"):
        default = ModelSpec()
        spec = ModelSpec(width or default.width, res or default.res)
        found = _official(spec, offline, timeout, retry, console) if module == "auto" else None
        return found or load_starter(spec)
    path = Path(module).expanduser()
    if path.exists():
        backbone = _local(path, module, console)
    elif "://" in module:
        backbone = _remote(module, offline, timeout, console)
    else:
        raise EnvironmentFailure(
            f"--module {module}: no such file or folder, and neither auto, starter nor a URL; see edgeretrain modules list"
        )
    if isinstance(backbone, Files):
        from edgeretrain.modules.generic import describe_module

        if width is not None:
            raise UsageError(f"--width {width} is for MobileNet V1 networks of the grid; leave it out for {module}")
        try:
            described = describe_module(backbone.path, module, backbone.digest, res, console)
        except EnvironmentFailure:
            forget(backbone)
            raise
        return replace(described, source=replace(described.source, name=public_name(module)))
    for option, wanted, own in (("width", width, backbone.spec.width), ("res", res, backbone.spec.res)):
        if wanted is not None and wanted != own:
            raise UsageError(
                f"--{option} {wanted} was asked for, but {module} has {option} {own}: leave out --{option}"
            )
    return backbone


def is_cached(spec: ModelSpec) -> bool:
    """Whether the official network of `spec` is in the cache."""
    return any(entry_of(key_of(name)).is_file() for name in (hub_handle(spec), archive_url(spec)))


def cached_backbones() -> list[Path]:
    """The files of the backbone cache, sorted."""
    return sorted((cache_dir() / "backbones").glob("*.backbone"))


def _official(spec: ModelSpec, offline: bool, timeout: float, retry: bool, console: Console) -> Backbone | None:
    """The official network of `spec`: from the cache, the hub, or Google's archive, whichever answers first; else None.

    One line says what was tried and what was taken.
    """
    handle, url = hub_handle(spec), archive_url(spec)
    for name in (handle, url):
        if (backbone := cached(key_of(name), name, console)) is not None:
            console.say(f"Backbone {spec.name}: official network from the cache")
            return replace(backbone, source=replace(backbone.source, name=name))
    minutes = _minutes_since_failure()
    tried = []
    if offline and not _tfhub_cache(handle):
        tried.append("not in the cache, and --offline")
    elif minutes is not None and not retry:
        tried.append(f"no source answered {minutes} min ago; `edgeretrain modules fetch` tries again")
    else:
        for label, name in (("hub", handle), ("Google's archive", url)):
            try:
                found = _remote(name, offline, timeout, console)
                if isinstance(found, Files):
                    raise EnvironmentFailure(f"{name}: what came is not a quantops MobileNet V1")
            except EnvironmentFailure as error:
                tried.append(f"{label}: {str(error).removeprefix(f'{name}: ')}")
            else:
                failed = f" ({'; '.join(tried)})" if tried else ""
                console.say(f"Backbone {spec.name}: official network from {label}{failed}")
                return found
        with contextlib.suppress(EnvironmentFailure):
            write_file(_failure_mark(), "; ".join(tried))
    console.say(f"Backbone {spec.name}: the package's starter, weaker than the official network ({'; '.join(tried)})")
    return None


def _failure_mark() -> Path:
    return cache_dir() / "no-source-answered"


def _minutes_since_failure() -> int | None:
    """How long ago no source answered, None if that was never or too long ago to count."""
    try:
        seconds = time.time() - _failure_mark().stat().st_mtime
    except OSError:
        return None
    return int(seconds // 60) if 0 <= seconds < REMEMBER_S else None


def _local(path: Path, name: str, console: Console) -> Backbone | Files:
    """Read a module folder or file, which messages call `name`; what was read before comes from the cache."""
    if path.is_dir() and (packed := sorted(path.glob("*.backbone"))):  # what `edgeretrain distill` wrote
        if len(packed) > 1:
            raise EnvironmentFailure(f"{name} holds {len(packed)} backbones: name one of them, such as {packed[0]}")
        path = packed[0]
    if path.is_dir():
        return _saved_model(path, name, console)
    with explained(f"read {path}"):
        data = path.read_bytes()
    if data.startswith(MAGIC):
        return unpack(data, name)
    if data[4:8] == b"TFL3":
        return kept(sha256(data), name, console, lambda: read_hosted(data, name))
    if name.endswith(_ARCHIVE_SUFFIXES) or data[:2] == b"\x1f\x8b":
        return _read_archive(path, name, console)
    if is_keras_file(data):
        return Files(path, sha256(data))
    raise EnvironmentFailure(
        f"{name} is not a module: expected a TF1-Hub folder, a .tar.gz archive, a quantized .tflite or a Keras file"
    )


def _saved_model(path: Path, name: str, console: Console) -> Backbone | Files:
    """A module folder: a Backbone if its graph is a MobileNet V1 with fake-quant operators, whatever it is called."""
    from edgeretrain.modules.quantops import has_fake_quant, module_digest, read_quantops

    digest = module_digest(path)

    def read() -> Backbone | Files:
        if has_fake_quant(path):
            try:
                return read_quantops(path, name)
            except EnvironmentFailure as error:
                console.say(f"{error}: it goes through post-training quantization instead")
        return Files(path, digest)

    return kept(digest, name, console, read)


def _remote(url: str, offline: bool, timeout: float, console: Console) -> Backbone | Files:
    def fetch() -> Backbone | Files:
        seeded = _tfhub_cache(url)
        if seeded is not None:
            return _local(seeded, url, console)
        if offline:
            raise EnvironmentFailure(f"{url} is not in the cache and --offline forbids to fetch it")
        with tempfile.TemporaryDirectory(prefix="edgeretrain-") as folder:
            target = Path(folder) / "download"
            try:
                download(download_url(url), target, timeout=timeout, console=console)
            except EnvironmentFailure as error:
                raise EnvironmentFailure(f"{url}: {error}") from None
            return in_cache(_local(target, url, console))

    return kept(key_of(url), url, console, fetch)


def download_url(url: str) -> str:
    """A tfhub.dev handle as the URL of its archive (at the mirror, if one is set); other URLs as they are."""
    if url.startswith(HUB + "/"):
        base = os.environ.get(HUB_VARIABLE, HUB).rstrip("/")
        return f"{base}{url.removeprefix(HUB)}?tf-hub-format=compressed"
    return url


def _tfhub_cache(handle: str) -> Path | None:
    """The folder that tensorflow_hub keeps for `handle` in $TFHUB_CACHE_DIR, if somebody put a module there."""
    root = os.environ.get("TFHUB_CACHE_DIR")
    if not root:
        return None
    folder = Path(root).expanduser() / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    return folder if (folder / "saved_model.pb").is_file() else None


def _read_archive(archive: Path, name: str, console: Console) -> Backbone | Files:
    """Read the one hosted .tflite or the one SavedModel in a .tar.gz."""
    with unpacked(archive, name) as folder:
        models = sorted(folder.rglob("*.tflite")) or sorted(graph.parent for graph in folder.rglob("saved_model.pb"))
        if not models:
            raise EnvironmentFailure(f"{name} holds no model: expected saved_model.pb or a quantized .tflite in it")
        return in_cache(_local(models[0], name, console))
