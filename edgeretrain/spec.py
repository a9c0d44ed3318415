"""What to build: one cell of the grid, and how to train it. An option is declared here, once, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edgeretrain.errors import UsageError

WIDTHS = ("025", "050", "075", "100")
"""Width multipliers x 100, written as in the hub's handles."""
RESOLUTIONS = (128, 160, 192, 224)
"""Input sizes in pixels (square)."""
FEATURES = {"025": 256, "050": 512, "075": 768, "100": 1024}
"""Length of the embedding (pooled features) of each width."""


def parse_width(text: str) -> str:
    """Return `text` as one of `WIDTHS`; `0.5`, `.5`, `50` and `050` all mean `050`. Raises UsageError."""
    value = text.strip()
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if "." in value or number == 1:
        number *= 100
    code = f"{round(number):03d}" if number >= 0 else value
    if code not in WIDTHS:
        raise UsageError(f"width must be one of {', '.join(WIDTHS)}, not {text!r}")
    return code


def parse_res(text: str | int) -> int:
    """Return `text` as one of `RESOLUTIONS` (pixels). Raises UsageError."""
    value = str(text).strip()
    if value not in map(str, RESOLUTIONS):
        raise UsageError(f"res must be one of {', '.join(map(str, RESOLUTIONS))}, not {value!r}")
    return int(value)


def parse_side(text: str | int) -> int:
    """Return `text` as a picture's side in pixels, of the grid or, for float modules, another. Raises UsageError."""
    value = str(text).strip()
    if not value.isdecimal() or len(value) > 5:
        return parse_res(value)
    return int(value)


@dataclass(frozen=True, order=True)
class ModelSpec:
    """One cell of the grid: a MobileNet V1 of `width` (one of `WIDTHS`) for inputs of `res` x `res` pixels."""

    width: str = "050"
    res: int = 160

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", parse_width(self.width))
        object.__setattr__(self, "res", parse_res(self.res))

    @property
    def name(self) -> str:
        """`mobilenet_v1_050_160`, as in the hub's handles."""
        return f"mobilenet_v1_{self.width}_{self.res}"

    @property
    def multiplier(self) -> float:
        """The width multiplier as a fraction: 0.25, 0.5, 0.75 or 1.0."""
        return int(self.width) / 100

    @property
    def features(self) -> int:
        """Length of the embedding."""
        return FEATURES[self.width]

    @classmethod
    def parse(cls, name: str) -> ModelSpec | None:
        """Find `mobilenet_v1_<width>_<res>` in a handle, path or file name (`0.5` for `050` too); None if absent."""
        found = re.search(r"mobilenet_v1_(\d\.\d+|\d{3})_(\d{3})", name)
        if not found:
            return None
        try:
            return cls(found[1], parse_res(found[2]))
        except UsageError:
            return None


GRID = tuple(ModelSpec(width, res) for width in WIDTHS for res in RESOLUTIONS)
"""The 16 cells, narrow to wide, small to large."""


def option(
    default: Any,
    help_text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
) -> Any:
    """Declare a field of a spec such as `TrainSpec` and, with it, a command-line option: name and type are the field's own."""
    return field(
        default=default,
        metadata={"help": help_text, "low": low, "high": high, "choices": choices, "aliases": aliases},
    )


def check_options(spec: Any) -> None:
    """Hold the fields of `spec`, declared with `option`, against their choices and ranges. Raises UsageError."""
    for item in fields(spec):
        value, meta = getattr(spec, item.name), item.metadata
        name = item.name.replace("_", "-")
        if meta["choices"] and value not in meta["choices"]:
            raise UsageError(f"--{name} must be one of {', '.join(meta['choices'])}, not {value!r}")
        low, high = meta["low"], meta["high"]
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
            raise UsageError(f"--{name} must be {bounds}, not {value}")
        if name.endswith("batch-size") and value == 0:
            raise UsageError(f"--{name} must be -1 (all) or at least 1, not 0")


