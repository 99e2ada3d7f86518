"""A key belongs to one run: exactly as long as its policy says, however many ask for it at the same time."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from orchestrator.core.policies import Isolation, OnConflict, Overlap
from orchestrator.core.runs import Cause, RunState
from orchestrator.store import creation
from orchestrator.store.database import sqlite_url
from orchestrator.store.grabs import Grab
from orchestrator.store.store import Store
from tests.store.conftest import NOON, Ledger

IGNORE, REPLACE, EXTEND = OnConflict.IGNORE, OnConflict.REPLACE, OnConflict.EXTEND


def keyed(ledger: Any, key: str = "k", on: OnConflict = IGNORE, window: float | None = None, **fields: Any) -> Any:
    until = None if window is None else ledger.at(seconds=window)
    return ledger.new(**{"unique_key": key, "on_conflict": on, "unique_until": until, **fields})


@pytest.mark.parametrize("state", [RunState.SCHEDULED, RunState.QUEUED, RunState.RUNNING, RunState.WAITING])
def test_while_a_run_is_unfinished_another_of_its_key_is_not_created(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    (first,) = ledger.create(keyed(ledger, due_at=ledger.at(hours=state is RunState.SCHEDULED)))
    if state is RunState.RUNNING:
        ledger.take(owner)
    elif state is RunState.WAITING:
        ledger.store.write(lambda c: c.exec_driver_sql("UPDATE runs SET state = 'waiting'"))
    (again,) = ledger.create(keyed(ledger))
    assert (again.id, again.duplicate, again.state) == (first.id, True, state)
    assert list(ledger.states()) == [first.id]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED])
def test_a_finished_run_gives_its_key_back(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    ledger.create(keyed(ledger))
    ledger.end(ledger.take(owner), owner, state)
    (again,) = ledger.create(keyed(ledger))
    assert (again.duplicate, again.state) == (False, RunState.QUEUED)


def test_with_a_window_a_run_holds_its_key_to_the_microsecond_finished_or_not(ledger: Any) -> None:
    owner = ledger.engine()
    (first,) = ledger.create(keyed(ledger, window=60))
    ledger.end(ledger.take(owner), owner)
    ledger.later(seconds=59, microseconds=999_999)
    (held,) = ledger.create(keyed(ledger, window=60))
    assert (held.id, held.duplicate, held.state) == (first.id, True, RunState.SUCCEEDED)
    ledger.later(microseconds=1)
    (free,) = ledger.create(keyed(ledger, window=60))
    assert not free.duplicate


def test_after_its_window_even_an_unfinished_run_holds_nothing(ledger: Any) -> None:
    ledger.create(keyed(ledger, window=60))
    ledger.later(seconds=60)
    (second,) = ledger.create(keyed(ledger, window=60))
    assert not second.duplicate


@pytest.mark.parametrize("window", [None, 60])
def test_a_run_that_was_cancelled_or_skipped_holds_nothing(ledger: Any, window: float | None) -> None:
    (first,) = ledger.create(keyed(ledger, window=window))
    ledger.cancel(first.id)
    (second,) = ledger.create(keyed(ledger, window=window, skip_reason="the job is paused"))
    assert second.state is RunState.SKIPPED
    (third,) = ledger.create(keyed(ledger, window=window))
    assert third.state is RunState.QUEUED


def test_keys_are_their_jobs_own_and_no_key_is_no_ones(ledger: Any) -> None:
    ledger.create(keyed(ledger))
    others = (keyed(ledger, job="other"), keyed(ledger, key="l"), ledger.new(), ledger.new())
    assert not any(one.duplicate for one in ledger.create(*others))


def test_replace_cancels_the_one_that_waits_and_says_which_took_its_place(ledger: Any) -> None:
    (first,) = ledger.create(keyed(ledger, on=REPLACE, window=60, due_at=ledger.at(seconds=10)))
    ledger.later(seconds=5)
    (second,) = ledger.create(keyed(ledger, on=REPLACE, window=60, due_at=ledger.at(seconds=10)))
    old, new = ledger.run(first.id), ledger.run(second.id)
    assert (old.state, old.finished_at) == (RunState.CANCELLED, ledger.now)
    assert f"run {second.id} " in (old.reason or "")
    assert (new.state, new.due_at) == (RunState.SCHEDULED, ledger.at(seconds=10))


def test_replace_leaves_what_runs_and_what_is_finished_and_creates_the_newer(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.create(keyed(ledger, on=REPLACE, window=60))
    finished = ledger.take(owner)
    ledger.end(finished, owner)
    ledger.create(keyed(ledger, on=REPLACE, window=60))
    running = ledger.take(owner)
    (third,) = ledger.create(keyed(ledger, on=REPLACE, window=60))
    assert ledger.states() == {
        finished.id: RunState.SUCCEEDED,
        running.id: RunState.RUNNING,
        third.id: RunState.QUEUED,
    }
    assert not ledger.run(running.id).cancel_requested


def test_extend_starts_the_window_again(ledger: Any) -> None:
    (first,) = ledger.create(keyed(ledger, on=EXTEND, window=60))
    for _ in range(3):
        ledger.later(seconds=59)
        (again,) = ledger.create(keyed(ledger, on=EXTEND, window=60))
        assert (again.id, again.duplicate) == (first.id, True)
    ledger.later(seconds=60)
    (free,) = ledger.create(keyed(ledger, on=EXTEND, window=60))
    assert not free.duplicate


def test_a_fire_that_is_a_duplicate_leaves_a_row_that_says_so(ledger: Any) -> None:
    (first,) = ledger.create(keyed(ledger))
    fire = keyed(ledger, cause=Cause.FIRE, fire_time=ledger.now)
    (skipped, manual) = ledger.create(fire, keyed(ledger))
    run = ledger.run(skipped.id)
    assert (skipped.state, skipped.duplicate, run.state) == (RunState.SKIPPED, False, RunState.SKIPPED)
    assert f"run {first.id} " in (run.reason or "")
    assert skipped.reason == run.reason
    assert (manual.id, manual.duplicate) == (first.id, True)


def test_of_one_batch_the_first_is_created_or_with_replace_the_last(ledger: Any) -> None:
    first, same, other = ledger.create(keyed(ledger), keyed(ledger), keyed(ledger, key="l"))
    assert (same.id, same.duplicate, same.state) == (first.id, True, RunState.QUEUED)
    assert sorted(ledger.states()) == [first.id, other.id]
    made = ledger.create(*(keyed(ledger, key="r", on=REPLACE, window=9) for _ in range(3)))
    states = [ledger.run(one.id).state for one in made]
    assert states == [RunState.CANCELLED, RunState.CANCELLED, RunState.QUEUED]
    assert [one.state for one in made] == states


def test_extend_counts_within_a_batch(ledger: Any) -> None:
    later = {"created_at": ledger.at(seconds=30), "unique_until": ledger.at(seconds=90)}
    first, second = ledger.create(keyed(ledger, on=EXTEND, window=60), keyed(ledger, on=EXTEND, **later))
    assert (second.id, second.duplicate) == (first.id, True)
    ledger.later(seconds=89)
    assert ledger.create(keyed(ledger, on=EXTEND, window=60))[0].duplicate


def test_what_overlap_replace_has_cancelled_holds_no_key(ledger: Any) -> None:
    (old,) = ledger.create(keyed(ledger, key="a"))
    fires = [
        keyed(ledger, key=key, overlap=Overlap.REPLACE, cause=Cause.FIRE, fire_time=ledger.at(seconds=n))
        for n, key in enumerate("bca")
    ]
    made = ledger.create(*fires)
    assert ledger.run(old.id).state is RunState.CANCELLED
    assert [one.state for one in made] == [RunState.CANCELLED, RunState.CANCELLED, RunState.QUEUED]


def test_a_duplicate_is_not_started_with_its_batch(ledger: Any) -> None:
    owner = ledger.engine()
    grab = Grab(owner=owner, now=ledger.now, capacity={Isolation.PROCESS: 9}, queue_limits={})
    fires = [keyed(ledger, key=key, cause=Cause.FIRE, fire_time=ledger.at(seconds=n)) for n, key in enumerate("aab")]
    made = ledger.store.write(creation.create_runs, fires, (), grab)
    assert Counter(one.state for one in made) == {RunState.RUNNING: 1, RunState.SKIPPED: 1, RunState.QUEUED: 1}
    assert [one.owner for one in made if one.state is not RunState.RUNNING] == [None, None]


def test_a_batch_without_keys_asks_nothing_about_them(ledger: Any) -> None:
    statements: list[str] = []
    event.listen(ledger.store.database.writing, "before_cursor_execute", lambda _c, _k, sql, *_: statements.append(sql))
    ledger.create(ledger.new(), ledger.new("other"))
    assert not [sql for sql in statements if "unique_key" in sql and sql.startswith(("SELECT", "UPDATE"))]


def test_ten_thousand_keys_in_one_batch(ledger: Any) -> None:
    ledger.create(*(keyed(ledger, key=str(n), on=REPLACE, window=60) for n in range(0, 10_000, 2)))
    made = ledger.create(*(keyed(ledger, key=str(n), on=REPLACE, window=60) for n in range(10_000)))
    assert Counter(ledger.states().values()) == {RunState.CANCELLED: 5_000, RunState.QUEUED: 10_000}
    assert not any(one.duplicate for one in made)


ASKER = """
import sys
from datetime import UTC, datetime
from orchestrator.core.runs import Cause
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store
store = Store(sys.argv[1])
sys.stdin.readline()
for number in range(60):
    now = datetime.now(UTC)
    run = NewRun(job="tidy", cause=Cause.MANUAL, created_at=now, due_at=now, unique_key=f"key-{number % 20}")
    (made,) = store.write(create_runs, [run])
    print(made.id, made.duplicate, flush=True)
