"""Turn networks in the plain layer format (starter_<width>.npz) into the package data `edgeretrain/starters/`.

    python benchmarks/make_starters.py ../shared/starter

Prints each file's size; the same input gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgeretrain.backbone import pack
from edgeretrain.modules.starter import read_layers
from edgeretrain.spec import WIDTHS
from edgeretrain.storage import write_file


def main() -> None:
    folder = Path(sys.argv[1])
    target = Path(__file__).parents[1] / "edgeretrain" / "starters"
    total = 0
    for width in WIDTHS:
        data = pack(read_layers(folder / f"starter_{width}.npz", width))
        write_file(target / f"starter_{width}.backbone", data)
        total += len(data)
        print(f"starter_{width}.backbone: {len(data):,} bytes")
    print(f"together {total:,} bytes")


if __name__ == "__main__":
    main()