@dataclass(frozen=True)
class TrainSpec:
    """How to split, train and write. Every field is an option of `edgeretrain train`; raises UsageError out of range."""

    validation_percentage: float = option(10.0, "Share of photos that choose the best step.", low=1, high=45)
    testing_percentage: float = option(10.0, "Share of photos that only measure the result.", low=1, high=45)
    split_seed: int = option(0, "Another number draws another split.", low=0)
    steps: int = option(1000, "Training steps of the head.", low=1, high=1e7, aliases=("how-many-training-steps",))
    learning_rate: float = option(0.005, "Largest step size; it falls to 0 along a cosine.", low=1e-8, high=10)
    train_batch_size: int = option(100, "Photos per training step; -1: all.", low=-1)
    validation_batch_size: int = option(-1, "Photos per evaluation on the way; -1: all.", low=-1)
    test_batch_size: int = option(-1, "Test photos in the final evaluation; -1: all.", low=-1)
    eval_step_interval: int = option(10, "Evaluate every so many steps; the best step is kept.", low=1)
    flip_left_right: bool = option(False, "Distort: mirror half of the copies of training photos.")
    random_crop: float = option(0.0, "Distort: margin in % to crop at random.", low=0, high=100)
    random_scale: float = option(0.0, "Distort: enlarge at random by up to so many %.", low=0, high=100)
    random_brightness: float = option(0.0, "Distort: multiply by 1 +- up to so many %.", low=0, high=100)
    copies: int = option(4, "Distorted copies beside each training photo, if any distortion is on.", low=1, high=1000)
    class_weights: str = option(
        "none",
        "auto: photos of a rare class weigh more in the loss, so that classes are equal.",
        choices=("none", "auto"),
    )
    intermediate_store_frequency: int = option(0, "Export the network every so many training steps; 0: never.", low=0)
    fine_tune: int = option(
        0, "Epochs of training of the whole network, with fake quantization, after the head.", low=0, high=10000
    )
    fine_tune_from: str = option(
        "", "First layer that fine-tuning changes, such as Conv2d_5_depthwise; all by default."
    )
    fine_tune_rate: float = option(0.0003, "Largest step size of fine-tuning; it falls to 0.", low=1e-8, high=1)
    fine_tune_batch_size: int = option(32, "Photos per step of fine-tuning.", low=2, high=4096)
    fine_tune_patience: int = option(
        5,
        "End float training, then fine-tuning, after so many epochs without a smaller validation loss; 0: never.",
        low=0,
    )
    mixed_precision: bool = option(
        False, "Fine-tune in bfloat16 before fake quantization; faster only on processors that have it."
    )
    label_smoothing: float = option(0.0, "Share of each label spread over all classes in fine-tuning.", low=0, high=0.9)
    seed: int = option(0, "Seed of the training; same seed, same bytes.", low=0)
    scheme: str = option("int8", "int8 per channel, or Google's older uint8 per tensor.", choices=("int8", "uint8"))
    io_type: str = option("uint8", "Type of the model's input and output.", choices=("uint8", "int8", "float32"))
    input_range: str = option(
        "auto",
        "What the pixels of a float module span; auto: what the module says.",
        choices=("auto", "0..1", "-1..1", "0..255"),
    )
    on_bad: str = option("skip", "What to do with files that cannot be used.", choices=("skip", "fail"))

    def __post_init__(self) -> None:
        check_options(self)
        if self.scheme == "uint8" and self.io_type != "uint8":
            raise UsageError(f"--scheme uint8 writes a uint8 input and output: leave out --io-type {self.io_type}")

    def training_options(self) -> dict[str, Any]:
        """The options that decide what training computes, and not how often it is looked at or how it is written."""
        others = ("intermediate_store_frequency", "test_batch_size", "scheme", "io_type", "on_bad")
        return {name: value for name, value in asdict(self).items() if name not in others}
