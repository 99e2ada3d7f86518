"""What is late? Runs that should have started or finished by now, jobs that should have succeeded; each told once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, and_, delete, exists, or_, select, type_coerce

from orchestrator.core.runs import Cause
from orchestrator.store.bulk import MICROSECOND
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import create_runs
from orchestrator.store.reactions import Alert, Response, raise_alerts, respond
from orchestrator.store.states import is_active
from orchestrator.store.tables import alerts, attempts, pauses, queue_pauses, runs, vigils

SOME = 500
"""Late runs that one look raises at most of each kind: the next one raises the rest."""


class Lateness(StrEnum):
    """What didn't happen in time."""

    START = "start"
    FINISH = "finish"
    SUCCESS = "success"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs with the same limit."""

    kind: Lateness
    limit: timedelta
    jobs: tuple[str, ...]


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is late."""

    job: str
    kind: Lateness
    limit: timedelta
    run_id: int = 0
    """The run; 0 where the job as a whole is late."""
    fire_time: datetime | None = None


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What is late at this moment, and since when that is known."""

    job: str
    kind: Lateness
    run_id: int | None
    at: datetime


def keep_vigils(connection: Connection, jobs: Collection[str], now: datetime, *, only: bool) -> None:
    """Watch these jobs for successes, and with `only` no others; who is watched already stays so, however often engines
    start."""
    known = set(connection.execute(select(vigils.c.job)).scalars())
    for chunk in chunked(sorted(known.difference(jobs)) if only else []):
        connection.execute(delete(vigils).where(vigils.c.job.in_(chunk)))
        whole = and_(alerts.c.kind == Lateness.SUCCESS.value, alerts.c.job.in_(chunk))
        connection.execute(delete(alerts).where(whole))
    if new := sorted(set(jobs) - known):
        connection.execute(vigils.insert(), [{"job": job, "since": now} for job in new])


def raise_late(
    connection: Connection, checks: Sequence[Check], now: datetime, response: Callable[[Breach], Response]
) -> list[Breach]:
    """Raise an alert for all that is late, and do what is wanted about it, as one: each breach is told of once, however
    many engines look. Alerts of runs that are over are closed."""
    over = ~exists().where(runs.c.id == alerts.c.run_id, is_active)
    connection.execute(delete(alerts).where(alerts.c.run_id != 0, over))
    found: dict[Alert, Breach] = {}
    for check in checks:
        for chunk in chunked(check.jobs):
            found.update(
                ((one.job, one.kind.value, one.run_id), one)
                for one in _FIND[check.kind](connection, chunk, check.limit, now)
            )
    raised = [found[alert] for alert in raise_alerts(connection, sorted(found), now)] if found else []
    new = respond(connection, [response(breach) for breach in raised], now)
    if new:
        create_runs(connection, new)
    return raised


def open_alerts(connection: Connection) -> list[OpenAlert]:
    """What is late, oldest first."""
    kinds = [kind.value for kind in Lateness]
    rows = connection.execute(select(alerts).where(alerts.c.kind.in_(kinds)).order_by(alerts.c.at, alerts.c.job))
    return [OpenAlert(job=row.job, kind=Lateness(row.kind), run_id=row.run_id or None, at=row.at) for row in rows]


def _not_started(connection: Connection, jobs: Sequence[str], limit: timedelta, now: datetime) -> Iterable[Breach]:
    """Those that wait, and those whose first attempt started too late since the last look."""
    delay = type_coerce(runs.c.started_at, BigInteger) - type_coerce(runs.c.due_at, BigInteger)
    too_late = and_(runs.c.attempt == 1, delay > limit // MICROSECOND)
    late = and_(runs.c.due_at < now - limit, or_(runs.c.started_at.is_(None), too_late))
    return _runs(connection, Lateness.START, jobs, limit, late)


def _not_finished(connection: Connection, jobs: Sequence[str], limit: timedelta, now: datetime) -> Iterable[Breach]:
    """A retry moves the instant at which a run is due; what was late before it is told by the attempts it had."""
    first = and_(runs.c.attempt <= 1, runs.c.due_at < now - limit)
    earlier = exists().where(attempts.c.run_id == runs.c.id, attempts.c.started_at < now - limit)
    return _runs(connection, Lateness.FINISH, jobs, limit, or_(first, and_(runs.c.attempt > 1, earlier)))


def _runs(
    connection: Connection, kind: Lateness, jobs: Sequence[str], limit: timedelta, late: ColumnElement[bool]
) -> list[Breach]:
    """Served by `runs_active`. What waits because a person paused the job or the queue, or behind live runs, is not
    late."""
    known = exists().where(alerts.c.job == runs.c.job, alerts.c.kind == kind.value, alerts.c.run_id == runs.c.id)
    statement = (
        select(runs.c.id, runs.c.job, runs.c.fire_time)
        .where(runs.c.job.in_(jobs), is_active, runs.c.cause != Cause.BACKFILL.value, late)
        .where(~known, runs.c.job.not_in(select(pauses.c.job)))
        .where(or_(runs.c.started_at.is_not(None), runs.c.queue.not_in(select(queue_pauses.c.queue))))
        .limit(SOME)
    )
    return [
        Breach(job=job, kind=kind, limit=limit, run_id=run_id, fire_time=fire_time)
        for run_id, job, fire_time in connection.execute(statement)
    ]


def _not_succeeded(connection: Connection, jobs: Sequence[str], limit: timedelta, now: datetime) -> Iterable[Breach]:
    before = now - limit
    overdue = and_(vigils.c.since < before, or_(vigils.c.succeeded_at.is_(None), vigils.c.succeeded_at < before))
    known = exists().where(alerts.c.job == vigils.c.job, alerts.c.kind == Lateness.SUCCESS.value, alerts.c.run_id == 0)
    statement = select(vigils.c.job).where(vigils.c.job.in_(jobs), overdue, ~known)
    found = connection.execute(statement.where(vigils.c.job.not_in(select(pauses.c.job)))).scalars()
    return [Breach(job=job, kind=Lateness.SUCCESS, limit=limit) for job in found]


_FIND = {Lateness.START: _not_started, Lateness.FINISH: _not_finished, Lateness.SUCCESS: _not_succeeded}
