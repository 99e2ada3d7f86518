"""An attempt's end counts once, only for the attempt that runs and the engine that holds it, with all that follows."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import ErrorInfo, Outcome, RunState
from orchestrator.store import creation, output, queries
from orchestrator.store.endings import CANCEL_REASON
from orchestrator.store.output import SavedValue


def save(ledger: Any, owner: int, run: Any, value: Any) -> None:
    saved = [SavedValue(run_id=run.id, attempt=run.attempt, value=value)]
    ledger.store.write(output.save_checkpoints, owner, saved, ledger.now)


def test_a_success_is_kept_with_its_result_and_its_attempt(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.later(seconds=7)
    settled = ledger.end(run, owner, result={"rows": 3})
    kept = ledger.run(run.id)
    assert (settled.states, settled.created) == ({run.id: RunState.SUCCEEDED}, [])
    assert (kept.state, kept.result, kept.owner, kept.finished_at) == (
        *(RunState.SUCCEEDED, {"rows": 3}, None, ledger.now),
    )
    (attempt,) = ledger.store.read(queries.list_attempts, run.id)
    assert (attempt.outcome, attempt.owner, attempt.worker_pid) == (Outcome.SUCCEEDED, owner, 4711)
    assert (attempt.attempt, attempt.number, attempt.error) == (1, 1, None)


def test_an_error_is_kept_with_its_attempt(ledger: Any) -> None:
    from msgspec.structs import replace

    owner = ledger.engine()
    run = ledger.running(owner)
    ending = ledger.ending(run, owner, RunState.FAILED, reason="ValueError: no")
    error = ErrorInfo(type="ValueError", message="no\x00\U0001f600", traceback="line 1\nline 2", names=("ValueError",))
    ending.record = replace(ending.record, error=error)
    ledger.settle(owner, ending)
    (attempt,) = ledger.store.read(queries.list_attempts, run.id)
    assert (attempt.error, ledger.run(run.id).reason) == (error, "ValueError: no")


def test_a_failure_with_attempts_left_is_scheduled_and_charged(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, RunState.SCHEDULED, due_at=ledger.at(seconds=2), reason="ValueError: no")
    kept = ledger.run(run.id)
    assert (kept.state, kept.due_at, kept.finished_at, kept.owner) == (
        *(RunState.SCHEDULED, ledger.at(seconds=2), None, None),
    )
    assert (kept.attempt, kept.charged, kept.reason) == (1, 1, "ValueError: no")


def test_a_release_costs_nothing_and_spends_its_fence_number(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, RunState.QUEUED, charged=False)
    ledger.end(ledger.take(owner), owner, RunState.QUEUED, charged=False, record=None)
    third = ledger.take(owner)
    assert (third.attempt, third.uncharged) == (3, 2)
    ledger.end(third, owner)
    kept = ledger.run(run.id)
    assert (kept.attempt, kept.uncharged, kept.charged) == (3, 2, 1)
    assert ledger.attempts(run.id) == [(1, 1, Outcome.RELEASED), (3, 1, Outcome.SUCCEEDED)]


def test_a_released_run_keeps_its_place_in_the_line(ledger: Any) -> None:
    owner = ledger.engine()
    first, second = ledger.queued(), ledger.queued()
    ledger.end(ledger.take(owner, only_run=first), owner, RunState.QUEUED, charged=False, record=None)
    ledger.later(seconds=60)
    assert [run.id for run in ledger.claim(owner).runs] == [first, second]


def test_an_earlier_attempt_can_not_end_a_later_one(ledger: Any) -> None:
    owner = ledger.engine()
    stale = ledger.running(owner)
    ledger.end(stale, owner, RunState.QUEUED, charged=False)
    ledger.take(owner)
    assert ledger.end(stale, owner, result="late").states == {}
    kept = ledger.run(stale.id)
    assert (kept.state, kept.attempt, kept.result) == (RunState.RUNNING, 2, None)


def test_an_attempt_that_has_not_begun_can_not_end(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ending = ledger.ending(run, owner)
    ending.attempt = 2
    assert ledger.settle(owner, ending).states == {}


def test_another_engine_can_not_end_an_attempt(ledger: Any) -> None:
    one, other = ledger.engine(), ledger.engine()
    run = ledger.running(one)
    assert ledger.end(run, other).states == {}
    assert ledger.run(run.id).state is RunState.RUNNING
    assert ledger.attempts(run.id) == []


def test_an_ending_counts_once(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    assert ledger.end(run, owner, RunState.SUCCEEDED).states
    assert ledger.end(run, owner, RunState.FAILED).states == {}
    assert ledger.run(run.id).state is RunState.SUCCEEDED
    assert ledger.attempts(run.id) == [(1, 1, Outcome.SUCCEEDED)]


def test_the_same_attempt_twice_in_a_batch_ends_as_it_did_first(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.settle(owner, ledger.ending(run, owner), ledger.ending(run, owner, RunState.FAILED))
    assert ledger.attempts(run.id) == [(1, 1, Outcome.SUCCEEDED)]


def test_a_refused_ending_of_a_batch_does_not_hold_up_the_others(ledger: Any) -> None:
    owner = ledger.engine()
    gone, good = ledger.running(owner), ledger.running(owner)
    ledger.end(gone, owner)
    settled = ledger.settle(owner, ledger.ending(gone, owner, RunState.FAILED), ledger.ending(good, owner))
    assert settled.states == {good.id: RunState.SUCCEEDED}


def test_hundreds_of_endings_are_one_batch(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.create(*[ledger.new()] * 1203)
    runs = ledger.claim(owner, capacity={Isolation.PROCESS: 2000}).runs
    settled = ledger.settle(owner, *(ledger.ending(run, owner, result=run.id) for run in runs))
    assert len(settled.states) == 1203
    found = ledger.store.read(queries.get_runs, list(settled.states))
    assert {run_id: run.result for run_id, run in found.items()} == {run_id: run_id for run_id in settled.states}


def test_nothing_is_settled_by_an_empty_batch(ledger: Any) -> None:
    assert ledger.settle(ledger.engine()).states == {}


@pytest.mark.parametrize("state", [RunState.SCHEDULED, RunState.QUEUED])
def test_a_run_that_was_cancelled_meanwhile_does_not_start_again(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    assert ledger.cancel(run.id) is RunState.RUNNING
    fields = {"due_at": ledger.at(seconds=9), "followers": (ledger.new("child"),), "reason": "ValueError: x"}
    settled = ledger.end(run, owner, state, **fields)
    kept = ledger.run(run.id)
    assert settled.states == {run.id: RunState.CANCELLED}
    assert (kept.state, kept.finished_at) == (RunState.CANCELLED, ledger.now)
    assert kept.reason == f"{CANCEL_REASON} (ValueError: x)"
    assert [one.job for one in settled.created] == ["child"]


@pytest.mark.parametrize("state", [RunState.SCHEDULED, RunState.QUEUED])
def test_what_follows_a_cancelled_run_does_not_follow_one_that_starts_again(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    assert ledger.end(run, owner, state, followers=(ledger.new("child"),)).created == []


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED])
def test_a_run_that_ended_before_it_was_stopped_ended_as_it_did(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.cancel(run.id)
    assert ledger.end(run, owner, state).states == {run.id: state}


def test_followers_are_created_once_and_know_their_parent(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    followers = (ledger.new("child"), ledger.new("other", due_at=ledger.at(seconds=5)))
    created = ledger.end(run, owner, followers=followers).created
    assert [(one.job, one.state) for one in created] == [("child", RunState.QUEUED), ("other", RunState.SCHEDULED)]
    assert {ledger.run(one.id).parent_id for one in created} == {run.id}
    assert ledger.end(run, owner, followers=followers).created == []
    assert len(ledger.states()) == 3


def test_followers_wait_for_the_last_attempt(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    assert ledger.end(run, owner, RunState.QUEUED, followers=(ledger.new("child"),)).created == []


def test_a_job_that_follows_both_the_success_and_the_end_of_another_follows_once(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, followers=(ledger.new("child"), ledger.new("child")))
    assert len(ledger.states()) == 2


def test_an_end_and_its_followers_are_one_transaction(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    save(ledger, owner, run, 1)
    with pytest.raises(TypeError):
        ledger.end(run, owner, followers=(ledger.new("child"), ledger.new("bad", params={"no": object()})))
    assert ledger.states() == {run.id: RunState.RUNNING}
    assert ledger.attempts(run.id) == []
    monkeypatch.setattr("orchestrator.store.endings.create_runs", _die)
    with pytest.raises(RuntimeError):
        ledger.end(run, owner, followers=(ledger.new("child"),))
    assert ledger.states() == {run.id: RunState.RUNNING}


def _die(*_: Any) -> None:
    raise RuntimeError("between an end and its followers")


def test_a_success_drops_the_checkpoint_and_nothing_else_does(ledger: Any) -> None:
    owner = ledger.engine()
    run, other = ledger.running(owner), ledger.running(owner)
    save(ledger, owner, run, 1)
    save(ledger, owner, other, 2)
    ledger.end(run, owner, RunState.FAILED)
    ledger.retry(run.id)
    again = ledger.take(owner)
    assert again.checkpoint == 1
    ledger.end(again, owner)
    ledger.retry(run.id)
    assert ledger.take(owner).checkpoint is None
    ledger.end(other, owner, RunState.QUEUED)
    assert ledger.take(owner).checkpoint == 2


def test_the_end_of_one_follower_fires_the_next(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    for _ in range(3):
        (child,) = ledger.end(run, owner, followers=(ledger.new("child"),)).created
        run = ledger.take(owner)
        assert (run.id, ledger.run(run.id).parent_id) == (child.id, child.id - 1)


def test_ids_of_followers_are_not_those_of_another_batch(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, followers=tuple(ledger.new(f"child-{n}") for n in range(60)))
    (created,) = ledger.store.write(creation.create_runs, [ledger.new()])
    assert created.id == max(ledger.states())
