"""What people ask of runs and jobs: cancel, retry, promote, reprioritise, pause, resume. Each is one transaction, and
fenced by the state that the run is in: what has changed meanwhile is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, and_, delete, select, update
from sqlalchemy.sql.dml import Update

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.plan import DEFAULT_AGING
from orchestrator.core.runs import RunState
from orchestrator.store.alignment import key_anew
from orchestrator.store.bulk import MICROSECOND
from orchestrator.store.chunks import chunked
from orchestrator.store.endings import CANCEL_REASON
from orchestrator.store.flow_halts import Halt
from orchestrator.store.flow_places import refuse_retry
from orchestrator.store.flow_progress import StepEnd, advance, ends_of
from orchestrator.store.flow_retries import retry_flow
from orchestrator.store.following import Followers, follow, nothing_follows
from orchestrator.store.requeues import requeue
from orchestrator.store.states import CANCELLED, QUEUED, is_active, is_running, is_scheduled, is_waiting
from orchestrator.store.tables import flows, pauses, runs, vigils
from orchestrator.store.timing import due_now
from orchestrator.store.upserts import insert_into

States = dict[int, RunState]
"""The runs for which something was done, with the states that they are left in."""


def cancel(connection: Connection, run_id: int, now: datetime, followers: Followers = nothing_follows) -> RunState:
    """Cancel a run: at once if it hasn't started, else by asking its engine; of a workflow, all its steps but those
    under `finally`, which run now, unless it was cancelled before. Gives the state that it is left in.

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
    stopping = _under_way(connection, run_ids)
    halts = [
        Halt(
            flow_id=flow_id,
            state=RunState.CANCELLED,
            reason=CANCEL_REASON,
            told=CANCEL_REASON,
            by_person=True,
            at_once=True,
        )
        for flow_id in stopping
    ]
    others = [run_id for run_id in run_ids if run_id not in stopping]
    stopped, ends = _stop(connection, others, now)
    asked = update(runs).where(is_running).values(cancel_requested=True)
    left_in = dict.fromkeys((run_id for run_id, _ in stopped), RunState.CANCELLED)
    left_in |= _apply(connection, asked, others)
    follow(connection, stopped, followers)
    if halts or ends:
        advance(connection, now, ends=ends, halts=halts)
    return left_in | {flow_id: RunState(state_of(connection, flow_id)) for flow_id in stopping}


def _under_way(connection: Connection, run_ids: Sequence[int]) -> set[int]:
    """Those of the runs that are workflows which wait for their steps."""
    begun = select(runs.c.id).join(flows, flows.c.id == runs.c.id).where(is_active, is_waiting)
    found = [connection.execute(begun.where(runs.c.id.in_(chunk))).scalars() for chunk in chunked(run_ids)]
    return {run_id for ids in found for run_id in ids}


def _stop(connection: Connection, run_ids: Sequence[int], now: datetime) -> tuple[list[tuple[int, str]], list[StepEnd]]:
    """Cancel what hasn't started; gives it, as id and job, and which steps of workflows have ended by it."""
    stop = update(runs).where(is_active, ~is_running).values(state=CANCELLED, finished_at=now, reason=CANCEL_REASON)
    columns = (runs.c.id, runs.c.job, runs.c.flow_id, runs.c.step, runs.c.item_index)
    stopped: list[tuple[int, str]] = []
    ends: list[StepEnd] = []
    for chunk in chunked(run_ids):
        ours = runs.c.id.in_(chunk)
        waited = set(connection.execute(select(runs.c.id).where(ours, is_active, is_waiting)).scalars())
        for row in connection.execute(stop.where(ours).returning(*columns)):
            stopped.append((row.id, row.job))
            found = ends_of([row], RunState.CANCELLED, CANCEL_REASON)
            ends += [msgspec.structs.replace(end, began=row.id not in waited) for end in found]
    return stopped, ends


def retry(connection: Connection, run_id: int, now: datetime) -> None:
    """Queue a finished run again, with all its attempts ahead of it; its earlier attempts stay in the history. A
    workflow goes on where it failed: see `retry_flow`.

    Raises `NotFoundError`, or `ConflictError` for a run that isn't finished, or that is a step of a workflow.
    """
    if not retry_many(connection, [run_id], now):
        state = RunState(state_of(connection, run_id))
        place = connection.execute(select(runs.c.flow_id, runs.c.step).where(runs.c.id == run_id)).one()
        raise refuse_retry(run_id, state, place.flow_id, place.step)


def retry_many(connection: Connection, run_ids: Sequence[int], now: datetime) -> States:
    """`retry` for those of the runs that are finished, and no steps of workflows."""
    begun = [
        connection.execute(select(flows.c.id).where(flows.c.id.in_(chunk))).scalars() for chunk in chunked(run_ids)
    ]
    known = {run_id for ids in begun for run_id in ids}
    queued: States = {}
    for chunk in chunked([run_id for run_id in run_ids if run_id not in known]):
        alone = and_(runs.c.id.in_(chunk), runs.c.flow_id.is_(None))
        queued |= dict.fromkeys(requeue(connection, alone, now), RunState.QUEUED)
    whole = select(runs.c.id).join(flows, flows.c.id == runs.c.id).where(flows.c.is_doomed.is_(False))
    finished = whole.where(runs.c.id.in_(known), ~is_active, runs.c.flow_id.is_(None))
    for flow_id in list(connection.execute(finished).scalars()) if known else []:
        retry_flow(connection, flow_id, now)
        queued[flow_id] = RunState(state_of(connection, flow_id))
    key_anew(connection, queued)
    return queued


def promote(connection: Connection, run_ids: Sequence[int], now: datetime) -> States:
    """Make those of the runs that are scheduled due now: delayed ones, and those that wait to be tried again."""
    due = update(runs).where(is_scheduled).values(state=QUEUED, **due_now(now))
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
