"""What people may ask of a run in each of its states, and of a job."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.runs import ACTIVE, Cause, Outcome, RunState
from orchestrator.store import claims, queries, requests
from orchestrator.store.creation import NewRun
from orchestrator.store.endings import CANCEL_REASON

FINISHED = sorted(set(RunState) - ACTIVE)


@pytest.mark.parametrize("state", [RunState.WAITING, RunState.SCHEDULED, RunState.QUEUED])
def test_cancelling_a_run_that_has_not_started_is_done_at_once(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    run_id = ledger.in_state(state, owner)
    ledger.later(seconds=3)
    assert ledger.cancel(run_id) is RunState.CANCELLED
    run = ledger.run(run_id)
    assert (run.state, run.reason, run.finished_at) == (RunState.CANCELLED, CANCEL_REASON, ledger.now)
    ledger.later(hours=2)
    assert ledger.claim(owner).runs == []


def test_cancelling_a_running_run_asks_its_engine(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    assert [ledger.cancel(run.id), ledger.cancel(run.id)] == [RunState.RUNNING, RunState.RUNNING]
    kept = ledger.run(run.id)
    assert (kept.state, kept.cancel_requested, kept.owner) == (RunState.RUNNING, True, owner)


def test_what_follows_a_run_follows_it_when_it_is_cancelled_before_it_started(ledger: Any) -> None:
    """Once, in the same transaction, and not for a run that is only asked to stop: its engine sees to that."""
    owner = ledger.engine()
    waiting, running = ledger.queued(), ledger.running(owner).id

    def followers(job: str) -> list[NewRun]:
        return [ledger.new("after", cause=Cause.AFTER)] if job == "tidy" else []

    for run_id in (waiting, running):
        ledger.store.write(requests.cancel, run_id, ledger.now, followers)
    with pytest.raises(ConflictError):
        ledger.store.write(requests.cancel, waiting, ledger.now, followers)
    (follower,) = ledger.store.read(queries.list_runs, queries.RunFilter(jobs=["after"]))
    assert (follower.parent_id, follower.cause, follower.state) == (waiting, Cause.AFTER, RunState.QUEUED)


def test_what_a_retried_run_comes_to_is_followed_as_its_first_end_was(ledger: Any) -> None:
    owner = ledger.engine()
    first = ledger.running(owner)
    after = ledger.new("after", cause=Cause.AFTER)
    ledger.settle(owner, ledger.ending(first, owner, RunState.FAILED, followers=(after,)))
    ledger.retry(first.id)
    (again,) = [run for run in ledger.claim(owner).runs if run.id == first.id]
    settled = ledger.settle(owner, ledger.ending(again, owner, followers=(after,)))
    assert len(settled.created) == 1
    followers = ledger.store.read(queries.list_runs, queries.RunFilter(jobs=["after"]))
    assert [run.parent_id for run in followers] == [first.id] * 2
    (late,) = ledger.create(ledger.new("after", cause=Cause.AFTER, parent_id=first.id))
    assert late.id is None


@pytest.mark.parametrize("state", FINISHED)
def test_a_finished_run_can_not_be_cancelled(ledger: Any, state: RunState) -> None:
    run_id = ledger.in_state(state, ledger.engine())
    before = ledger.run(run_id)
    with pytest.raises(ConflictError, match=f"run {run_id} is {state}"):
        ledger.cancel(run_id)
    assert ledger.run(run_id) == before


@pytest.mark.parametrize("state", FINISHED)
def test_retrying_a_finished_run_queues_it_with_all_attempts_ahead(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    run_id = ledger.in_state(state, owner)
    history = ledger.attempts(run_id)
    ledger.later(hours=1)
    ledger.retry(run_id)
    run = ledger.run(run_id)
    assert (run.state, run.due_at, run.finished_at, run.charged) == (RunState.QUEUED, ledger.now, None, 0)
    assert (run.reason, run.result, run.cancel_requested, run.deadline_at) == (None, None, False, None)
    claimed = ledger.take(owner)
    assert (claimed.id, claimed.attempt) == (run_id, len(history) + 1)
    ledger.end(claimed, owner)
    assert ledger.attempts(run_id) == [*history, (len(history) + 1, 1, Outcome.SUCCEEDED)]


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_an_unfinished_run_can_not_be_retried(ledger: Any, state: RunState) -> None:
    run_id = ledger.in_state(state, ledger.engine())
    before = ledger.run(run_id)
    with pytest.raises(ConflictError, match=f"run {run_id} is {state}"):
        ledger.retry(run_id)
    assert ledger.run(run_id) == before


def test_a_run_that_was_cancelled_while_running_can_be_retried_and_then_runs_to_its_end(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.cancel(run.id)
    ledger.end(run, owner, RunState.CANCELLED)
    ledger.retry(run.id)
    again = ledger.take(owner)
    assert ledger.end(again, owner, RunState.QUEUED).states == {run.id: RunState.QUEUED}


def test_a_retried_run_that_missed_its_deadline_may_run(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner, deadline_at=ledger.at(seconds=5))
    ledger.end(run, owner, RunState.FAILED)
    ledger.later(seconds=60)
    ledger.retry(run.id)
    assert ledger.take(owner).id == run.id


def test_a_run_that_does_not_exist_is_not_found(ledger: Any) -> None:
    for ask in (ledger.cancel, ledger.retry, ledger.run):
        with pytest.raises(NotFoundError, match="no run 77"):
            ask(77)


def test_pausing_and_resuming_say_whether_they_changed_anything(ledger: Any) -> None:
    since = ledger.now
    assert ledger.store.write(requests.pause, "tidy", since) is True
    ledger.later(seconds=1)
    assert ledger.store.write(requests.pause, "tidy", ledger.now) is False
    assert ledger.store.read(queries.paused_jobs) == {"tidy": since}
    assert ledger.store.write(requests.resume, "tidy", ledger.now) is True
    assert ledger.store.write(requests.resume, "tidy", ledger.now) is False
    assert ledger.store.read(queries.paused_jobs) == {}


def test_pausing_a_job_leaves_what_runs_alone(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.store.write(requests.pause, "tidy", ledger.now)
    assert ledger.run(run.id).cancel_requested is False
    assert ledger.end(run, owner).states == {run.id: RunState.SUCCEEDED}


def test_what_is_retried_has_as_long_as_the_first_time(ledger: Any) -> None:
    owner = ledger.engine()
    plain = ledger.queued(deadline_at=ledger.at(minutes=3))
    delayed = ledger.queued(due_at=ledger.at(minutes=9), deadline_at=ledger.at(minutes=12))
    endless = ledger.queued()
    ledger.later(minutes=12)
    assert {run.id for run in ledger.store.write(claims.expire, ledger.now)} == {plain, delayed}
    ledger.end(ledger.take(owner), owner, RunState.FAILED)
    for hours in (1, 2):
        ledger.later(hours=hours)
        for run_id in (plain, delayed, endless):
            ledger.retry(run_id)
        assert [ledger.run(run_id).deadline_at for run_id in (plain, delayed)] == [ledger.at(minutes=3)] * 2
        assert ledger.run(endless).deadline_at is None
        for run_id in (plain, delayed, endless):
            ledger.cancel(run_id)
