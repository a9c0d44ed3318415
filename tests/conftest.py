"""What tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeretrain.artifact import seal
from edgeretrain.backbone import Backbone, Source, layer_table, quantize_per_channel
from edgeretrain.spec import ModelSpec
from edgeretrain.write import Head, write_model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sealed model of random weights."""
    random = np.random.default_rng(0)
    layers = tuple(
        quantize_per_channel(
            random.normal(0, 0.3, shape.weights).astype(np.float32), np.zeros(shape.channels, np.float32)
        )
        for shape in layer_table("025")
    )
    backbone = Backbone(ModelSpec("025", 128), layers, (-1.0, 1.0), Source("test", "random", "0" * 64))
    weights = random.normal(0, 0.1, (1, 1, 256, 3)).astype(np.float32)
    head = Head(quantize_per_channel(weights, np.zeros(3, np.float32)), np.float32(0.1), 0)
    facts = {"model": "mobilenet_v1_025_128", "scheme": "int8", "module": {}, "data": {}, "accuracy": {}, "seed": 0}
    path = tmp_path_factory.mktemp("model") / "my model.tflite"
    path.write_bytes(seal(write_model(backbone, head), ("a", "b", "c"), facts))
    return path
