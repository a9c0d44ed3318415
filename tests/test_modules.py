"""Where backbones come from, against a server on loopback."""

import contextlib
import io
import os
import socket
import tarfile
import threading
import time
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edgeretrain.backbone import pack
from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.modules import archive_url, cached_backbones, hub_handle, is_cached, load_backbone
from edgeretrain.modules import fetch as fetch_module
from edgeretrain.modules.fetch import download
from edgeretrain.spec import ModelSpec
from tests.conftest import hosted_file, module_folder, random_backbone

HANDLE = "/google/imagenet/mobilenet_v1_025_128/quantops/feature_vector/3"


def tar_of(files, kind="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=kind) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            else:
                member.type, member.linkname = tarfile.SYMTYPE, str(data[0])
                archive.addfile(member)
    return buffer.getvalue()


def tar_of_folder(folder):
    return tar_of({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()})


@pytest.fixture
def server(monkeypatch):
    """`pages` maps a path to (status, body), or to a function of the request; `asked` lists what was requested."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages.get(self.path.split("?")[0], (404, b""))
            if callable(page):
                page(self)
                return
            self.send_response(page[0])
            self.send_header("Content-Length", str(len(page[1])))
            self.end_headers()
            self.wfile.write(page[1])

        def log_message(self, *arguments):
            pass

    pages, asked = {}, []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    base = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("EDGERETRAIN_HUB", base)
    monkeypatch.setenv("EDGERETRAIN_ARCHIVES", f"{base}/archives")
    httpd.pages, httpd.asked, httpd.base = pages, asked, base
    yield httpd
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def said():
    """A console that keeps what it says."""
    stream = io.StringIO()
    return Console(stderr=stream), stream.getvalue


@pytest.fixture(scope="session")
def hosted_archive(request):
    """Google's archive layout around the real hosted file."""
    data = hosted_file(request.getfixturevalue("shared"), "025").read_bytes()
    name = "./mobilenet_v1_0.25_128_quant"
    return tar_of({f"{name}.ckpt.meta": b"x" * 5000, f"{name}_info.txt": b"Model: x", f"{name}.tflite": data})


def test_handles_and_archives_are_the_published_addresses(monkeypatch):
    monkeypatch.delenv("EDGERETRAIN_ARCHIVES")
    spec = ModelSpec("050", 160)
    assert hub_handle(spec) == "https://tfhub.dev/google/imagenet/mobilenet_v1_050_160/quantops/feature_vector/3"
    names = [archive_url(ModelSpec(width, 224)).rsplit("/", 1)[1] for width in ("025", "050", "075", "100")]
    assert names == [f"mobilenet_v1_{m}_224_quant.tgz" for m in ("0.25", "0.5", "0.75", "1.0")]


def test_auto_takes_the_archive_when_the_hub_forbids(server, fresh_cache, said, hosted_archive):
    console, text = said
    server.pages[HANDLE] = (403, b"forbidden")
    server.pages["/archives/mobilenet_v1_0.25_128_quant.tgz"] = (200, hosted_archive)
    backbone = load_backbone("auto", "025", 128, console=console)
    assert backbone.source.kind == "hosted"
    assert text().splitlines() == [
        "Backbone mobilenet_v1_025_128: official network from Google's archive (hub: HTTP 403 Forbidden)"
    ]
    assert is_cached(ModelSpec("025", 128))
    server.asked.clear()
    again = load_backbone("auto", "025", 128, console=console)
    assert pack(again) == pack(backbone)
    assert server.asked == []
    assert "from the cache" in text()


def test_auto_takes_the_hub_module_first(server, fresh_cache, said, shared):
    console, text = said
    server.pages[HANDLE] = (200, tar_of_folder(module_folder(shared, "025")))
    backbone = load_backbone("auto", "025", 128, console=console)
    assert backbone.source.kind == "quantops"
    assert backbone.source.name == f"https://tfhub.dev{HANDLE}"
    assert server.asked == [f"{HANDLE}?tf-hub-format=compressed"]
    assert "official network from hub" in text()


def test_auto_falls_back_to_the_starter_says_so_and_remembers(server, fresh_cache, said):
    console, text = said
    assert load_backbone("auto", "025", 128, console=console).source.kind == "starter"
    assert "starter, weaker than the official network (hub: HTTP 404 Not Found; Google's archive: HTTP 404" in text()
    server.asked.clear()
    assert load_backbone("auto", "100", 224, console=console).source.kind == "starter"
    assert server.asked == []
    assert "no source answered 0 min ago" in text()
    load_backbone("auto", "025", 128, retry=True, console=console)
    assert len(server.asked) == 2
    os.utime(fresh_cache / "no-source-answered", (time.time() - 7 * 3600,) * 2)
    load_backbone("auto", "025", 128, console=console)
    assert len(server.asked) == 4


def test_offline_never_asks(server, fresh_cache, said):
    console, text = said
    assert load_backbone("auto", "025", 128, offline=True, console=console).source.kind == "starter"
    with pytest.raises(EnvironmentFailure, match="is not in the cache and --offline forbids to fetch it"):
        load_backbone(f"https://tfhub.dev{HANDLE}", offline=True)
    assert server.asked == []
    assert "--offline" in text()


def test_a_seeded_tfhub_cache_is_used(fresh_cache, tmp_path, monkeypatch, shared):
    handle = f"https://tfhub.dev{HANDLE}"
    folder = tmp_path / "tfhub" / sha1(handle.encode()).hexdigest()
    folder.parent.mkdir()
    folder.symlink_to(module_folder(shared, "025"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(folder.parent))
    assert load_backbone(handle, offline=True).spec == ModelSpec("025", 128)


def test_a_module_archive_works_as_a_file_and_as_a_url(server, fresh_cache, tmp_path, shared):
    data = tar_of_folder(module_folder(shared, "025"))
    (tmp_path / "module.tar.gz").write_bytes(data)
    server.pages["/module.tar.gz"] = (200, data)
    a = load_backbone(str(tmp_path / "module.tar.gz"))
    b = load_backbone(f"{server.base}/module.tar.gz")
    assert a.spec == b.spec == ModelSpec("025", 128)
    assert a.source.sha256 == b.source.sha256
    assert a.source.name == "module.tar.gz"


def test_a_hosted_file_works_from_a_url(server, fresh_cache, shared):
    server.pages["/m.tflite"] = (200, hosted_file(shared, "025").read_bytes())
    assert load_backbone(f"{server.base}/m.tflite").source.kind == "hosted"


def test_a_packed_backbone_is_a_module(tmp_path):
    (tmp_path / "mine.backbone").write_bytes(pack(random_backbone()))
    assert load_backbone(str(tmp_path / "mine.backbone")).source.name == "random 0"


def escaping(name):
    return tar_of({name: b"x", "saved_model.pb": b"x"})


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b"x" * 500)


def too_large(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    handler.wfile.write(b"x" * 500)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ((403, b""), "HTTP 403"),
        ((500, b""), "HTTP 500"),
        ((200, tar_of({"readme.txt": b"hello"})), "holds no model: expected saved_model.pb or a quantized .tflite"),
        ((200, b"<html>please log in</html>"), "is damaged or not a .tar.gz archive [(]file could not be opened"),
        ((200, tar_of({"a.bin": os.urandom(50000)})[:20000]), "is damaged or not a .tar.gz archive"),
        ((200, escaping("../../evil")), "holds a path that leads out of it: '../../evil'; nothing was unpacked"),
        ((200, escaping("/etc/evil")), "holds a path that leads out of it"),
        (
            (200, tar_of({"saved_model.pb": b"nonsense", "variables/variables.index": b""})),
            "cannot be loaded as a TF1-Hub",
        ),
        (cut_short, "cut short: 500 of 100,000 bytes arrived"),
        (too_large, "larger than 512 MiB"),
    ],
)
def test_what_arrives_wrong_is_named_and_not_kept(server, fresh_cache, page, message, capfd):
    server.pages["/m.tar.gz"] = page
    url = f"{server.base}/m.tar.gz"
    with pytest.raises(EnvironmentFailure, match=message) as raised:
        load_backbone(url)
    assert url in str(raised.value)
    assert "\n" not in str(raised.value)
    assert cached_backbones() == []


