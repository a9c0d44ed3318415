import signal
import time

import pytest

from edgeretrain.interrupt import postponed


def wait_for_interrupt():
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        time.sleep(0.01)


def test_the_first_signal_is_noted_and_the_second_interrupts():
    with pytest.raises(KeyboardInterrupt), postponed() as came:
        assert not came()
        signal.raise_signal(signal.SIGTERM)
        assert came()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_second_signal_inside_a_finalizer_is_not_lost():
    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), postponed() as came:
        signal.raise_signal(signal.SIGINT)
        assert came()
        dying = Dying()
        del dying
        wait_for_interrupt()


def test_a_second_signal_that_somebody_catches_comes_again_and_not_after_the_end():
    with pytest.raises(KeyboardInterrupt), postponed():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        wait_for_interrupt()
    time.sleep(0.7)
