"""Notices: each is told by one delivery, in few messages, not too early and not too late, whatever comes in between."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from orchestrator.core.hooks import Notifier, RunEvent
from orchestrator.core.runs import Cause, RunState
from orchestrator.store import queries
from orchestrator.store.claims import ClaimedRun
from orchestrator.store.creation import create_runs
from orchestrator.store.database import sqlite_url
from orchestrator.store.notices import Channel, NewNotice, delivery_params, post
from orchestrator.store.store import Store
from orchestrator.store.tables import notices, runs
from tests.store.conftest import Ledger
from tests.store.test_indexes import executed, plans

SIZE = 5
WAIT = timedelta(seconds=30)


def ops(**fields: Any) -> Notifier:
    return Notifier(name="ops", size=SIZE, wait=WAIT, **fields)


def tell(ledger: Ledger, notifier: Notifier, *happened: tuple[int, str]) -> None:
    """Keep notices, by number and job, as the end of a run does."""
    run = ledger.new(notifier.delivery, cause=Cause.HOOK, params=delivery_params(notifier))
    channel = Channel(notifier=notifier, delivery=run)
    new = [
        NewNotice(channel=channel, event=RunEvent(kind="failure", job=job, at=ledger.now.isoformat(), run_id=number))
        for number, job in happened
    ]

    def write(connection: Any) -> None:
        if deliveries := post(connection, new, ledger.now):
            create_runs(connection, deliveries)

    ledger.store.write(write)


def messages(ledger: Ledger, owner: int) -> list[ClaimedRun]:
    return list(ledger.claim(owner).runs)


def pending(ledger: Ledger) -> list[Any]:
    wanted = queries.RunFilter(states=[RunState.QUEUED, RunState.SCHEDULED])
    return [run for run in ledger.store.read(queries.list_runs, wanted) if run.started_at is None]


def test_one_delivery_waits_for_more_and_goes_at_once_when_there_are_enough(ledger: Ledger) -> None:
    owner, notifier = ledger.engine(), ops()
    for number in range(SIZE - 1):
        tell(ledger, notifier, (number, "tidy"))
    (waiting,) = pending(ledger)
    assert waiting.due_at == ledger.now + WAIT
    assert messages(ledger, owner) == []
    tell(ledger, notifier, (SIZE, "tidy"))
    (message,) = messages(ledger, owner)
    assert message.params is not None
    assert (message.params["count"], len(message.params["events"])) == (SIZE, SIZE)
    assert pending(ledger) == []


def test_what_no_message_could_hold_goes_with_the_next(ledger: Ledger) -> None:
    owner = ledger.engine()
    tell(ledger, ops(), *((number, "tidy") for number in range(2 * SIZE + 1)))
    counts = []
    while found := messages(ledger, owner):
        counts += [run.params["count"] for run in found if run.params]
    assert counts == [SIZE, SIZE]
    assert [run.due_at for run in pending(ledger)] == [ledger.now + WAIT]


def test_telling_walks_through_no_history(ledger: Ledger) -> None:
    owner, notifier = ledger.engine(), ops(throttle=timedelta(minutes=5))
    for number in range(20):
        tell(ledger, notifier, (number, f"job-{number % 3}"))
    ledger.later(seconds=31)
    with executed(ledger) as statements:
        tell(ledger, notifier, (99, "job-1"))
        messages(ledger, owner)
        tell(ledger, notifier, (100, "job-1"))
    used = {index for _, table, index in plans(ledger, statements) if table == "notices"}
    assert used <= {"notices_open", "notices_taken", "notices_recent", "INTEGER PRIMARY KEY"}


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_laws_of_messages(data: st.DataObject) -> None:
    throttle = data.draw(st.sampled_from([None, timedelta(minutes=2)]))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(sqlite_url(Path(folder) / "state.db"))
        try:
            _live_through(Ledger(store), ops(throttle=throttle), data)
        finally:
            store.close()


def _live_through(ledger: Ledger, notifier: Notifier, data: st.DataObject) -> None:
    owner = ledger.engine()
    told_at: dict[int, datetime] = {}
    happened_at: dict[int, datetime] = {}
    sent: list[tuple[datetime, set[str], int]] = []
    for _ in range(data.draw(st.integers(1, 15))):
        count = data.draw(st.integers(0, 8))
        if count:
            some = [(len(happened_at) + k, data.draw(st.sampled_from(["a", "b"]))) for k in range(count)]
            happened_at |= {number: ledger.now for number, _ in some}
            tell(ledger, notifier, *some)
        if data.draw(st.booleans()):
            _deliver(ledger, owner, data.draw(st.booleans()), sent, told_at)
        assert len(pending(ledger)) <= 1
        ledger.later(seconds=data.draw(st.integers(0, 60)))
    for _ in range(60):
        _deliver(ledger, owner, False, sent, told_at)
        ledger.later(seconds=10)
    assert set(told_at) == set(happened_at)
    assert sum(count for _, _, count in sent) == len(happened_at)
    if notifier.throttle is None:
        assert all(count <= SIZE for _, _, count in sent)
    else:
        for job in ("a", "b"):
            instants = [at for at, jobs, _ in sent if job in jobs]
            assert all(later - at >= notifier.throttle for at, later in pairwise(instants))


def _deliver(
    ledger: Ledger, owner: int, fails: bool, sent: list[tuple[datetime, set[str], int]], told_at: dict[int, datetime]
) -> None:
    """Claim what is due and end it; one that fails is retried, and must tell the same."""
    taken = ledger.now
    for claimed in messages(ledger, owner):
        message = claimed
        assert message.params is not None
        numbers = _numbers(ledger, message.id)
        assert len(numbers) == message.params["count"]
        assert [event["run_id"] for event in message.params["events"]] == sorted(numbers)[:SIZE]
        assert not Counter(numbers) & Counter(told_at)
        told_at |= dict.fromkeys(numbers, taken)
        sent.append((taken, _jobs(ledger, message.id), len(numbers)))
        if fails:
            ledger.end(message, owner, RunState.SCHEDULED, due_at=ledger.now + timedelta(days=1))
            ledger.store.write(promote, message.id, ledger.now)
            again = ledger.take(owner, only_run=message.id)
            assert again.params == message.params
            message = again
        ledger.end(message, owner)


def promote(connection: Any, run_id: int, now: datetime) -> None:
    """A retry's pause is over."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(state="queued", due_at=now))


def _numbers(ledger: Ledger, delivery: int) -> list[int]:
    return [event["run_id"] for event in _events(ledger, delivery)]


def _jobs(ledger: Ledger, delivery: int) -> set[str]:
    return {event["job"] for event in _events(ledger, delivery)}


def _events(ledger: Ledger, delivery: int) -> list[dict[str, Any]]:
    statement = select(notices.c.event).where(notices.c.delivery_id == delivery)
    return ledger.store.read(lambda connection: list(connection.execute(statement).scalars()))
