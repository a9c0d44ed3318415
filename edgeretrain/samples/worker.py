"""One of the processes that fill a sample folder: `python -m edgeretrain.samples.worker FOLDER PER_CLASS SEED I N`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgeretrain.samples.folder import write_share


def main(folder: str, per_class: str, seed: str, share: str, shares: str) -> None:
    """Write a share of the photos; tell the parent by one byte on stdout after each, and end when it is gone."""
    for _ in write_share(Path(folder), int(per_class), int(seed), int(share), int(shares)):
        os.write(sys.stdout.fileno(), b".")


if __name__ == "__main__":
    main(*sys.argv[1:])
