"""Runs come to be once, with the state that their job's overlap policy gives them, together with their cursors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, select

from orchestrator.core.policies import Isolation, Overlap
from orchestrator.core.runs import Cause, RunState
from orchestrator.store import creation, queries
from orchestrator.store.creation import OVERLAP_REASON, REPLACED_REASON, CursorMove
from orchestrator.store.store import Store
from orchestrator.store.tables import counters, runs


def test_a_run_keeps_everything_it_was_created_with(ledger: Any) -> None:
    fields = {
        "queue": "mail",
        "priority": -3,
        "fire_time": ledger.at(seconds=-1),
        "params": {"to": "Zoë", "list": [1, 2.5, None, {"nested": True}]},
        "deadline_at": ledger.at(hours=1),
        "cause": Cause.CATCH_UP,
        "isolation": Isolation.ASYNC,
    }
    (created,) = ledger.create(ledger.new("send", **fields))
    run = ledger.run(created.id)
    assert (created.job, created.state) == ("send", RunState.QUEUED)
    assert {name: getattr(run, name) for name in fields if name != "isolation"} == {
        name: value for name, value in fields.items() if name != "isolation"
    }
    assert (run.created_at, run.due_at, run.attempt, run.uncharged, run.charged) == (ledger.now, ledger.now, 0, 0, 0)
    assert (run.owner, run.started_at, run.finished_at, run.reason, run.progress) == (None, None, None, None, None)
    assert run.cancel_requested is False


def test_what_is_due_later_is_scheduled(ledger: Any) -> None:
    now, later = ledger.create(ledger.new(), ledger.new(due_at=ledger.at(microseconds=1)))
    assert (now.state, later.state) == (RunState.QUEUED, RunState.SCHEDULED)


def test_a_fire_that_did_not_become_work_is_a_row_that_says_why(ledger: Any) -> None:
    (created,) = ledger.create(ledger.new(skip_reason="the job is paused", fire_time=ledger.now))
    run = ledger.run(created.id)
    assert (created.state, run.state, run.reason) == (RunState.SKIPPED, RunState.SKIPPED, "the job is paused")
    assert run.finished_at == ledger.now


@pytest.mark.parametrize("state", [RunState.WAITING, RunState.SCHEDULED, RunState.QUEUED, RunState.RUNNING])
def test_overlap_skip_records_a_fire_that_meets_an_unfinished_run(ledger: Any, state: RunState) -> None:
    ledger.in_state(state, ledger.engine())
    (created,) = ledger.create(ledger.new(overlap=Overlap.SKIP))
    assert ledger.run(created.id).reason == OVERLAP_REASON
    assert created.state is RunState.SKIPPED


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED])
def test_overlap_skip_lets_a_fire_pass_once_the_earlier_run_is_finished(ledger: Any, state: RunState) -> None:
    ledger.in_state(state, ledger.engine())
    (created,) = ledger.create(ledger.new(overlap=Overlap.SKIP))
    assert created.state is RunState.QUEUED


def test_overlap_skip_looks_at_its_own_job_only(ledger: Any) -> None:
    ledger.queued("other")
    (created,) = ledger.create(ledger.new(overlap=Overlap.SKIP))
    assert created.state is RunState.QUEUED


def test_of_several_fires_in_one_batch_overlap_skip_keeps_the_first(ledger: Any) -> None:
    fires = [ledger.new(overlap=Overlap.SKIP, fire_time=ledger.at(seconds=s)) for s in range(3)]
    states = [created.state for created in ledger.create(*fires)]
    assert states == [RunState.QUEUED, RunState.SKIPPED, RunState.SKIPPED]


def test_a_skipped_row_does_not_stand_in_the_way_of_the_next_fire_of_its_batch(ledger: Any) -> None:
    first = ledger.new(overlap=Overlap.SKIP, skip_reason="missed", fire_time=ledger.at(seconds=-9))
    second = ledger.new(overlap=Overlap.SKIP, fire_time=ledger.now)
    assert [created.state for created in ledger.create(first, second)] == [RunState.SKIPPED, RunState.QUEUED]


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE])
def test_overlap_allow_and_queue_create_every_run(ledger: Any, overlap: Overlap) -> None:
    ledger.running(ledger.engine())
    fires = [ledger.new(overlap=overlap, fire_time=ledger.at(seconds=s)) for s in range(3)]
    assert {created.state for created in ledger.create(*fires)} == {RunState.QUEUED}


def test_overlap_replace_cancels_what_waits_and_asks_what_runs_to_stop(ledger: Any) -> None:
    owner = ledger.engine()
    running = ledger.running(owner).id
    queued, scheduled = ledger.queued(), ledger.queued(due_at=ledger.at(hours=1))
    neighbour = ledger.queued("other")
    (created,) = ledger.create(ledger.new(overlap=Overlap.REPLACE))
    assert ledger.states() == {
        running: RunState.RUNNING,
        queued: RunState.CANCELLED,
        scheduled: RunState.CANCELLED,
        neighbour: RunState.QUEUED,
        created.id: RunState.QUEUED,
    }
    assert {ledger.run(run_id).reason for run_id in (running, queued, scheduled)} == {REPLACED_REASON}
    assert ledger.run(queued).finished_at == ledger.now
    assert ledger.run(running).cancel_requested
    (wish,) = ledger.claim(owner, capacity={}, listen=True).wishes.cancels
    assert wish == (running, 1, REPLACED_REASON)


def test_a_skipped_fire_replaces_nothing(ledger: Any) -> None:
    run_id = ledger.queued()
    ledger.create(ledger.new(overlap=Overlap.REPLACE, skip_reason="the job is paused"))
    assert ledger.run(run_id).state is RunState.QUEUED


def test_a_fire_that_another_engine_created_replaces_nothing(ledger: Any) -> None:
    run_id = ledger.queued(fire_time=ledger.now, overlap=Overlap.REPLACE)
    (created,) = ledger.create(ledger.new(fire_time=ledger.now, overlap=Overlap.REPLACE))
    assert created.id is None
    assert ledger.run(run_id).state is RunState.QUEUED


def test_of_several_fires_in_one_batch_overlap_replace_keeps_the_last(ledger: Any) -> None:
    fires = [ledger.new(overlap=Overlap.REPLACE, fire_time=ledger.at(seconds=s)) for s in range(3)]
    ids = [created.id for created in ledger.create(*fires)]
    assert [ledger.run(run_id).state for run_id in ids] == [RunState.CANCELLED, RunState.CANCELLED, RunState.QUEUED]


def test_two_engines_create_a_fire_once(ledger: Any) -> None:
    fire = ledger.new(fire_time=ledger.at(seconds=-2))
    (first,) = ledger.create(fire)
    (second,) = ledger.create(fire)
    assert first.id is not None
    assert (second.id, len(ledger.states())) == (None, 1)


def test_many_engines_at_once_create_each_fire_once(ledger: Any, store_url: str) -> None:
    fires = [ledger.new(f"job-{n % 7}", fire_time=ledger.at(seconds=n)) for n in range(100)]
    made: list[int] = []

    def fire_all() -> None:
        store = Store(store_url)
        for start in range(0, 100, 10):
            created = store.write(creation.create_runs, fires[start : start + 10])
            made.extend(one.id for one in created if one.id is not None)
        store.close()

    with ThreadPoolExecutor(4) as engines:
        for engine in [engines.submit(fire_all) for _ in range(4)]:
            engine.result()
    assert sorted(made) == sorted(ledger.states())
    assert len(made) == 100


def test_the_same_fire_twice_in_a_batch_gives_one_run(ledger: Any) -> None:
    fire = ledger.new(fire_time=ledger.now)
    first, second = ledger.create(fire, fire)
    assert (first.id is None, second.id) == (False, None)


def test_a_fire_that_was_skipped_is_not_fired_again(ledger: Any) -> None:
    ledger.queued(fire_time=ledger.now, skip_reason="the job is paused")
    (again,) = ledger.create(ledger.new(fire_time=ledger.now))
    assert again.id is None


def test_equal_fire_times_of_different_jobs_are_different_fires(ledger: Any) -> None:
    created = ledger.create(*(ledger.new(job, fire_time=ledger.now) for job in ("a", "b")))
    assert None not in [one.id for one in created]


def test_a_parent_has_one_run_of_each_follower(ledger: Any) -> None:
    parent = ledger.queued("parent")
    (first,) = ledger.create(ledger.new("child", parent_id=parent))
    same, other = ledger.create(ledger.new("child", parent_id=parent), ledger.new("other", parent_id=parent))
    assert (first.id is None, same.id, other.id is None) == (False, None, False)


def test_the_same_parent_twice_in_a_batch_gives_one_run(ledger: Any) -> None:
    parent = ledger.queued("parent")
    first, second = ledger.create(*[ledger.new("child", parent_id=parent)] * 2)
    assert (first.id is None, second.id) == (False, None)


def test_an_identifier_is_never_used_twice(ledger: Any) -> None:
    newest = ledger.queued()
    ledger.store.write(lambda connection: connection.execute(delete(runs)))
    assert ledger.queued() > newest


def test_what_fails_half_way_leaves_nothing_behind(ledger: Any) -> None:
    move = CursorMove(job="tidy", trigger="t", fire_time=ledger.now)
    good, bad = ledger.new(fire_time=ledger.now), ledger.new(params={"not JSON": object()})
    with pytest.raises(TypeError):
        ledger.create(good, bad, moves=(move,))
    assert ledger.states() == {}
    assert ledger.store.read(queries.read_cursors) == {}
    assert ledger.store.read(lambda connection: connection.execute(select(counters.c.value)).scalar()) == 0


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 501, 1203])
def test_a_batch_of_any_size_is_written_in_order(ledger: Any, count: int) -> None:
    created = ledger.create(*(ledger.new(f"job-{n}", params={"n": n}) for n in range(count)))
    ids = [one.id for one in created]
    assert ids == sorted(set(ids))
    found = ledger.store.read(queries.get_runs, ids)
    assert [(found[run_id].job, found[run_id].params) for run_id in ids] == [
        (f"job-{n}", {"n": n}) for n in range(count)
    ]


def test_cursors_move_with_the_runs_and_never_back(ledger: Any) -> None:
    def move(seconds: float) -> CursorMove:
        return CursorMove(job="tidy", trigger="t", fire_time=ledger.at(seconds=seconds))

    def cursor() -> Any:
        return ledger.store.read(queries.read_cursors)["tidy", "t"]

    ledger.create(ledger.new(), moves=(move(10),))
    assert cursor() == ledger.at(seconds=10)
    ledger.create(moves=(move(5),))
    assert cursor() == ledger.at(seconds=10)
    ledger.create(moves=(move(11), move(12), move(3)))
    assert cursor() == ledger.at(seconds=12)