store.close()
"""


def test_processes_that_ask_at_the_same_time_get_one_run_for_each_key(ledger: Any, store_url: str) -> None:
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = [asker.communicate("go\n")[0].split() for asker in askers]
    made = [
        (int(one), told == "True") for answer in answers for one, told in zip(answer[::2], answer[1::2], strict=True)
    ]
    assert len(made) == 180
    created = [one for one, duplicate in made if not duplicate]
    assert sorted(created) == sorted(ledger.states())
    assert len(created) == 20
    assert {one for one, _ in made} == set(created)


class Model:
    """What the documentation says, run by run, for one key."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    def ask(self, at: float, on: OnConflict, window: float | None) -> int | None:
        """Gives the position of the run that has the key, or None where a new one is created."""
        until = None if window is None else at + window
        holding = [
            position
            for position, run in enumerate(self.runs)
            if run["state"] != "cancelled"
            and (run["until"] > at if run["until"] is not None else run["state"] != "done")
        ]
        if holding and on is not REPLACE:
            if on is EXTEND and until is not None:
                newest = self.runs[holding[-1]]
                newest["until"] = max(until, newest["until"] or until)
            return holding[-1]
        for position in holding:
            if self.runs[position]["state"] == "waits":
                self.runs[position]["state"] = "cancelled"
        self.runs.append({"state": "waits", "until": until})
        return None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    store = Store(sqlite_url(Path(tmp_path_factory.mktemp("uniqueness")) / "state.db"))
    yield Ledger(store)
    store.close()


