"""How fire times of the past get their runs: each once, and of a job's limited backfill only so many at a time.

What a limit holds back is `waiting`; whoever ends a run of a backfill lets the next one go in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, exists, func, insert, select, update

from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.states import QUEUED, WAITING, is_active, literal
from orchestrator.store.tables import backfill_runs, backfills, runs
from orchestrator.store.upserts import insert_into

_SKIPPED = literal(RunState.SKIPPED)


class FireRow(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a fire time has."""

    run_id: int
    state: RunState


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a fire time. `before` is the run that it had already."""

    fire_time: datetime
    run_id: int
    before: FireRow | None = None
    replaced: bool = False
    """It had been skipped, and is to be run after all."""


def rows_of(connection: Connection, job: str, fire_times: Sequence[datetime]) -> dict[datetime, FireRow]:
    """The runs that these fire times of a job have. Served by `runs_fire`."""
    found: dict[datetime, FireRow] = {}
    for chunk in chunked(fire_times):
        statement = select(runs.c.fire_time, runs.c.id, runs.c.state)
        for at, run_id, state in connection.execute(statement.where(runs.c.job == job, runs.c.fire_time.in_(chunk))):
            found[at] = FireRow(run_id=run_id, state=RunState(state))
    return found


def fill(
    connection: Connection, new: Sequence[NewRun], *, replace_skipped: bool = False, max_parallel: int | None = None
) -> list[Filled]:
    """Create the runs of one job's fire times, except those that have one; gives what became of each, in order.

    With `max_parallel` the job's backfills keep to that limit from now on; without it, to one that is still in force.
    """
    job = new[0].job
    present = rows_of(connection, job, [run.fire_time for run in new if run.fire_time is not None])
    missing = [run for run in new if run.fire_time not in present]
    again = {row.run_id for row in present.values() if replace_skipped and row.state is RunState.SKIPPED}
    made = [one.id for one in create_runs(connection, missing)] if missing else []
    created = {run.fire_time: run_id for run, run_id in zip(missing, made, strict=True)}
    for run in new:
        if (row := present.get(run.fire_time)) is not None and row.run_id in again:  # type: ignore[arg-type]
            _run_after_all(connection, row.run_id, run)
    ids = sorted([run_id for run_id in made if run_id is not None] + list(again))
    if _is_limited(connection, job, max_parallel):
        _hold(connection, job, ids)
        admit(connection, new[0].created_at)
    return [_filled(run, present, created, again) for run in new]


def admit(connection: Connection, now: datetime) -> int:
    """Let as many held runs go as the limits of their backfills allow; gives how many. Nearly always there are none."""
    limits = connection.execute(select(backfills).with_for_update()).all()
    return sum(_admit(connection, job, limit, now) for job, limit in limits)


def _run_after_all(connection: Connection, run_id: int, run: NewRun) -> None:
    """A skipped fire time becomes the run that it would have been."""
    values = {
        "state": QUEUED, "cause": run.cause.value, "queue": run.queue, "isolation": run.isolation.value,
        "priority": run.priority, "rank": run.rank, "due_at": run.due_at, "params": run.params,
        "group_key": run.group_key, "deadline_at": None, "time_limit": None, "expires_at": None,
        "finished_at": None, "reason": None,
    }  # fmt: skip
    connection.execute(update(runs).where(runs.c.id == run_id, runs.c.state == _SKIPPED).values(values))


def _filled(
    run: NewRun, present: dict[datetime, FireRow], created: dict[datetime | None, int | None], again: set[int]
) -> Filled:
    at = run.fire_time
    assert at is not None  # noqa: S101 - a backfill is made of fire times
    if (row := present.get(at)) is not None:
        return Filled(fire_time=at, run_id=row.run_id, before=row, replaced=row.run_id in again)
    return Filled(fire_time=at, run_id=created[at] or 0)


def _is_limited(connection: Connection, job: str, max_parallel: int | None) -> bool:
    if max_parallel is None:
        return connection.execute(select(backfills.c.job).where(backfills.c.job == job)).first() is not None
    statement = insert_into(backfills, connection.dialect).values(job=job, max_parallel=max_parallel)
    newest = {"max_parallel": statement.excluded.max_parallel}
    connection.execute(statement.on_conflict_do_update(index_elements=["job"], set_=newest))
    return True


def _hold(connection: Connection, job: str, run_ids: Sequence[int]) -> None:
    for chunk in chunked(run_ids):
        connection.execute(update(runs).where(runs.c.id.in_(chunk)).values(state=WAITING))
        connection.execute(insert(backfill_runs), [{"run_id": one, "job": job, "held": True} for one in chunk])


def _admit(connection: Connection, job: str, limit: int, now: datetime) -> int:
    ours = backfill_runs.c.job == job
    unfinished = exists().where(runs.c.id == backfill_runs.c.run_id, is_active)
    connection.execute(delete(backfill_runs).where(ours, ~backfill_runs.c.held, ~unfinished))
    under_way = select(func.count()).select_from(backfill_runs).where(ours, ~backfill_runs.c.held)
    free = limit - connection.execute(under_way).scalar_one()
    admitted = 0
    while admitted < free and (some := _next_held(connection, job, free - admitted)):
        admitted += _let_go(connection, some, now)
    if connection.execute(select(backfill_runs.c.run_id).where(ours).limit(1)).first() is None:
        connection.execute(delete(backfills).where(backfills.c.job == job))
    return admitted


def _next_held(connection: Connection, job: str, count: int) -> list[int]:
    """Served by `backfill_runs_turn`."""
    held = select(backfill_runs.c.run_id).where(backfill_runs.c.job == job, backfill_runs.c.held)
    return list(connection.execute(held.order_by(backfill_runs.c.run_id).limit(min(count, 500))).scalars())


def _let_go(connection: Connection, run_ids: Sequence[int], now: datetime) -> int:
    """Queue held runs; those that a person has cancelled meanwhile only leave the line."""
    connection.execute(update(backfill_runs).where(backfill_runs.c.run_id.in_(run_ids)).values(held=False))
    waiting = update(runs).where(runs.c.id.in_(run_ids), runs.c.state == WAITING)
    return int(connection.execute(waiting.values(state=QUEUED, due_at=now)).rowcount)
