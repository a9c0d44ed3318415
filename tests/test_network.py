"""The instrumented network against the written file, and both against what TFLiteConverter makes of it."""

import numpy as np
import pytest

from edgeretrain.artifact import model_from_bytes
from edgeretrain.golden import golden_picture
from edgeretrain.images import load_pixels
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.modules.starter import load_starter
from edgeretrain.spec import ModelSpec
from edgeretrain.write import write_model
from tests.conftest import hosted_file
from tests.test_write import random_head

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow, tf_keras and tfmot warn about themselves


def pictures(res, count):
    return np.stack([golden_picture(seed, res) for seed in range(count)])


def test_network_and_written_file_give_nearly_the_same_probabilities():
    from edgeretrain.network import build_network, network_input

    backbone = load_starter(ModelSpec("025", 128))
    head = random_head(256)
    written = model_from_bytes(write_model(backbone, head), "written")
    pixels = pictures(128, 8)
    network = build_network(backbone, head)(network_input(backbone, pixels), training=False).numpy()
    file = np.stack([written.predict(picture) for picture in pixels])
    assert np.abs(network - file).max() < 0.12
    assert np.abs(network - file).mean() < 0.02
    assert network.std(axis=0).max() > 0.01  # the pictures do make a difference


def test_network_has_fake_quant_on_every_weight_and_activation():
    from edgeretrain.network import build_network

    model = build_network(load_starter(ModelSpec("025", 128)), random_head(256))
    wrapped = [layer for layer in model.layers if type(layer).__name__ == "QuantizeWrapperV2"]
    assert len(wrapped) == 27 + 3  # with input, pool and logits
    limits = [w for w in model.weights if w.name.endswith("limit:0")]
    assert len(limits) == 28
    depthwise = next(w for w in limits if "Conv2d_1_depthwise" in w.name)
    assert depthwise.shape == (8,)


def test_features_without_head_are_the_extractors():
    from edgeretrain.embed import make_extractor, run_extractor
    from edgeretrain.network import build_network, network_input

    backbone = load_starter(ModelSpec("025", 128))
    extractor = make_extractor(backbone)
    features = build_network(backbone, None)(network_input(backbone, pictures(128, 2)), training=False).numpy()
    codes = np.stack([np.frombuffer(run_extractor(extractor, p), np.uint8) for p in pictures(128, 2)])
    assert np.abs(features / extractor.scale - codes).mean() < 1.5


def converted_model(backbone, head):
    """What TFLiteConverter makes of the instrumented network."""
    import tensorflow as tf

    from edgeretrain.network import build_network

    converter = tf.lite.TFLiteConverter.from_keras_model(build_network(backbone, head))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return model_from_bytes(converter.convert(), "converted")


def test_converters_file_answers_as_the_written_one(shared):
    backbone = read_hosted(hosted_file(shared, "025").read_bytes(), "hosted")
    head = random_head(256)
    written = model_from_bytes(write_model(backbone, head), "written")
    converted = converted_model(backbone, head)
    assert len(written.data) < len(converted.data)
    apart, same = [], 0
    for path in sorted((shared / "data/flowers_small").glob("*/*.jpg"))[::50]:
        (pixels,) = load_pixels(path, [128])
        a, b = (model.predict(pixels) * 256 for model in (written, converted))
        apart.append(np.abs(a - b).max())
        same += int(a.argmax() == b.argmax())
    # The converter pools with MEAN, which XNNPACK rounds half to even: at 4 x 4 pixels a few features differ by one
    assert max(apart) <= 6
    assert np.mean(apart) <= 1
    assert same >= 19
