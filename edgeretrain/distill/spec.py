"""How to distill. An option is declared here, once, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from edgeretrain.schedule import step_size
from edgeretrain.spec import check_options, option


@dataclass(frozen=True)
class DistillSpec:
    """Every field is an option of `edgeretrain distill`; raises UsageError out of range."""

    steps: int = option(3000, "Training steps.", low=1, high=1e7)
    batch_size: int = option(64, "Views of photos per step.", low=2, high=4096)
    learning_rate: float = option(0.002, "Largest step size; it falls to 0 along a cosine.", low=1e-8, high=1)
    quantized_share: float = option(
        0.2,
        "Share of the steps, the last ones, that train with fake quantization; 1: from the start.",
        low=0.001,
        high=1,
    )
    logit_weight: float = option(0.5, "Weight of the teacher's logits in the loss, if it has any.", low=0, high=100)
    crop_area: float = option(0.25, "Smallest share of a photo that a view shows.", low=0.05, high=1)
    checkpoint_steps: int = option(200, "Save the state every so many steps.", low=1)
    seed: int = option(0, "Seed of the views' order and crops.", low=0)

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def float_steps(self) -> int:
        """Steps before fake quantization begins."""
        return self.steps - max(1, round(self.steps * self.quantized_share))

    def rate(self, step: int) -> float:
        """Step size of step 0, 1, ..."""
        return step_size(step, self.float_steps, self.steps, self.learning_rate)
