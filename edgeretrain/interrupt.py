"""A Ctrl-C that waits for the end of a training step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_SECONDS = 0.5


@contextlib.contextmanager
def postponed() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C or SIGTERM came; only a second one interrupts at once.

    Outside the main thread, where Python allows no handlers, nothing is postponed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = False
    again: list[threading.Timer] = []

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            # it may be raised where Python or TensorFlow drop exceptions, in a finalizer or a callback: come once more
            again.append(threading.Timer(_AGAIN_SECONDS, signal.raise_signal, [number]))
            again[-1].daemon = True
            again[-1].start()
            raise KeyboardInterrupt
        came = True

    previous = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: came
    finally:
        for timer in again:
            timer.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)
