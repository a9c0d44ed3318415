"""Models, pictures and Python's answers, for the tests of the app: `python fixtures.py FOLDER`.

Models are made by edgeretrain itself, from a hosted backbone and photos of ../shared where those are, else from the
starter backbone and generated pictures.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgeretrain.artifact import Model, model_from_bytes
from edgeretrain.backbone import Backbone
from edgeretrain.flatbuffer import Operator, Tensor, serialize
from edgeretrain.golden import golden_picture, run
from edgeretrain.images import decode, load_pixels, resize
from edgeretrain.modules import load_backbone
from edgeretrain.pipeline import run as train
from edgeretrain.runtime import KERNELS, load_interpreter
from edgeretrain.spec import TrainSpec

SHARED = Path(__file__).resolve().parents[3] / "shared"
PHOTOS = 20
SIZES = ((128, 128), (1, 1), (129, 77), (31, 640), (640, 31), (1000, 3), (640, 480), (4000, 200))
GOLDEN = ((0, 128), (7, 160), (23, 192), (4294967295, 224), (1, 2))


def photo_folder(scratch: Path) -> Path:
    """Photos by class: the real ones, else generated ones of two colours."""
    real = SHARED / "data" / "flowers_small"
    if real.is_dir():
        return real
    random = np.random.default_rng(0)
    for name, color in (("red", (200, 40, 30)), ("blue", (30, 60, 210))):
        (scratch / name).mkdir(parents=True)
        for i in range(60):
            noise = random.normal(0, 40, (90 + i, 140 - i, 3))
            Image.fromarray(np.clip(noise + color, 0, 255).astype(np.uint8)).save(scratch / name / f"{i}.jpg")
    return scratch


def backbone(name: str, width: str, res: int) -> Backbone:
    hosted = SHARED / "hosted" / name
    if hosted.is_file():
        return load_backbone(str(hosted), width, res)
    return load_backbone("starter", width, res)


def write_models(folder: Path, photos: Path) -> list[Model]:
    small = backbone("mobilenet_v1_0.25_128_quant.tflite", "025", 128)
    wide = backbone("mobilenet_v1_0.5_160_quant.tflite", "050", 160)
    made = {
        "int8": train(photos, small, TrainSpec(steps=200)).model,
        "int8_io_int8": train(photos, small, TrainSpec(steps=200, io_type="int8")).model,
        "int8_io_float32": train(photos, small, TrainSpec(steps=200, io_type="float32")).model,
        "uint8": train(photos, small, TrainSpec(steps=200, scheme="uint8")).model,
        "wide": train(photos, wide, TrainSpec(steps=200)).model,
    }
    files = {name: model.data for name, model in made.items()}
    files["foreign"] = made["int8_io_float32"].flatbuffer
    files["not_image"] = serialize(
        [Operator("SOFTMAX", 1, (Tensor("x", (1, 10), "float32"),), Tensor("y", (1, 10), "float32"), "SoftmaxOptions")],
        ("x", "y"),
        "no image classifier",
    )
    for name, data in files.items():
        (folder / f"{name}.tflite").write_bytes(data)
    return [model_from_bytes(files[name], name) for name in (*made, "foreign")]


def camera_photo() -> bytes:
    """A JPEG larger than needed, lying on its side with an EXIF orientation, as phones write them."""
    picture = Image.fromarray(golden_picture(5, 1400)).resize((1800, 1400))
    exif = picture.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    return file.getvalue()


def write_sources(folder: Path, paths: list[Path]) -> list[dict[str, Any]]:
    """Decoded sources and what Python makes of them at 128 px, as raw RGB; generated ones of awkward sizes too."""
    random = np.random.default_rng(1)
    sources = [(data, decode(data)) for data in (*(path.read_bytes() for path in paths), camera_photo())]
    noise = [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]
    records = []
    for i, (jpeg, image) in enumerate([*sources, *((b"", image) for image in noise)]):
        (folder / f"{i}.rgb").write_bytes(image.tobytes())
        (folder / f"{i}_128.rgb").write_bytes(resize(image, 128).tobytes())
        if jpeg:
            (folder / f"{i}.jpg").write_bytes(jpeg)
        records.append({"name": str(i), "width": image.width, "height": image.height, "jpeg": bool(jpeg)})
    return records


def answers(model: Model, paths: list[Path]) -> dict[str, Any]:
    """Classes of photos, and the bytes of every kind of kernels for photos and for the model's golden pictures."""
    pixels = [load_pixels(path, [model.res])[0] for path in paths]
    vectors = model.contract["golden"]["vectors"] if model.contract else []
    golden = [golden_picture(int(vector["seed"]), model.res) for vector in vectors]
    raw, golden_raw = {}, {}
    for kernels in (*KERNELS, "builtin"):
        interpreter = load_interpreter(model.flatbuffer, kernels=kernels)
        found = [run(interpreter, each, model.mean, model.std).tobytes().hex() for each in (*pixels, *golden)]
        raw[kernels], golden_raw[kernels] = found[: len(pixels)], found[len(pixels) :]
    return {
        "name": model.name,
        "res": model.res,
        "labels": list(model.labels),
        "classes": [int(model.predict(each).argmax()) for each in pixels],
        "raw": raw,
        "golden": golden_raw,
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("EDGERETRAIN_CACHE_DIR", str(Path(scratch) / "cache"))
        photos = photo_folder(Path(scratch) / "photos")
        every = sorted(photos.glob("*/*.jpg"))
        paths = every[:: len(every) // PHOTOS][:PHOTOS]
        models = write_models(folder, photos)
        for seed, res in GOLDEN:
            (folder / f"golden_{seed}_{res}.rgb").write_bytes(golden_picture(seed, res).tobytes())
        document = {
            "sources": write_sources(folder, paths),
            "golden": [{"seed": seed, "res": res} for seed, res in GOLDEN],
            "models": [answers(model, paths) for model in models],
        }
    (folder / "fixtures.json").write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
