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
LAST_LOOK = timedelta(seconds=1)
"""A `wait_for` step looks for the last time so long before the end of its timeout, or a tenth of that if it is less."""
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
    if _is_look(held) and _saw_nothing(ended):
        return _next_look(held, ended)
    if _is_look(held) and _is_late(held, ended):
        return _unrecorded(held, RunState.FAILED, reason=LOOKED_REASON)
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


def _is_look(held: Held) -> bool:
    """Whether this was a look of a `wait_for` step."""
    step = held.job.step
    return step is not None and step.kind is StepKind.WAIT_FOR and not prepares(held)


def _saw_nothing(ended: Ended) -> bool:
    """Whether what it waits for isn't so yet; what is large is true."""
    return ended.outcome is Outcome.SUCCEEDED and not ended.result and ended.result_file is None


def _is_late(held: Held, ended: Ended) -> bool:
    """Whether an attempt was stopped by the deadline."""
    deadline_at = held.run.deadline_at
    return ended.outcome is Outcome.CANCELLED and deadline_at is not None and ended.finished_at >= deadline_at


def _next_look(held: Held, ended: Ended) -> Ending:
    """A look costs no attempt and leaves no record; there may be thousands."""
    assert held.job.step is not None  # noqa: S101 - it is a step's
    due_at = ended.finished_at + held.job.step.pause
    if (last := _last_look(held)) is not None:
        if ended.finished_at >= last:
            return _unrecorded(held, RunState.FAILED, reason=LOOKED_REASON)
        due_at = min(due_at, last)
    return _unrecorded(held, RunState.SCHEDULED, due_at=due_at, charged=False)


def _last_look(held: Held) -> datetime | None:
    """When it looks once more, however long its pauses are; it has to start, and to end, within its time."""
    if held.run.deadline_at is None:
        return None
    limit = held.job.deadline
    return held.run.deadline_at - (LAST_LOOK if limit is None else min(LAST_LOOK, limit / 10))


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
