"""What tests share: a cache of their own, generated photos, a random backbone, and ../shared where it is there."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeretrain.__main__ import run
from edgeretrain.artifact import seal
from edgeretrain.backbone import Backbone, Source, layer_table, quantize_per_channel
from edgeretrain.spec import ModelSpec
from edgeretrain.write import Head, write_model

SHARED = Path(__file__).parents[2] / "shared"
NATIVE = {"025": (128, "0.25_128_quant"), "050": (160, "0.5_160_quant"), "075": (192, "0.75_192_quant")}
NATIVE["100"] = (224, "1.0_224_quant_embedding_extractor")
COLOURS = {"Red": (200, 40, 40), "green things": (40, 180, 60), "blue": (40, 60, 200)}


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_world(monkeypatch, session_cache, tmp_path_factory):
    """No test touches the user's cache, the network, or a folder it was started in."""
    monkeypatch.setenv("EDGERETRAIN_CACHE_DIR", str(session_cache))
    monkeypatch.setenv("EDGERETRAIN_HUB", "http://127.0.0.1:9")
    monkeypatch.setenv("EDGERETRAIN_ARCHIVES", "http://127.0.0.1:9")
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def fresh_cache(monkeypatch, tmp_path):
    folder = tmp_path / "fresh cache"
    monkeypatch.setenv("EDGERETRAIN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared():
    if not SHARED.is_dir():
        pytest.skip("../shared with real modules and photos is not beside this checkout")
    return SHARED


def hosted_file(shared: Path, width: str) -> Path:
    return shared / "hosted" / f"mobilenet_v1_{NATIVE[width][1]}.tflite"


def module_folder(shared: Path, width: str) -> Path:
    res = NATIVE[width][0]
    return shared / f"modules/google/imagenet/mobilenet_v1_{width}_{res}/quantops/feature_vector/3"


def colour_photo(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (72, 60)) -> Image.Image:
    """A noisy picture of a colour with some shape in it."""
    random = np.random.default_rng(seed)
    pixels = np.full((size[1], size[0], 3), colour, np.float64) * random.uniform(0.7, 1.2)
    x, y = random.integers(5, 40, 2)
    pixels[y : y + 12, x : x + 12] = random.uniform(0, 255, 3)
    return Image.fromarray(np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8))


def write_photos(folder: Path, per_class: int = 24, colours: dict[str, tuple[int, int, int]] = COLOURS) -> Path:
    for number, (name, colour) in enumerate(colours.items()):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            colour_photo(colour, 1000 * number + i).save(folder / name / f"{i:03d}.jpg", quality=90)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """72 photos of three colours."""
    return write_photos(tmp_path_factory.mktemp("photos"))


def random_backbone(width: str = "025", res: int = 128, seed: int = 0) -> Backbone:
    """A network with random weights that keep activations alive."""
    random = np.random.default_rng(seed)
    layers = []
    for shape in layer_table(width):
        fan_in = int(np.prod(shape.weights[:-1]))
        weights = random.normal(0, (2 / fan_in) ** 0.5, shape.weights).astype(np.float32)
        layers.append(quantize_per_channel(weights, random.uniform(0, 0.3, shape.channels).astype(np.float32)))
    return Backbone(ModelSpec(width, res), tuple(layers), (-1.0, 1.0), Source("random", f"random {seed}", "0" * 64))


@pytest.fixture(scope="session")
def backbone():
    return random_backbone()


@pytest.fixture
def command(capfd):
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def tensorboard(monkeypatch):
    """Read the event files in a folder with TensorBoard's own EventAccumulator, without TensorFlow."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder):
        everything = dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)
        return EventAccumulator(str(folder), size_guidance=everything).Reload()

    return read


@pytest.fixture(scope="session")
def trained(photos, tmp_path_factory):
    """The folder of a finished run on `photos`."""
    import os

    folder = tmp_path_factory.mktemp("run") / "out"
    os.environ["EDGERETRAIN_CACHE_DIR"] = str(tmp_path_factory.mktemp("trained cache"))
    arguments = [
        "train",
        "--image-dir",
        photos,
        "--module",
        "starter",
        "--width",
        "025",
        "--res",
        "128",
        "--out",
        folder,
    ]
    assert run([str(argument) for argument in arguments]) == 0
    return folder


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """A small sealed model of random weights."""
    weights = np.random.default_rng(0).normal(0, 0.1, (1, 1, 256, 3)).astype(np.float32)
    head = Head(quantize_per_channel(weights, np.zeros(3, np.float32)), np.float32(0.1), 0)
    facts = {"model": "mobilenet_v1_025_128", "scheme": "int8", "module": {}, "data": {}, "accuracy": {}, "seed": 0}
    path = tmp_path_factory.mktemp("model") / "my model.tflite"
    path.write_bytes(seal(write_model(random_backbone(), head), ("a", "b", "c"), facts))
    return path
