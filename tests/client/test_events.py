"""Events: each once, in the order of its run, however seldom somebody looks and wherever a stream is taken up."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import AsyncClient, Client
from orchestrator.client.events import RunEvent
from orchestrator.client.stream import EventStream
from orchestrator.core.errors import RequestError
from orchestrator.core.flows import Step, StepKind
from orchestrator.core.runs import RunState
from orchestrator.store import forgetting, output
from orchestrator.store.activity import Scope
from orchestrator.store.database import sqlite_url
from orchestrator.store.flow_rows import NewFlow, NewStep, Templates
from orchestrator.store.store import Store
from tests.project import Project
from tests.store.conftest import NOON, Ledger

ClientOf = Callable[..., Client]


def stream(ledger: Ledger, since: Any = 0, **scope: Any) -> EventStream:
    return EventStream(lambda: ledger.store, Scope(**scope), since, follow=False)


def told(events: Any) -> dict[int, list[str]]:
    """What was told of each run."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for event in events:
        found[event.run_id].append(event.what.value)
    return dict(found)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    store = Store(sqlite_url(Path(tmp_path_factory.mktemp("events")) / "state.db"))
    yield Ledger(store)
    store.close()


@pytest.fixture
def ledger(shared: Ledger) -> Ledger:
    for table in ("runs", "attempts", "flows", "flow_steps"):
        shared.store.write(lambda connection, name=table: connection.exec_driver_sql(f"DELETE FROM {name}"))
    shared.store.write(lambda connection: connection.exec_driver_sql("UPDATE counters SET value = 0"))
    shared.now = NOON
    return shared


def test_a_life_in_one_look(ledger: Ledger) -> None:
    owner = ledger.engine()
    run_id = ledger.queued()
    ledger.later(seconds=1)
    first = ledger.take(owner)
    ledger.later(seconds=1)
    ledger.end(first, owner, RunState.SCHEDULED, due_at=ledger.now, reason="again")
    second = ledger.take(owner)
    mark = output.ProgressMark(run_id=run_id, attempt=second.attempt, done=3, total=7)
    ledger.store.write(output.mark_progress, owner, [mark])
    ledger.later(seconds=1)
    ledger.end(second, owner)
    events = list(stream(ledger))
    assert [event.what.value for event in events] == [
        *("created", "started", "retrying", "started", "progress", "succeeded"),
    ]
    assert [event.attempt for event in events] == [None, 1, 1, 2, 2, None]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert (events[4].done, events[4].total) == (3, 7)


def test_a_step_that_looks_again_and_again_has_started_once(ledger: Ledger) -> None:
    owner = ledger.engine()
    flow = ledger.queued("flow")
    whole = ledger.take(owner)
    step = NewStep(
        step=Step(name="w", job="flow/w", kind=StepKind.WAIT_FOR),
        templates=Templates(run=ledger.new("flow/w")),
    )
    ledger.end(whole, owner, RunState.WAITING, record=None, flow=NewFlow(steps=(step,)))
    following = EventStream(lambda: ledger.store, Scope(), flow, follow=True)

    def news() -> list[tuple[str, int | None]]:
        found = []
        while (event := following._next()) is not None:
            found.append((event.what.value, event.attempt))
        return found

    assert news() == [("created", None)]
    for expected in ([("started", 1)], [], []):
        look = ledger.take(owner)
        assert news() == expected
        again = {"record": None, "charged": False, "due_at": ledger.now}
        ledger.end(look, owner, RunState.SCHEDULED, **again)
        assert news() == []
    ledger.end(ledger.take(owner), owner, RunState.SCHEDULED, due_at=ledger.now, reason="a look failed")
    assert news() == [("retrying", 1)]
    ledger.later(seconds=1)
    last = ledger.take(owner)
    assert news() == [("started", 2)]
    ledger.end(last, owner)
    assert news() == [("succeeded", None)] * 2  # and the workflow has
    whole_life = [event.what.value for event in stream(ledger, flow)]
    assert whole_life == ["created", "started", "retrying", "started", "succeeded"]


