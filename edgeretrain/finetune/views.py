"""The training photos as the network sees them: every time distorted anew.

Which photo and which draw view number n is follows from n and the seed alone, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeretrain.dataset import Photo
from edgeretrain.distort import Distortions, copy_random, distort
from edgeretrain.images import Pixels
from edgeretrain.pictures import Pictures
from edgeretrain.spec import TrainSpec

DEFAULT_DISTORTIONS = Distortions(flip_left_right=True, random_crop=20, random_scale=40, random_brightness=20)
"""What is drawn if no distortion was asked for: without any, a whole network learns a few hundred photos by heart."""
QUANTIZED_SHARE = 0.2
"""Share of the steps, the last ones, that train with fake quantization."""
_SIDE = 1.5  # of the kept pictures, in input sizes: crops are cut from more pixels than the network sees


@dataclass(frozen=True)
class Views:
    """`photos` squeezed to `res` px, distorted by draws of `seed`."""

    photos: tuple[Photo, ...]
    res: int
    distortions: Distortions
    seed: int
    _pictures: Pictures = field(repr=False)

    def look(self, number: int) -> tuple[Pixels, int]:
        """View `number` (0, 1, ...): uint8 [res, res, 3] and its label. Each photo comes once before any comes again."""
        epoch, place = divmod(number, len(self.photos))
        photo = self.photos[int(_order(len(self.photos), self.seed, epoch)[place])]
        image = Image.fromarray(self._pictures.get(photo.path))
        return distort(image, self.res, self.distortions, copy_random(self.seed, photo.digest, epoch + 1)), photo.label


@lru_cache(2)
def _order(photos: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 2, epoch)).permutation(photos)


def picture_bytes(res: int) -> int:
    """Of one kept picture, at most."""
    return round(_SIDE * res) ** 2 * 3


def views_of(photos: tuple[Photo, ...], res: int, spec: TrainSpec) -> Views:
    """`photos` distorted as `spec` asks, or by `DEFAULT_DISTORTIONS`."""
    return Views(photos, res, Distortions.of(spec) or DEFAULT_DISTORTIONS, spec.seed, Pictures(round(_SIDE * res)))


@dataclass(frozen=True)
class Length:
    """How long a run is: `batch` photos in each of `steps`, float before `float_steps`, an evaluation every `every`."""

    batch: int
    steps: int
    float_steps: int
    every: int

    @classmethod
    def of(cls, photos: int, spec: TrainSpec) -> Length:
        """For `spec.fine_tune` epochs of `photos` training photos."""
        batch = min(spec.fine_tune_batch_size, photos)
        steps = max(2, round(spec.fine_tune * photos / batch))
        return cls(batch, steps, steps - max(1, round(steps * QUANTIZED_SHARE)), max(1, round(photos / batch)))
