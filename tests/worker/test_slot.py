"""The page of memory that a worker and the engine share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.worker.slot import REVOKE_PAUSE, Slot, new_file


@pytest.fixture
def slots() -> Iterator[tuple[Slot, Slot]]:
    """The engine's and the worker's view of one page."""
    fd = new_file(Slot.size(3))
    engine, worker = Slot(fd, 3), Slot(fd, 3)
    os.close(fd)
    yield engine, worker
    engine.close()
    worker.close()


def test_both_sides_see_what_began_and_when(slots: tuple[Slot, Slot]) -> None:
    engine, worker = slots
    assert not engine.begun(1, 5)
    before = time.monotonic()
    assert worker.begin(1, 5)
    assert engine.begun(1, 5)
    assert not engine.begun(1, 6)
    assert not engine.begun(0, 5)
    assert before - 0.001 <= engine.started(1) <= time.monotonic()


def test_an_attempt_is_heard_of_until_it_ends(slots: tuple[Slot, Slot]) -> None:
    engine, worker = slots
    worker.begin(1, 5)
    assert engine.heard(1) == engine.started(1)
    worker.beat(1, 5)
    assert engine.heard(1) > engine.started(1)
    worker.begin(1, 8)
    worker.beat(1, 5)
    assert engine.heard(1) == engine.started(1)


def test_a_revoked_assignment_is_claimed_but_never_begins(slots: tuple[Slot, Slot]) -> None:
    engine, worker = slots
    engine.revoke(2)
    assert not worker.begin(0, 2)
    assert engine.claimed(0) == 2
    assert not engine.begun(0, 2)
    assert worker.begin(0, 3)


def test_an_ask_is_for_one_attempt(slots: tuple[Slot, Slot]) -> None:
    engine, worker = slots
    engine.ask(2, 7)
    assert worker.was_asked(2, 7)
    assert not worker.was_asked(2, 8)
    assert not worker.was_asked(1, 7)


def test_the_engine_knows_whose_coroutine_holds_the_loop(slots: tuple[Slot, Slot]) -> None:
    engine, worker = slots
    assert engine.stepping() == (0, 0.0)
    worker.step(4)
    sequence, since = engine.stepping()
    assert sequence == 4
    assert 0 <= time.monotonic() - since < 60
    worker.step(0)
    assert engine.stepping()[0] == 0


def test_an_assignment_is_either_executed_or_returned_and_never_both(slots: tuple[Slot, Slot]) -> None:
    """The protocol under fire: a worker runs through assignments while they are revoked again and again."""
    engine, worker = slots
    count = 20_000
    executed: list[int] = []
    voided: list[int] = []

    def work() -> None:
        for sequence in range(1, count + 1):
            (executed if worker.begin(0, sequence) else voided).append(sequence)

    thread = threading.Thread(target=work)
    thread.start()
    returned: set[int] = set()
    while thread.is_alive():
        last = min(count, engine.claimed(0) + 50)
        engine.revoke(last)
        time.sleep(REVOKE_PAUSE)
        returned |= set(range(engine.claimed(0) + 1, last + 1))
    thread.join()
    assert not returned & set(executed)
    assert returned <= set(voided)
    assert sorted(executed + voided) == list(range(1, count + 1))
