"""What people ask of runs and jobs: cancel, retry, pause, resume. Each is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select, update

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.runs import RunState
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.endings import CANCEL_REASON
from orchestrator.store.states import CANCELLED, QUEUED, is_active, is_running
from orchestrator.store.tables import pauses, runs, vigils
from orchestrator.store.upserts import insert_into


def cancel(
    connection: Connection, run_id: int, now: datetime, followers: Callable[[str], Sequence[NewRun]] = lambda _: ()
) -> RunState:
    """Cancel a run: at once if it hasn't started, else by asking its engine. Gives the state that it is left in.

    `followers` gives the runs that the end of a run of a job fires; they are created with an end that is made here.
    Raises `NotFoundError`, or `ConflictError` for a run that is finished.
    """
    ours = runs.c.id == run_id
    stopped = connection.execute(
        update(runs)
        .where(ours, is_active, ~is_running)
        .values(state=CANCELLED, finished_at=now, reason=CANCEL_REASON)
        .returning(runs.c.job)
    ).first()
    if stopped is not None:
        if following := followers(stopped.job):
            create_runs(connection, [msgspec.structs.replace(run, parent_id=run_id) for run in following])
        return RunState.CANCELLED
    asked = connection.execute(update(runs).where(ours, is_running).values(cancel_requested=True))
    if asked.rowcount:
        return RunState.RUNNING
    raise ConflictError(f"run {run_id} is {_state_of(connection, run_id)}: there is nothing to cancel")


def retry(connection: Connection, run_id: int, now: datetime) -> None:
    """Queue a finished run again, with all its attempts ahead of it; its earlier attempts stay in the history.

    Raises `NotFoundError`, or `ConflictError` for a run that isn't finished.
    """
    again = connection.execute(
        update(runs)
        .where(runs.c.id == run_id, ~is_active)
        .values(
            state=QUEUED,
            due_at=now,
            finished_at=None,
            deadline_at=None,
            cancel_requested=False,
            reason=None,
            result=None,
            uncharged=runs.c.attempt,
        )
    )
    if not again.rowcount:
        raise ConflictError(f"run {run_id} is {_state_of(connection, run_id)}: only a finished run can be retried")


def pause(connection: Connection, job: str, now: datetime) -> bool:
    """Let nothing of the job start until it is resumed; its fires are recorded as skipped. False: it was paused."""
    insert = insert_into(pauses, connection.dialect).values(job=job, paused_at=now).on_conflict_do_nothing()
    return bool(connection.execute(insert).rowcount)


def resume(connection: Connection, job: str, now: datetime) -> bool:
    """Undo `pause`; for how long the job hasn't succeeded counts from now. False: it wasn't paused."""
    connection.execute(update(vigils).where(vigils.c.job == job).values(since=now))
    return bool(connection.execute(delete(pauses).where(pauses.c.job == job)).rowcount)


def _state_of(connection: Connection, run_id: int) -> str:
    state: str | None = connection.execute(select(runs.c.state).where(runs.c.id == run_id)).scalar()
    if state is None:
        raise NotFoundError(f"there is no run {run_id}; `orchestrator runs` lists them")
    return state
