"""The one door to TensorFlow: imported only when a module is read or a whole network is built."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

from edgeretrain.errors import EnvironmentFailure


def load_tensorflow() -> Any:
    """Import TensorFlow with Keras 2 (which tfmot needs) and its Python-side chatter held down; return the module.

    Raises EnvironmentFailure if Keras 3 was chosen in this process before, or TensorFlow cannot be imported.
    """
    if "tensorflow" not in sys.modules:
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    elif os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise EnvironmentFailure("TensorFlow was imported before edgeretrain: set TF_USE_LEGACY_KERAS=1 first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
            import tensorflow_hub  # noqa: F401  (its pkg_resources warning belongs in here)
    except ImportError as error:
        raise EnvironmentFailure(f"TensorFlow cannot be imported ({error}): install edgeretrain again") from error
    tf.get_logger().setLevel(logging.ERROR)
    return tf
