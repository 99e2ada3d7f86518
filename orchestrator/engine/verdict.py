"""What becomes of a run when an attempt ends? The job's policies answer; nothing here has an effect."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import msgspec

from orchestrator.core.flows import StepKind
from orchestrator.core.plan import Job
from orchestrator.core.runs import Attempt, Outcome, RunState
from orchestrator.executors.contract import Ended
from orchestrator.store.claims import DEADLINE_REASON, ClaimedRun
from orchestrator.store.endings import Ending
from orchestrator.store.flow_rows import NewFlow
from orchestrator.store.flow_rules import CONDITION_REASON

LONGEST_PAUSE = timedelta(days=3650)
"""However long a callable asks to wait, the instant of the next attempt must be one that a calendar has."""
LOOKED_REASON = "what it waited for did not come true in time"
_NAMES = {
    Outcome.TIMED_OUT: ("TimeoutError",),
    Outcome.CRASHED: (),
}


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that this engine holds: the claim, the owner it was claimed for, and the job as it was then."""

    run: ClaimedRun
    owner: int
    job: Job
    members: tuple[tuple[int, int], ...] = ()
    """Run and attempt of each run of a batch, where this is the one that the batch is named after."""
    flow: NewFlow | None = None
    """The steps to begin with, if the job is a workflow."""

    @property
    def number(self) -> int:
        """Which attempt this is to a person: the first that counts is 1."""
        return self.run.attempt - self.run.uncharged


def prepares(held: Held) -> bool:
    """Whether this run of a step is the one that finds out what the others will be."""
    step, sight = held.job.step, held.run.sight
    return step is not None and step.prepares and (sight is None or sight.index is None)


def judge(held: Held, ended: Ended, rng: random.Random | None = None) -> Ending:
    """The run's next state. A released attempt costs nothing; a failed one retries as far as the policies allow.

    One that was interrupted after it had begun is not given back if its job is `at_most_once`: it fails.
    """
    if held.flow is not None and ended.outcome is Outcome.SUCCEEDED:
        return _unrecorded(held, RunState.WAITING, flow=held.flow)
    if _looks_again(held, ended):
        return _next_look(held, ended)
    state, due_at, reason = _next_state(held, ended, rng)
    return Ending(
        run_id=held.run.id,
        attempt=held.run.attempt,
        state=state,
        record=_record(held, ended),
        due_at=due_at,
        charged=ended.outcome is not Outcome.RELEASED or state is RunState.FAILED,
        reason=reason,
        result=ended.result if state is RunState.SUCCEEDED else None,
        result_file=ended.result_file if state is RunState.SUCCEEDED else None,
    )


def _next_state(held: Held, ended: Ended, rng: random.Random | None) -> tuple[RunState, datetime | None, str | None]:
    match ended.outcome:
        case Outcome.SUCCEEDED:
            return RunState.SUCCEEDED, None, None
        case Outcome.SKIPPED:
            return RunState.SKIPPED, None, CONDITION_REASON
        case Outcome.CANCELLED:
            return RunState.CANCELLED, None, ended.reason
        case Outcome.RELEASED if not (held.job.at_most_once and ended.started_at):
            return RunState.QUEUED, None, ended.reason
    failure = _failure(ended)
    if ended.started_at is None and ended.outcome is Outcome.FAILED:
        return RunState.FAILED, None, failure
    if refusal := _why_no_retry(held, ended):
        return RunState.FAILED, None, f"{failure} ({refusal})"
    due_at = ended.finished_at + _pause(held, ended, rng)
    if held.run.deadline_at is not None and due_at >= held.run.deadline_at:
        return RunState.FAILED, None, f"{failure} ({DEADLINE_REASON})"
    return RunState.SCHEDULED, due_at, failure


def _looks_again(held: Held, ended: Ended) -> bool:
    """Whether this was a look of a `wait_for` step, and what it waits for isn't so yet."""
    step = held.job.step
    if step is None or step.kind is not StepKind.WAIT_FOR or ended.outcome is not Outcome.SUCCEEDED:
        return False
    return not prepares(held) and not ended.result and ended.result_file is None  # what is large is true


def _next_look(held: Held, ended: Ended) -> Ending:
    """A look costs no attempt and leaves no record; there may be thousands."""
    assert held.job.step is not None  # noqa: S101 - it is a step's
    due_at = ended.finished_at + held.job.step.pause
    if held.run.deadline_at is not None and due_at >= held.run.deadline_at:
        return _unrecorded(held, RunState.FAILED, reason=LOOKED_REASON)
    return _unrecorded(held, RunState.SCHEDULED, due_at=due_at, charged=False)


def _unrecorded(held: Held, state: RunState, **fields: Any) -> Ending:
    return Ending(run_id=held.run.id, attempt=held.run.attempt, state=state, record=None, **fields)


def _failure(ended: Ended) -> str:
    if ended.reason is not None:
        return ended.reason
    if ended.error is None:
        return ended.outcome.value
    return f"{ended.error.type}: {ended.error.message}" if ended.error.message else ended.error.type


def _why_no_retry(held: Held, ended: Ended) -> str | None:
    retry = held.job.retry
    if ended.give_up:
        return "it gave up"
    if held.job.at_most_once:
        return "at_most_once: it is not tried again"
    if held.number >= retry.max_attempts:
        return f"attempt {held.number} of {retry.max_attempts}"
    names = _NAMES.get(ended.outcome, ended.error.names if ended.error else ())
    # A crash has no exception to name, and a callable that raised `Retry` has decided for itself.
    if ended.outcome is Outcome.CRASHED or ended.retry_after is not None or retry.covers(names):
        return None
    return "its retry policy leaves this exception out"


def _pause(held: Held, ended: Ended, rng: random.Random | None) -> timedelta:
    if ended.retry_after is not None:
        return _within_reason(ended.retry_after)
    return held.job.retry.pause(held.number, rng)


def _within_reason(seconds: float) -> timedelta:
    """The pause that a callable asked for. It may have said any number: less than none, no number at all, for ever."""
    if not seconds > 0:
        return timedelta(0)
    return timedelta(seconds=min(seconds, LONGEST_PAUSE.total_seconds()))


def _record(held: Held, ended: Ended) -> Attempt | None:
    if ended.started_at is None:
        return None
    return Attempt(
        run_id=held.run.id,
        attempt=held.run.attempt,
        number=held.number,
        outcome=ended.outcome,
        owner=held.owner,
        started_at=ended.started_at,
        finished_at=ended.finished_at,
        worker_pid=ended.worker_pid,
        error=ended.error,
    )
