import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from edgeretrain import embed
from edgeretrain.embed import as_matrix, cache_file, embed_photos, make_extractor, run_extractor
from edgeretrain.images import load_pixels
from tests.conftest import random_backbone, write_photos


@pytest.fixture
def paths(photos):
    return sorted(photos.rglob("*.jpg"))


@pytest.fixture(scope="session")
def extractor(backbone):
    return make_extractor(backbone)


def rows_in(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM embedding").fetchone()[0]
    finally:
        connection.close()


def test_embeddings_are_those_of_the_extractor_in_order(paths, extractor):
    found = embed_photos(paths, [extractor], cache=None, jobs=3)
    matrix = as_matrix(found, range(len(paths)), extractor)
    assert matrix.shape == (len(paths), 256)
    for i in (0, 30, 71):
        codes = run_extractor(extractor, load_pixels(paths[i], [128])[0])
        assert np.array_equal(matrix[i], np.frombuffer(codes, np.uint8) * np.float32(extractor.scale))
    assert np.unique(matrix, axis=0).shape[0] > 60


def test_second_run_decodes_and_embeds_nothing(paths, extractor, tmp_path, monkeypatch):
    cache = cache_file(tmp_path)
    first = embed_photos(paths, [extractor], cache=cache)
    monkeypatch.setattr(embed, "decode", lambda data: pytest.fail("decoded again"))
    assert embed_photos(paths, [extractor], cache=cache) == first


def test_cache_is_by_content_not_by_name(paths, extractor, tmp_path, monkeypatch):
    cache = cache_file(tmp_path)
    embed_photos(paths[:5], [extractor], cache=cache)
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(paths[0].read_bytes())
    monkeypatch.setattr(embed, "decode", lambda data: pytest.fail("decoded again"))
    assert embed_photos([copy], [extractor], cache=cache)[0].codes


def test_another_backbone_or_size_has_its_own_embeddings(paths, extractor, tmp_path):
    cache = cache_file(tmp_path)
    others = [extractor, make_extractor(random_backbone(seed=1)), make_extractor(random_backbone(res=160))]
    found = embed_photos(paths[:4], others, cache=cache)
    assert len({item for photo in found for item in photo.codes}) == 12
    assert rows_in(cache) == 12
    assert len({one.key for one in others}) == 3


def test_bad_photos_have_a_reason_and_harm_nobody(paths, extractor, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(paths[0].read_bytes()[:300])
    found = embed_photos([paths[0], bad, paths[1], tmp_path / "missing.jpg"], [extractor], cache=cache_file(tmp_path))
    assert [photo.reason is None for photo in found] == [True, False, True, False]
    assert "damaged" in found[1].reason
    assert "no such file" in found[3].reason


def test_a_damaged_cache_is_made_anew(paths, extractor, tmp_path):
    cache = cache_file(tmp_path)
    cache.write_bytes(b"this is not a database" * 100)
    first = embed_photos(paths[:4], [extractor], cache=cache, jobs=1)
    assert all(photo.codes for photo in first)
    assert rows_in(cache) == 4


def test_a_cache_that_cannot_be_written_is_done_without(paths, extractor, tmp_path):
    (tmp_path / "file").write_text("x")
    found = embed_photos(paths[:4], [extractor], cache=cache_file(tmp_path / "file"))
    assert all(photo.codes for photo in found)


def embed_all(folder, cache):
    found = embed_photos(sorted(folder.rglob("*.jpg")), [make_extractor(random_backbone())], cache=cache)
    assert all(photo.codes for photo in found)


def test_two_runs_at_once_share_the_cache(photos, tmp_path):
    cache = cache_file(tmp_path)
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=embed_all, args=(photos, cache)) for _ in range(2)]
    for process in runs:
        process.start()
    for process in runs:
        process.join(120)
    assert [process.exitcode for process in runs] == [0, 0]
    assert rows_in(cache) == 72


def test_what_was_embedded_before_kill_9_is_kept(tmp_path):
    """A run that is killed in the middle leaves a sound cache, and the next one goes on from there."""
    folder = write_photos(tmp_path / "photos", 150)
    cache = cache_file(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tests.test_embed import embed_all; "
        "embed_all(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), str(cache)])
    deadline = time.monotonic() + 60
    kept = 0
    while kept < 32 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
        try:
            kept = rows_in(cache)
        except sqlite3.Error:
            kept = 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = rows_in(cache)
    assert before >= 32
    embed_all(folder, cache)
    assert rows_in(cache) == 450
