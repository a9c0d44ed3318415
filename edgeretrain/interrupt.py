"""A Ctrl-C that waits for the end of a training step."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_SECONDS = 0.05


@contextlib.contextmanager
def postponed() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C or SIGTERM came; only a second one interrupts at once.

    Outside the main thread, where Python allows no handlers, nothing is postponed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    def swallowed(what: Any) -> None:
        """Python drops exceptions in `__del__`, where TensorFlow spends some of its time: let it come once more."""
        if issubclass(what.exc_type, KeyboardInterrupt):
            threading.Timer(_AGAIN_SECONDS, signal.raise_signal, [signal.SIGINT]).start()
        else:
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, swallowed
    previous = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: came
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)