def test_a_fire_that_was_skipped_is_one_event(ledger: Ledger) -> None:
    run_id = ledger.queued(skip_reason="the job is paused")
    (event,) = stream(ledger)
    assert (event.run_id, event.what.value, event.reason) == (run_id, "skipped", "the job is paused")


def test_a_stream_of_now_tells_of_unfinished_runs_what_comes(ledger: Ledger) -> None:
    owner = ledger.engine()
    running, waiting = ledger.running(owner), ledger.queued()
    following = EventStream(lambda: ledger.store, Scope(), None, follow=True)
    assert following._next() is None
    ledger.end(running, owner)
    ledger.end(ledger.take(owner), owner, RunState.FAILED, reason="no good")
    assert told(_all(following)) == {running.id: ["succeeded"], waiting: ["started", "failed"]}


def test_a_finished_run_that_is_retried_is_told_of_again(ledger: Ledger) -> None:
    owner = ledger.engine()
    following = stream(ledger)
    ledger.end(ledger.running(owner), owner, RunState.FAILED)
    assert told(_all(following)) == {1: ["created", "started", "failed"]}
    following._ended = False
    ledger.later(seconds=1)
    ledger.retry(1)
    ledger.end(ledger.take(owner), owner)
    assert told(_all(following)) == {}  # it had ended again when somebody looked: nothing shows that it was retried
    following._ended = False
    ledger.retry(1)
    assert told(_all(following)) == {1: ["retrying"]}
    following._ended = False
    ledger.end(ledger.take(owner), owner)
    assert told(_all(following)) == {1: ["started", "succeeded"]}


def test_an_attempt_that_never_began_is_told_of_as_given_back(ledger: Ledger) -> None:
    owner = ledger.engine()
    following = stream(ledger)
    run = ledger.running(owner)
    assert told(_all(following)) == {run.id: ["created", "started"]}
    ledger.settle(owner, ledger.ending(run, owner, RunState.QUEUED, record=None, charged=False))
    following._ended = False
    assert told(_all(following)) == {run.id: ["retrying"]}
    following._ended = False
    again = ledger.take(owner)
    ledger.settle(owner, ledger.ending(again, owner, RunState.QUEUED, record=None, charged=False))
    assert told(_all(following)) == {}
    assert not [mark for mark in following._begun().runs.values() if mark.ended < again.attempt]


def test_only_what_is_in_scope_is_told(ledger: Ledger) -> None:
    first, other, last = ledger.queued("a"), ledger.queued("b"), ledger.queued("a")
    assert told(stream(ledger, jobs=("a",))) == {first: ["created"], last: ["created"]}
    assert told(stream(ledger, None, run=other)) == {other: ["created"]}
    assert told(stream(ledger, first)) == {other: ["created"], last: ["created"]}


def test_since_an_instant_is_by_creation(ledger: Ledger) -> None:
    ledger.queued()
    ledger.later(seconds=10)
    second = ledger.queued()
    assert told(stream(ledger, ledger.now)) == {second: ["created"]}
    assert told(stream(ledger, ledger.now + timedelta(microseconds=1))) == {}


def test_history_that_was_deleted_in_between_is_passed_over(ledger: Ledger) -> None:
    following = stream(ledger)
    gone, kept = ledger.queued(), ledger.queued()
    _all(following)
    ledger.store.write(forgetting.delete_runs, [gone])
    following._ended = False
    ledger.cancel(kept)
    assert told(_all(following)) == {kept: ["cancelled"]}
    assert following._begun().runs == {}


def test_a_long_history_is_told_in_pieces(ledger: Ledger) -> None:
    ledger.create(*(ledger.new() for _ in range(2_500)))
    assert list(told(stream(ledger))) == list(range(1, 2_501))


