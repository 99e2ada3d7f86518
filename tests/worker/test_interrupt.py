"""When the main thread is interrupted, and when it isn't."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from orchestrator.worker.interrupt import ASK_SIGNAL, Interrupt, Stopped
from orchestrator.worker.slot import Slot, new_file


@pytest.fixture
def asked() -> Iterator[tuple[Slot, Interrupt]]:
    fd = new_file(Slot.size(1))
    slot = Slot(fd, 1)
    os.close(fd)
    interrupt = Interrupt(slot)
    before = signal.signal(ASK_SIGNAL, interrupt._on_signal)
    yield slot, interrupt
    signal.signal(ASK_SIGNAL, before)


def nudge() -> None:
    os.kill(os.getpid(), ASK_SIGNAL)


def test_an_armed_attempt_is_stopped_once(asked: tuple[Slot, Interrupt]) -> None:
    slot, interrupt = asked
    tidied = []
    with pytest.raises(Stopped), interrupt.during(0, 1):  # noqa: PT012
        try:
            slot.ask(0, 1)
            nudge()
        finally:
            nudge()
            tidied.append(1)
    assert tidied == [1]
    assert interrupt.fired


def test_an_ask_before_the_start_stops_it_at_once(asked: tuple[Slot, Interrupt]) -> None:
    slot, interrupt = asked
    slot.ask(0, 5)
    with pytest.raises(Stopped), interrupt.during(0, 5):
        pytest.fail("it began")


def test_signals_between_attempts_and_for_others_do_nothing(asked: tuple[Slot, Interrupt]) -> None:
    slot, interrupt = asked
    slot.ask(0, 1)
    nudge()
    with interrupt.during(0, 2):
        nudge()
    nudge()
    assert not interrupt.fired


def test_what_is_held_off_arrives_at_the_end(asked: tuple[Slot, Interrupt]) -> None:
    slot, interrupt = asked
    reached = []
    with pytest.raises(Stopped), interrupt.during(0, 1):  # noqa: PT012
        with interrupt.held_off():
            with interrupt.held_off():
                slot.ask(0, 1)
                nudge()
                reached.append("inner")
            reached.append("outer")
        reached.append("after")
    assert reached == ["inner", "outer"]
