"""Is the work flowing? What waits too long, what is held by nobody, what failed last. Nothing here writes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select

from orchestrator.core.runs import Cause, Run
from orchestrator.store.queries import get_run
from orchestrator.store.states import FAILED, is_active, is_queued, is_running, is_scheduled
from orchestrator.store.tables import instances, pauses, queue_pauses, runs


def oldest_due(connection: Connection, now: datetime) -> Run | None:
    """The run that is due for longest and has not been started; those of paused jobs and queues, and of backfills, wait
    as they should."""
    due = select(runs.c.id).where(_is_due(now)).order_by(runs.c.due_at, runs.c.id).limit(1)
    return _maybe_run(connection, connection.execute(due).scalar())


def count_due(connection: Connection, before: datetime) -> int:
    """How many runs were due before then and have not been started."""
    return connection.execute(select(func.count()).select_from(runs).where(_is_due(before))).scalar_one()


def last_failure(connection: Connection) -> Run | None:
    """The dead letter that failed last. Served by `runs_failed`: there are as many rows to look at as dead letters."""
    failed = (
        select(runs.c.id)
        .where(runs.c.state == FAILED, runs.c.flow_id.is_(None))
        .order_by(runs.c.finished_at.desc(), runs.c.id.desc())
    )
    return _maybe_run(connection, connection.execute(failed.limit(1)).scalar())


def abandoned(connection: Connection, limit: int = 100) -> list[int]:
    """Runs that are said to be running, by engines that have stopped or that nobody knows. Served by `runs_running`."""
    at_work = select(instances.c.id).where(instances.c.stopped_at.is_(None))
    held = or_(runs.c.owner.is_(None), runs.c.owner.not_in(at_work))
    return list(
        connection.execute(select(runs.c.id).where(is_running, held).order_by(runs.c.id).limit(limit)).scalars()
    )


def latest_instant(connection: Connection) -> datetime | None:
    """The latest instant that an engine has written down: the clock can't rightly be behind it."""
    newest = select(func.max(runs.c.id)).scalar_subquery()
    found = [
        connection.execute(select(func.max(instances.c.heartbeat_at))).scalar(),
        connection.execute(select(runs.c.created_at).where(runs.c.id == newest)).scalar(),
    ]
    return max((at for at in found if at is not None), default=None)


def _is_due(before: datetime) -> ColumnElement[bool]:
    waiting = and_(is_active, or_(is_queued, is_scheduled), runs.c.cause != Cause.BACKFILL.value)
    held_back = or_(runs.c.job.in_(select(pauses.c.job)), runs.c.queue.in_(select(queue_pauses.c.queue)))
    return and_(waiting, runs.c.due_at <= before, not_(held_back))


def _maybe_run(connection: Connection, run_id: int | None) -> Run | None:
    return None if run_id is None else get_run(connection, run_id)
