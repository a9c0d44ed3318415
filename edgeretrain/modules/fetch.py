"""Bring a file from the network, and take archives apart, with bounds on time, size and paths."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from edgeretrain import __version__
from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure
from edgeretrain.storage import explained

MAX_BYTES = 512 << 20
"""Largest download, and largest content of an archive."""
MAX_MEMBERS = 10_000
_CHUNK = 1 << 16


def download(url: str, target: Path, *, timeout: float, console: Console, max_seconds: float = 1800) -> None:
    """Fetch `url` (http or https) into the new file `target`.

    `timeout` bounds, in seconds, the wait for a connection and for each next piece; `max_seconds` the whole. Raises
    EnvironmentFailure with the reason in a few words: HTTP status, no connection, time-out, cut short, too large.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise EnvironmentFailure(f"{url}: only http and https are fetched")
    request = urllib.request.Request(url, headers={"User-Agent": f"edgeretrain/{__version__}"})
    deadline = time.monotonic() + max_seconds
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response, target.open("xb") as file:
            expected = int(response.headers.get("Content-Length") or 0)
            with console.progress(f"Fetching {urlsplit(url).netloc}", max(expected, 1)) as advance:
                received = 0
                while piece := response.read1(_CHUNK):
                    received += len(piece)
                    if max(received, expected) > MAX_BYTES:
                        raise EnvironmentFailure(f"larger than {MAX_BYTES >> 20} MiB")
                    if time.monotonic() > deadline:
                        raise EnvironmentFailure(f"not done after {max_seconds:.0f} s")
                    file.write(piece)
                    advance(len(piece))
            if received < expected:
                raise EnvironmentFailure(f"cut short: {received:,} of {expected:,} bytes arrived")
    except urllib.error.HTTPError as error:
        with error:
            raise EnvironmentFailure(f"HTTP {error.code} {error.reason}".strip()) from None
    except TimeoutError:
        raise EnvironmentFailure(f"no answer within {timeout:g} s") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise EnvironmentFailure(f"no answer within {timeout:g} s") from None
        raise EnvironmentFailure(f"not reachable ({error.reason})") from None
    except (HTTPException, ConnectionError) as error:
        raise EnvironmentFailure(f"the connection broke ({type(error).__name__})") from None
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {target}: {error.strerror or error}") from None


@contextmanager
def unpacked(archive: Path, name: str) -> Iterator[Path]:
    """Yield a temporary folder with the regular files of the .tar.gz `archive`; it is removed afterwards.

    Links and devices are left out. Raises EnvironmentFailure for paths that lead out of the folder, more than `MAX_BYTES`
    or `MAX_MEMBERS`, and archives that are damaged or cut short.
    """
    with explained("make a temporary folder"):
        folder = Path(tempfile.mkdtemp(prefix="edgeretrain-"))
    try:
        try:
            _extract(archive, folder, name)
        except (tarfile.TarError, EOFError, zlib.error, UnicodeError) as error:
            reason = str(error).partition("\n")[0].removesuffix(":")
            raise EnvironmentFailure(f"{name} is damaged or not a .tar.gz archive ({reason}): fetch it again") from None
        except OSError as error:
            if error.errno is None:  # gzip reports damage as a bare OSError
                raise EnvironmentFailure(f"{name} is damaged or not a .tar.gz archive ({error})") from None
            raise EnvironmentFailure(f"cannot unpack {name}: {error.strerror}") from None
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _extract(archive: Path, folder: Path, name: str) -> None:
    total = 0
    with tarfile.open(archive, "r:*") as tar:
        for count, member in enumerate(tar, start=1):
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
                raise EnvironmentFailure(
                    f"{name} holds a path that leads out of it: {member.name!r}; nothing was unpacked"
                )
            total += member.size
            if count > MAX_MEMBERS or total > MAX_BYTES:
                raise EnvironmentFailure(f"{name} unpacks to more than {MAX_BYTES >> 20} MiB or {MAX_MEMBERS} files")
            if not member.isfile():
                continue
            source = tar.extractfile(member)
            assert source is not None
            target = folder.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(source, file)