ASK = st.tuples(
    st.just("ask"), st.sampled_from([IGNORE, REPLACE, EXTEND]), st.sampled_from([None, 1, 2, 5]), st.integers(1, 3)
)
STEP = st.one_of(ASK, st.sampled_from([("start",), ("finish",), ("pass", 0.5), ("pass", 1), ("pass", 1.000001)]))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_the_store_keeps_keys_exactly_as_the_model_does(shared: Ledger, steps: list[Any]) -> None:
    """One key; some asks come several in a batch."""
    ledger, model, ids = shared, Model(), list[int]()
    shared.now = NOON
    shared.store.write(lambda connection: connection.exec_driver_sql("DELETE FROM runs"))
    owner = ledger.engine()
    claimed: dict[int, Any] = {}
    for step in steps:
        at = (ledger.now - NOON).total_seconds()
        waiting = [n for n, run in enumerate(model.runs) if run["state"] == "waits"]
        running = [n for n, run in enumerate(model.runs) if run["state"] == "runs"]
        if step[0] == "ask":
            _, on, window, count = step
            expected = [model.ask(at, on, window) for _ in range(count)]
            made = ledger.create(*(keyed(ledger, on=on, window=window) for _ in range(count)))
            for answer, one in zip(expected, made, strict=True):
                assert one.duplicate is (answer is not None)
                if answer is None:
                    ids.append(one.id or 0)
                else:
                    assert one.id == ids[answer]
        elif step[0] == "start" and waiting:
            claimed[waiting[0]] = ledger.take(owner, only_run=ids[waiting[0]])
            model.runs[waiting[0]]["state"] = "runs"
        elif step[0] == "finish" and running:
            ledger.end(claimed[running[0]], owner)
            model.runs[running[0]]["state"] = "done"
        elif step[0] == "pass":
            ledger.now = _later(ledger.now, step[1])
    words = {"queued": "waits", "running": "runs", "succeeded": "done", "cancelled": "cancelled"}
    found = ledger.states()
    assert [words[found[run_id].value] for run_id in ids] == [run["state"] for run in model.runs]
    assert sorted(found) == sorted(ids)


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
