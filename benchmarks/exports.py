"""How near are the exports to the integer .tflite, and what do they cost? For two cells, on photos.

    python benchmarks/exports.py ../shared

Trains on flowers_small, writes each export as `edgeretrain train` does, loads it back, and prints per export: bytes, seconds
to write and to load back and run, the largest difference of a probability, the probability moved to other classes (half the
sum of absolute differences, mean over photos) and the same answers; of the encoded JPEGs also how far their pixels are off.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine

from edgeretrain.artifact import load_model
from edgeretrain.console import print_table
from edgeretrain.evaluate import predict_photos
from edgeretrain.exports import graphs
from edgeretrain.exports.jpeg import squeezed_jpeg
from edgeretrain.exports.spec import ExportSpec, Served
from edgeretrain.exports.staging import measured
from edgeretrain.exports.writing import write_exports
from edgeretrain.images import load_pixels
from edgeretrain.metadata import ENTRY
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.network import build_network
from edgeretrain.pipeline import metadata_of, run
from edgeretrain.spec import TrainSpec
from edgeretrain.write import write_model

CELLS = ("0.25_128_quant", "0.5_160_quant", "1.0_224_quant_embedding_extractor")
PHOTOS = 100


def timed(work):
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def main() -> None:
    shared, rows = Path(sys.argv[1]), []
    paths = sorted((shared / "data/flowers_small").glob("*/*.jpg"))
    paths = paths[:: len(paths) // PHOTOS][:PHOTOS]
    jpegs = [path.read_bytes() for path in paths]
    for cell in CELLS:
        data = (shared / "hosted" / f"mobilenet_v1_{cell}.tflite").read_bytes()
        result = run(shared / "data/flowers_small", read_hosted(data, cell), TrainSpec())
        backbone, head, res = result.backbone, result.head, result.backbone.spec.res
        network, build_s = timed(lambda: build_network(backbone, head))  # noqa: B023 (called at once, here and below)
        served = Served(
            lambda pictures, network=network: network(pictures, training=False),
            res,
            *backbone.input_quantization,
            result.dataset.class_names,
        )
        pixels = np.stack([load_pixels(path, [res])[0] for path in paths])
        apart = np.abs(np.stack([squeezed_jpeg(jpeg, res).numpy() for jpeg in jpegs]) - pixels)
        print(f"{backbone.spec.name}: network built in {build_s:.1f} s; of the JPEGs' pixels {(apart > 0).mean():.2%} differ, "
              f"{(apart > 1).mean():.5%} by more than 1, at most {apart.max():.0f}")  # fmt: skip
        expected = np.stack([result.model.predict(picture) for picture in pixels])

        def row(kind, size, write_s, run_s, answers, cell=backbone.spec.name, expected=expected):
            off = np.abs(answers - expected)
            same = int((answers.argmax(axis=1) == expected.argmax(axis=1)).sum())
            figures = f"{off.max():.4f}", f"{off.sum(axis=1).mean() / 2:.4f}", f"{same} of {len(paths)}"
            rows.append((cell, kind, f"{size:,}", f"{write_s:.2f}", f"{run_s:.2f}", *figures))

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "labels.txt").write_text("".join(f"{label}\n" for label in result.model.labels))
            _, write_s = timed(lambda: graphs.save_serving(served, folder / "1", folder / "labels.txt"))  # noqa: B023
            (image, jpeg), run_s = timed(lambda: graphs.serving_answers(folder / "1", pixels, jpegs))  # noqa: B023
            size = measured(folder / "1")[0]
            row("SavedModel, image", size, write_s, run_s, image)
            row("SavedModel, JPEG", size, write_s, run_s, jpeg)
            _, write_s = timed(lambda: graphs.save_graph(served, folder / "graph.pb", "final_result"))  # noqa: B023
            answers, run_s = timed(lambda: graphs.graph_answers(folder / "graph.pb", "final_result", pixels))  # noqa: B023
            row("frozen GraphDef", measured(folder / "graph.pb")[0], write_s, run_s, answers)
            for kind in ("float32", "float16"):
                metadata = {ENTRY: metadata_of(backbone, result.model.labels, "float32", kind)}
                (entry,), write_s = timed(
                    lambda: write_exports(  # checked on the test photos and sealed, as in a run
                        ExportSpec(float_types=(kind,)),  # noqa: B023
                        folder,  # noqa: B023
                        result.model,  # noqa: B023
                        result.dataset.test,  # noqa: B023
                        served=lambda: served,  # noqa: B023
                        float_model=lambda kind: write_model(backbone, head, scheme=kind, metadata=metadata),  # noqa: B023
                    )
                )
                model = load_model(folder / entry["path"])
                answers, run_s = timed(lambda: np.stack(predict_photos(model, paths)))  # noqa: B023
                row(f".tflite {kind}", entry["size_bytes"], write_s, run_s, answers)
    headers = ("cell", "export", "bytes", "write s", "run s", "largest", "moved", "same answer")
    print(machine())
    print_table(
        headers, rows, title=f"{len(paths)} photos of flowers_small, against the integer .tflite", right=range(2, 8)
    )


if __name__ == "__main__":
    main()
