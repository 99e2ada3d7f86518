"""Backfills in the store: each fire time once, at most so many at a time, whatever is killed or cancelled between."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from orchestrator.core.policies import Isolation, Overlap
from orchestrator.core.runs import Cause, RunState
from orchestrator.store import backfills
from orchestrator.store.backfills import Filled, fill
from orchestrator.store.batches import Batch, write_batch
from orchestrator.store.claims import ClaimedRun
from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store
from orchestrator.store.tables import backfill_runs
from orchestrator.store.tables import backfills as limits
from tests.store.conftest import Ledger


def new(ledger: Any, minute: int, job: str = "tidy") -> Any:
    at = ledger.now - timedelta(days=1) + timedelta(minutes=minute)
    return ledger.new(job, fire_time=at, cause=Cause.BACKFILL, priority=-1000)


def filled(ledger: Any, *minutes: int, **options: Any) -> list[Filled]:
    made: list[Filled] = ledger.store.write(fill, [new(ledger, minute) for minute in minutes], **options)
    return made


def in_states(ledger: Any, *wanted: RunState) -> list[int]:
    return [run_id for run_id, state in ledger.states().items() if state in wanted]


def test_a_second_backfill_of_the_same_fire_times_creates_none(ledger: Any) -> None:
    first = filled(ledger, 0, 1, 2)
    second = filled(ledger, 1, 2, 3)
    assert [one.before for one in first] == [None] * 3
    assert [one.run_id for one in second[:2]] == [one.run_id for one in first[1:]]
    assert second[2].before is None
    assert len(ledger.states()) == 4


def test_a_skipped_fire_time_keeps_its_row_unless_it_is_to_be_replaced(ledger: Any) -> None:
    (skipped,) = ledger.create(ledger.new(fire_time=new(ledger, 1).fire_time, skip_reason="missed"))
    assert ledger.run(skipped.id).state is RunState.SKIPPED
    (kept,) = filled(ledger, 1)
    assert (kept.run_id, kept.replaced, kept.before.state) == (skipped.id, False, RunState.SKIPPED)
    (again,) = filled(ledger, 1, replace_skipped=True)
    assert (again.run_id, again.replaced) == (skipped.id, True)
    run = ledger.run(skipped.id)
    assert (run.state, run.cause, run.reason, run.finished_at) == (RunState.QUEUED, Cause.BACKFILL, None, None)
    assert filled(ledger, 1, replace_skipped=True)[0].replaced is False


def test_live_runs_go_first(ledger: Any) -> None:
    filled(ledger, 0, 1)
    ledger.later(hours=1)
    live = ledger.queued("live")
    assert ledger.take(ledger.engine(), capacity={Isolation.PROCESS: 1}).id == live


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.REPLACE])
def test_a_backfill_takes_no_live_fires_place_and_none_takes_its(ledger: Any, overlap: Overlap) -> None:
    old = [one.run_id for one in filled(ledger, 0, 1)]
    (live,) = ledger.create(ledger.new(fire_time=ledger.now, overlap=overlap))
    assert live.state is RunState.QUEUED
    assert {ledger.states()[run_id] for run_id in old} == {RunState.QUEUED}


def test_only_so_many_go_at_once_and_an_end_lets_the_next_one_go(ledger: Any) -> None:
    owner = ledger.engine()
    filled(ledger, *range(5), max_parallel=2)
    done: list[int] = []
    while running := ledger.claim(owner).runs:
        assert len(running) <= 2
        assert not ledger.claim(owner).runs
        done += [run.id for run in running]
        ends = [ledger.ending(run, owner) for run in running]
        batch = Batch(owner=owner, endings=ends, ends_backfill=True)
        ledger.store.write(write_batch, batch, ledger.now)
    assert len(done) == len(set(done)) == 5
    assert left(ledger) == (0, 0)


def left(ledger: Any) -> tuple[int, int]:
    def count(connection: Any) -> tuple[int, int]:
        return tuple(connection.execute(select(func.count()).select_from(t)).scalar() for t in (limits, backfill_runs))

    found: tuple[int, int] = ledger.store.read(count)
    return found


def test_repeating_keeps_to_the_limit_that_is_in_force(ledger: Any) -> None:
    filled(ledger, 0, 1, 2, max_parallel=1)
    filled(ledger, 2, 3, 4)
    assert len(in_states(ledger, RunState.QUEUED)) == 1
    filled(ledger, 5, max_parallel=3)
    assert len(in_states(ledger, RunState.QUEUED)) == 3


def test_held_runs_that_are_cancelled_leave_the_line(ledger: Any) -> None:
    made = filled(ledger, 0, 1, 2, max_parallel=1)
    for one in made[:2]:
        ledger.cancel(one.run_id)
    assert ledger.store.write(backfills.admit, ledger.now) == 1
    assert in_states(ledger, RunState.QUEUED) == [made[2].run_id]


@pytest.mark.timeout(600)  # a law: how long its examples take is the machine's business
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_whatever_happens_in_whatever_order(data: st.DataObject) -> None:
    """Backfills that overlap, ends, cancellations and sweeps: each fire time gets one run, and never do more than the
    limit run at once."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(sqlite_url(Path(folder) / "state.db"))
        try:
            _live_through(Ledger(store), data)
        finally:
            store.close()


def _live_through(ledger: Ledger, data: st.DataObject) -> None:
    owner = ledger.engine()
    limit = data.draw(st.integers(1, 4))
    asked: set[datetime] = set()
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["fill", "end", "cancel", "sweep"])):
            case "fill":
                first, count = data.draw(st.integers(0, 20)), data.draw(st.integers(1, 8))
                some = [new(ledger, minute) for minute in range(first, first + count)]
                asked |= {run.fire_time for run in some}
                ledger.store.write(fill, some, max_parallel=limit)
            case "end":
                ledger.claim(owner)
                end(ledger, owner, data.draw(st.integers(0, 4)))
            case "cancel":
                for run_id in in_states(ledger, RunState.WAITING)[: data.draw(st.integers(0, 2))]:
                    ledger.cancel(run_id)
            case "sweep":
                ledger.store.write(backfills.admit, ledger.now)
        assert len(in_states(ledger, RunState.QUEUED, RunState.RUNNING)) <= limit
    while True:
        ledger.store.write(backfills.admit, ledger.now)
        if not ledger.claim(owner).runs and not in_states(ledger, RunState.RUNNING):
            break
        end(ledger, owner, 100)
    made = [ledger.run(run_id) for run_id in ledger.states()]
    assert sorted(run.fire_time for run in made if run.fire_time) == sorted(asked)
    assert all(run.state.finished for run in made)


def end(ledger: Ledger, owner: int, most: int) -> None:
    for run_id in in_states(ledger, RunState.RUNNING)[:most]:
        run = ledger.run(run_id)
        fields = {name: getattr(run, name) for name in ClaimedRun.__struct_fields__ if hasattr(run, name)}
        ledger.end(ClaimedRun(**fields), owner)
