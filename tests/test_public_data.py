import hashlib

import pytest

from edgeretrain import public_data
from edgeretrain.console import Console
from edgeretrain.errors import EnvironmentFailure, UsageError
from edgeretrain.public_data import SETS, PublicData, fetch_public_data
from tests.test_modules import server, tar_of  # noqa: F401 (a fixture)

ARCHIVE = tar_of({"flower_photos/roses/a.jpg": b"a", "flower_photos/LICENSE.txt": b"terms"})


@pytest.fixture
def home(server, monkeypatch):  # noqa: F811
    """A home of flower_photos on loopback."""
    server.pages["/flowers.tgz"] = (200, ARCHIVE)
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    entry = PublicData(f"{server.base}/flowers.tgz", digest, "flower_photos", "terms")
    monkeypatch.setitem(public_data.SETS, "flower_photos", entry)
    return server


def fetch(folder):
    return fetch_public_data("flower_photos", folder, timeout=2, console=Console(quiet=True))


def test_the_set_arrives_checked_and_whole(home, command, tmp_path):
    code, out, _ = command("data", "fetch", "flower_photos", "--out", tmp_path / "flowers")
    assert code == 0
    assert "terms" in out
    assert (tmp_path / "flowers/roses/a.jpg").read_bytes() == b"a"
    assert [path.name for path in tmp_path.iterdir()] == ["flowers"]


def test_another_archive_is_refused_by_its_digest(home, tmp_path):
    home.pages["/flowers.tgz"] = (200, tar_of({"flower_photos/roses/evil.jpg": b"x"}))
    with pytest.raises(EnvironmentFailure, match="is not flower_photos: SHA-256"):
        fetch(tmp_path / "flowers")
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_home_is_explained(home, tmp_path):
    home.pages["/flowers.tgz"] = (403, b"")
    with pytest.raises(EnvironmentFailure, match="cannot be fetched: .*: HTTP 403 .*; fetch it elsewhere, unpack it"):
        fetch(tmp_path / "flowers")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_and_one_that_cannot_be_made_are_refused(home, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").touch()
    with pytest.raises(UsageError, match="is in use: name a new or empty folder"):
        fetch(tmp_path / "mine")
    with pytest.raises(EnvironmentFailure, match="cannot write beside"):
        fetch(tmp_path / "mine/photo.jpg/below")


def test_the_real_entry_is_the_published_one():
    assert SETS["flower_photos"].url.endswith("/example_images/flower_photos.tgz")
    assert len(SETS["flower_photos"].sha256) == 64