@pytest.mark.parametrize("text", ["", "p1.", "p1.!!", "p9.kgCA", "yesterday"])
def test_what_is_no_position_is_refused(ledger: Ledger, text: str) -> None:
    with pytest.raises(RequestError, match="is not a position"):
        next(stream(ledger, text))


STEP = st.tuples(
    st.sampled_from(["new", "skip", "claim", "end", "fail", "progress", "cancel", "give_back"]), st.integers(0, 9)
)


@settings(max_examples=60, deadline=None)
@given(life=st.lists(st.tuples(STEP, st.sampled_from(["", "look", "take", "resume"])), max_size=40))
def test_looks_at_any_moments_tell_together_what_one_look_at_the_end_tells(shared: Ledger, life: Any) -> None:
    """`take` reads one event only, `resume` goes on with another stream from the position."""
    ledger = shared
    for table in ("runs", "attempts", "flows", "flow_steps"):
        ledger.store.write(lambda connection, name=table: connection.exec_driver_sql(f"DELETE FROM {name}"))
    ledger.now = NOON
    owner = ledger.engine()
    following = stream(ledger)
    pieces: list[RunEvent] = []
    held: list[Any] = []
    for (word, number), then in life:
        ledger.later(seconds=1)
        _live(ledger, owner, held, word, number)
        if then == "look":
            pieces += _all(following)
        elif then == "take" and (event := following._next()) is not None:
            pieces.append(event)
        elif then == "resume":
            following = stream(ledger, following.position)
        following._ended = False
    pieces += _all(following)
    whole = list(stream(ledger))
    assert _without_progress(pieces) == _without_progress(whole)
    created = [event.run_id for event in pieces if event.what.value == "created"]
    assert created == sorted(created)


def _without_progress(events: list[RunEvent]) -> dict[int, list[tuple[Any, ...]]]:
    """Progress is told as far as somebody looked while it was being made."""
    found: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for event in events:
        if event.what.value != "progress":
            found[event.run_id].append((event.what, event.attempt))
    return dict(found)


def _live(ledger: Ledger, owner: int, held: list[Any], word: str, number: int) -> None:
    if word == "new":
        ledger.queued()
    elif word == "skip":
        ledger.queued(skip_reason="the job is paused")
    elif word == "claim":
        held += ledger.claim(owner).runs[:1] if number % 2 else ledger.claim(owner).runs
    elif word == "cancel":
        waiting = [
            run_id for run_id, state in ledger.states().items() if state in (RunState.QUEUED, RunState.SCHEDULED)
        ]
        if waiting:
            ledger.cancel(waiting[number % len(waiting)])
    elif held:
        run = held.pop(number % len(held))
        if word == "progress":
            mark = output.ProgressMark(run_id=run.id, attempt=run.attempt, done=number, total=None)
            ledger.store.write(output.mark_progress, owner, [mark])
            held.append(run)
        elif word == "end":
            ledger.end(run, owner)
        elif word == "fail":
            ledger.end(run, owner, RunState.SCHEDULED, due_at=ledger.at(seconds=number))
        else:
            ledger.end(run, owner, RunState.QUEUED, charged=False)


def _all(following: EventStream) -> list[RunEvent]:
    events = []
    while (event := following._next()) is not None:
        events.append(event)
    return events


def test_with_an_engine_sync_and_async(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)

    async def listen(since: int) -> list[str]:
        async with AsyncClient(shop.folder) as other:
            ended: list[str] = []
            async for event in other.events(since):
                if event.what.value in ("succeeded", "failed"):
                    ended.append(event.what.value)
                    if len(ended) == 11:
                        break
            return ended

    with shop.engine():
        asked = [client.enqueue("add", {"a": n}) for n in range(10)]
        failed = client.enqueue("fail")
        one = [event.what.value for event in client.events(run=failed.id)]
        assert one == ["created", "started", "failed"]
        ended = asyncio.run(listen(asked[0].id - 1))
        assert sorted(ended) == ["failed"] + ["succeeded"] * 10