def test_links_in_archives_are_left_out(server, fresh_cache, tmp_path):
    outside = tmp_path / "secret"
    outside.write_text("x")
    server.pages["/m.tar.gz"] = (200, tar_of({"saved_model.pb": [outside]}))
    with pytest.raises(EnvironmentFailure, match="holds no model"):
        load_backbone(f"{server.base}/m.tar.gz")


def test_archive_bombs_are_refused(server, fresh_cache, monkeypatch):
    monkeypatch.setattr(fetch_module, "MAX_BYTES", 10_000_000)
    server.pages["/m.tar.gz"] = (200, tar_of({"saved_model.pb": bytes(20_000_000)}))
    with pytest.raises(EnvironmentFailure, match="unpacks to more than 9 MiB"):
        load_backbone(f"{server.base}/m.tar.gz")


def test_a_hung_server_ends_in_a_time_out(fresh_cache):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start = time.monotonic()
        with pytest.raises(EnvironmentFailure, match=r"no answer within 0\.3 s"):
            load_backbone(f"http://127.0.0.1:{listener.getsockname()[1]}/m.tar.gz", timeout=0.3)
        assert time.monotonic() - start < 10


def test_a_server_that_drips_is_given_up(server, tmp_path):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.05)

    server.pages["/m"] = drip
    with pytest.raises(EnvironmentFailure, match="not done after 0 s"):
        download(f"{server.base}/m", tmp_path / "x", timeout=5, console=Console(quiet=True), max_seconds=0.2)


