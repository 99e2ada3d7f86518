"""What people ask of runs and jobs: cancel, retry, promote, reprioritise, pause, resume. Each is one transaction, and
fenced by the state that the run is in: what has changed meanwhile is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, Connection, case, delete, select, type_coerce, update
from sqlalchemy.sql.dml import Update

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.plan import DEFAULT_AGING
from orchestrator.core.runs import RunState
from orchestrator.store.bulk import MICROSECOND, micros
from orchestrator.store.chunks import chunked
from orchestrator.store.endings import CANCEL_REASON
from orchestrator.store.following import Followers, follow, nothing_follows
from orchestrator.store.states import CANCELLED, QUEUED, is_active, is_running, is_scheduled
from orchestrator.store.tables import pauses, runs, vigils
from orchestrator.store.upserts import insert_into

States = dict[int, RunState]
"""The runs for which something was done, with the states that they are left in."""


def cancel(connection: Connection, run_id: int, now: datetime, followers: Followers = nothing_follows) -> RunState:
    """Cancel a run: at once if it hasn't started, else by asking its engine. Gives the state that it is left in.

    `followers` gives the runs that the end of a run of a job fires; they are created with an end that is made here.
    Raises `NotFoundError`, or `ConflictError` for a run that is finished.
    """
    left_in = cancel_many(connection, [run_id], now, followers)
    if run_id not in left_in:
        raise ConflictError(f"run {run_id} is {state_of(connection, run_id)}: there is nothing to cancel")
    return left_in[run_id]


def cancel_many(
    connection: Connection, run_ids: Sequence[int], now: datetime, followers: Followers = nothing_follows
) -> States:
    """`cancel` for those of the runs that aren't finished."""
    stop = update(runs).where(is_active, ~is_running)
    stopped: dict[int, str] = {}
    for chunk in chunked(run_ids):
        stopping = stop.values(state=CANCELLED, finished_at=now, reason=CANCEL_REASON).where(runs.c.id.in_(chunk))
        stopped.update((run_id, job) for run_id, job in connection.execute(stopping.returning(runs.c.id, runs.c.job)))
    asked = update(runs).where(is_running).values(cancel_requested=True)
    left_in = dict.fromkeys(stopped, RunState.CANCELLED) | _apply(connection, asked, run_ids)
    follow(connection, stopped.items(), followers)
    return left_in


def retry(connection: Connection, run_id: int, now: datetime) -> None:
    """Queue a finished run again, with all its attempts ahead of it; its earlier attempts stay in the history.

    Raises `NotFoundError`, or `ConflictError` for a run that isn't finished.
    """
    if not retry_many(connection, [run_id], now):
        raise ConflictError(f"run {run_id} is {state_of(connection, run_id)}: only a finished run can be retried")


def retry_many(connection: Connection, run_ids: Sequence[int], now: datetime) -> States:
    """`retry` for those of the runs that are finished."""
    again = update(runs).where(~is_active)
    values = again.values(
        state=QUEUED,
        rank=_rank_due(now),
        due_at=now,
        finished_at=None,
        deadline_at=None,
        expires_at=None,
        cancel_requested=False,
        reason=None,
        result=None,
        uncharged=runs.c.attempt,
    )
    return _apply(connection, values, run_ids)


def promote(connection: Connection, run_ids: Sequence[int], now: datetime) -> States:
    """Make those of the runs that are scheduled due now: delayed ones, and those that wait to be tried again."""
    due = update(runs).where(is_scheduled).values(state=QUEUED, rank=_rank_due(now), due_at=now)
    return _apply(connection, due, run_ids)


def reprioritise(
    connection: Connection, run_ids: Sequence[int], priority: int, agings: Mapping[str, timedelta]
) -> States:
    """Give those of the runs that haven't started, or wait to be tried again, another priority. `agings` holds what a
    level of it weighs in each queue."""
    changed: States = {}
    asked = select(runs.c.queue).where(is_active, ~is_running).distinct()
    for chunk in chunked(run_ids):
        for queue in list(connection.execute(asked.where(runs.c.id.in_(chunk))).scalars()):
            weight = agings.get(queue, DEFAULT_AGING) // MICROSECOND
            rank = runs.c.rank - (priority - runs.c.priority) * weight
            waiting = update(runs).where(is_active, ~is_running, runs.c.queue == queue)
            changed |= _apply(connection, waiting.values(priority=priority, rank=rank), chunk)
    return changed


def _rank_due(now: datetime) -> ColumnElement[int]:
    """The rank of a run as it will be when it is due now: moved by as much as its due time is. Ranks in a queue that is
    `lifo` are negative: aging is too short to make others so."""
    later = micros(now) - type_coerce(runs.c.due_at, BigInteger)
    return case((runs.c.rank < 0, runs.c.rank - later), else_=runs.c.rank + later)


def _apply(connection: Connection, change: Update, run_ids: Sequence[int]) -> States:
    changed: States = {}
    for chunk in chunked(run_ids):
        found = connection.execute(change.where(runs.c.id.in_(chunk)).returning(runs.c.id, runs.c.state))
        changed.update((run_id, RunState(state)) for run_id, state in found)
    return changed


def pause(connection: Connection, job: str, now: datetime) -> bool:
    """Let nothing of the job start until it is resumed; its fires are recorded as skipped. False: it was paused."""
    insert = insert_into(pauses, connection.dialect).values(job=job, paused_at=now).on_conflict_do_nothing()
    return bool(connection.execute(insert).rowcount)


def resume(connection: Connection, job: str, now: datetime) -> bool:
    """Undo `pause`; for how long the job hasn't succeeded counts from now. False: it wasn't paused."""
    connection.execute(update(vigils).where(vigils.c.job == job).values(since=now))
    return bool(connection.execute(delete(pauses).where(pauses.c.job == job)).rowcount)


def state_of(connection: Connection, run_id: int) -> str:
    """The state of a run. Raises `NotFoundError`."""
    state: str | None = connection.execute(select(runs.c.state).where(runs.c.id == run_id)).scalar()
    if state is None:
        raise NotFoundError(f"there is no run {run_id}; `orchestrator runs` lists them")
    return state
