"""Ctrl-C gets through, even where Python swallows what is raised."""

import contextlib
import os
import signal

import pytest

from pipeline.terminal import Interruption


@pytest.fixture
def interruption():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    listening = Interruption()
    listening.listen()
    yield listening
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_raises_keyboard_interrupt(interruption, number):
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_second_signal_soon_after_does_not_disturb_the_tidying_up(interruption):
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


def test_interrupt_that_was_swallowed_is_raised_again(interruption):
    interruption.raise_if_lost()
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interruption.raise_if_lost()
