"""What has happened since somebody last looked? Only reads, so that who works pays nothing for who watches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, false, func, select

from orchestrator.core.flows import StepKind
from orchestrator.core.runs import Attempt, Cause, RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.rows import as_record
from orchestrator.store.states import is_active
from orchestrator.store.tables import attempts, flow_steps, runs


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """A run as far as its events are concerned."""

    id: int
    job: str
    state: RunState
    cause: Cause
    created_at: datetime
    due_at: datetime
    attempt: int
    uncharged: int
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    progress_done: int | None
    progress_total: int | None
    looks: bool
    """It is the step of a workflow that waits for something: an attempt may be one of many looks."""


class Mark(NamedTuple):
    """Of an unfinished run, what changes."""

    id: int
    state: str
    attempt: int
    done: int | None
    total: int | None


class Scope(msgspec.Struct, frozen=True):
    """Which runs are looked at: all, those of some jobs, or one."""

    jobs: tuple[str, ...] = ()
    run: int | None = None


_its_step = and_(flow_steps.c.flow_id == runs.c.flow_id, flow_steps.c.name == runs.c.step)
_looks = func.coalesce(flow_steps.c.kind == StepKind.WAIT_FOR.value, false()).label("looks")
_GLIMPSE = select(*(runs.c[name] for name in Glimpse.__struct_fields__ if name != "looks"), _looks).select_from(
    runs.outerjoin(flow_steps, _its_step)  # served by its primary key
)


def newer(connection: Connection, scope: Scope, after_id: int, limit: int) -> list[Glimpse]:
    """Runs with greater ids, in their order. Creators commit in the order of ids, so none turns up behind them.

    Served by the primary key or, for jobs, `runs_history`.
    """
    statement = _GLIMPSE.where(runs.c.id > after_id, *_within(scope)).order_by(runs.c.id).limit(limit)
    return [as_record(Glimpse, row) for row in connection.execute(statement).mappings()]


def unfinished(connection: Connection, scope: Scope, up_to: int) -> dict[int, Mark]:
    """Every unfinished run with an id up to this. Served by `runs_active`."""
    columns = (runs.c.id, runs.c.state, runs.c.attempt, runs.c.progress_done, runs.c.progress_total)
    statement = select(*columns).where(is_active, runs.c.id <= up_to, *_within(scope))
    return {row[0]: Mark(*row) for row in connection.execute(statement)}


def glimpses(connection: Connection, run_ids: Collection[int]) -> dict[int, Glimpse]:
    """Those of the runs that still exist."""
    found: dict[int, Glimpse] = {}
    for chunk in chunked(sorted(run_ids)):
        rows = connection.execute(_GLIMPSE.where(runs.c.id.in_(chunk))).mappings()
        found.update((row["id"], as_record(Glimpse, row)) for row in rows)
    return found


def attempts_of(connection: Connection, run_ids: Iterable[int]) -> dict[int, list[Attempt]]:
    """The finished attempts of runs, oldest first."""
    found: defaultdict[int, list[Attempt]] = defaultdict(list)
    for chunk in chunked(sorted(run_ids)):
        statement = select(attempts).where(attempts.c.run_id.in_(chunk)).order_by(attempts.c.run_id, attempts.c.attempt)
        for row in connection.execute(statement).mappings():
            found[row["run_id"]].append(as_record(Attempt, row))
    return found


def newest_id(connection: Connection, before: datetime | None = None) -> int:
    """The id of the newest run, or of the newest that was created before an instant; found from the newest back."""
    if before is None:
        return connection.execute(select(func.max(runs.c.id))).scalar() or 0
    statement = select(runs.c.id).where(runs.c.created_at < before).order_by(runs.c.id.desc()).limit(1)
    return connection.execute(statement).scalar() or 0


def _within(scope: Scope) -> list[ColumnElement[Any]]:
    found: list[ColumnElement[Any]] = []
    if scope.jobs:
        found.append(runs.c.job.in_(scope.jobs))
    if scope.run is not None:
        found.append(runs.c.id == scope.run)
    return found