def test_nobody_listening_is_named(fresh_cache):
    with pytest.raises(EnvironmentFailure, match="not reachable"):
        load_backbone("http://127.0.0.1:9/m.tar.gz")


def test_other_schemes_are_refused(fresh_cache):
    with pytest.raises(EnvironmentFailure, match="only http and https are fetched"):
        load_backbone("file:///etc/passwd")


def test_a_poisoned_cache_is_noticed_and_repaired(fresh_cache, said, shared):
    console, text = said
    path = str(hosted_file(shared, "025"))
    backbone = load_backbone(path)
    (entry,) = cached_backbones()
    entry.write_bytes(entry.read_bytes()[:-10])
    assert pack(load_backbone(path, console=console)) == pack(backbone)
    assert "damaged" in text()
    assert "removed" in text()
    assert pack(load_backbone(path)) == pack(backbone)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, said, shared):
    console, text = said
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("EDGERETRAIN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert load_backbone(str(hosted_file(shared, "025")), console=console).spec.width == "025"
    assert "the backbone is not kept: cannot write" in text()


@pytest.mark.parametrize(
    ("width", "res", "message"),
    [("050", None, "--width 050 was asked for, but .* has width 025"), (None, 160, "--res 160 .* has res 128")],
)
def test_a_module_of_another_size_is_refused_with_both_values(shared, width, res, message):
    with pytest.raises(UsageError, match=message):
        load_backbone(str(hosted_file(shared, "025")), width, res)


def test_modules_that_do_not_exist_or_are_something_else_are_named(tmp_path):
    with pytest.raises(EnvironmentFailure, match="no such file or folder, and neither auto, starter nor a URL"):
        load_backbone("no/such/thing")
    with pytest.raises(EnvironmentFailure, match=r"has no saved_model\.pb"):
        load_backbone(str(tmp_path))
    (tmp_path / "x.bin").write_bytes(b"12345678")
    with pytest.raises(EnvironmentFailure, match="is not a module: expected a TF1-Hub folder"):
        load_backbone(str(tmp_path / "x.bin"))
