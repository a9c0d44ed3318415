"""How near is the written network to Google's own? For the four native cells, on photos.

    python benchmarks/fidelity.py ../shared

Prints per cell: cosine between the extractor's embeddings and the hosted file's pooled features (mean, lowest), share of
integer weight codes kept, whether the uint8 scheme's features are bit-exact with builtin kernels, and sizes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from machine import machine

from edgeretrain.console import print_table
from edgeretrain.images import load_pixels
from edgeretrain.modules import load_backbone
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.runtime import load_interpreter
from edgeretrain.write import write_model

CELLS = {
    "025_128": "0.25_128_quant",
    "050_160": "0.5_160_quant",
    "075_192": "0.75_192_quant",
    "100_224": "1.0_224_quant_embedding_extractor",
}
PHOTOS = 200


def answer(interpreter, pixels):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(-1)


def main() -> None:
    shared = Path(sys.argv[1])
    paths = sorted((shared / "data/flowers_small").glob("*/*.jpg"))
    paths = paths[:: len(paths) // PHOTOS][:PHOTOS]
    rows = []
    for cell, name in CELLS.items():
        data = (shared / "hosted" / f"mobilenet_v1_{name}.tflite").read_bytes()
        hosted = read_hosted(data, name)
        backbone = load_backbone(str(shared / f"modules/google/imagenet/mobilenet_v1_{cell}/quantops/feature_vector/3"))
        same = all(np.array_equal(a.codes, b.codes) for a, b in zip(backbone.layers, hosted.layers, strict=True))
        google = load_interpreter(data, kernels="builtin", keep_tensors=True)
        pool = next(d["index"] for d in google.get_tensor_details() if "AvgPool" in d["name"])
        int8_file = write_model(backbone, None)
        int8 = load_interpreter(int8_file)
        uint8 = load_interpreter(write_model(backbone, None, scheme="uint8"), kernels="builtin")
        cosines, exact, difference = [], 0, []
        for path in paths:
            (pixels,) = load_pixels(path, [backbone.spec.res])
            answer(google, pixels)
            theirs = google.get_tensor(pool).reshape(-1)
            ours = answer(int8, pixels).astype(np.float64) + 128
            cosines.append(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs.astype(np.float64)))
            difference.append(np.abs(ours - theirs).mean())
            exact += np.array_equal(answer(uint8, pixels), theirs)
        rows.append(
            (
                cell,
                f"{np.mean(cosines):.6f}",
                f"{np.min(cosines):.6f}",
                f"{np.mean(difference):.2f}",
                f"{100 * backbone.identical_codes:.2f}",
                "yes" if same else "NO",
                f"{exact} of {len(paths)}",
                f"{len(int8_file):,}",
            )
        )
    headers = ("cell", "cosine", "lowest", "codes apart", "codes kept %", "module = hosted", "uint8 bit-exact", "bytes")
    print(machine())
    print_table(headers, rows, title=f"{len(paths)} photos of flowers_small", right=range(1, 8))


if __name__ == "__main__":
    main()
