"""Who executes what next: due runs are claimed in batches, within the limits of queues and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, and_, bindparam, func, or_, select, update

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Cause, RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.states import FAILED, QUEUED, is_active, is_queued, is_running, is_scheduled
from orchestrator.store.tables import checkpoints, pauses, runs

DEADLINE_REASON = "its deadline passed before it could finish"


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can take: per isolation, at most that many; and the limits to respect."""

    owner: int
    now: datetime
    capacity: Mapping[Isolation, int]
    queues: Sequence[str]
    """In the order in which they get a share; rotate it for fairness."""
    queue_limits: Mapping[str, int]
    job_limits: Mapping[str, int]
    listen: bool = False
    """Also look for what people asked meanwhile: pauses, and cancellations of this owner's attempts."""
    only_run: int | None = None
    """Claim this run and no other, whatever the limits; even before it is due, unless it is waiting for a retry."""


class ClaimedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is now ours to execute, once, as `attempt`."""

    id: int
    job: str
    attempt: int
    uncharged: int
    cause: Cause
    queue: str
    isolation: Isolation
    due_at: datetime
    fire_time: datetime | None
    deadline_at: datetime | None
    params: dict[str, Any] | None
    checkpoint: Any = None


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What people asked: jobs to leave alone, and running attempts to stop, each with the reason if one was given."""

    paused: frozenset[str]
    cancels: list[tuple[int, int, str | None]]


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """The claimed runs, the instant at which the next scheduled one is due, and the wishes if they were asked for."""

    runs: list[ClaimedRun]
    next_due: datetime | None
    wishes: Wishes | None = None


def claim(connection: Connection, request: ClaimRequest) -> Claimed:
    """Make what is due claimable, then claim by priority, oldest first, up to the capacity."""
    _promote(connection, request.now)
    paused = list(connection.execute(select(pauses.c.job)).scalars())
    picked = _pick(connection, request, paused) if any(request.capacity.values()) else []
    if picked:
        _mark_running(connection, request, picked)
    next_due = connection.execute(select(func.min(runs.c.due_at)).where(is_scheduled)).scalar()
    wishes = Wishes(paused=frozenset(paused), cancels=_cancels(connection, request.owner)) if request.listen else None
    return Claimed(runs=_with_checkpoints(connection, picked), next_due=next_due, wishes=wishes)


def expire(connection: Connection, now: datetime) -> list[tuple[int, str]]:
    """Fail what didn't start before its deadline; gives (run id, job). Served by `runs_deadline`."""
    overdue = and_(runs.c.deadline_at <= now, runs.c.finished_at.is_(None), is_active, ~is_running)
    statement = (
        update(runs)
        .where(runs.c.deadline_at.is_not(None), overdue)
        .values(state=FAILED, finished_at=now, reason=DEADLINE_REASON)
        .returning(runs.c.id, runs.c.job)
    )
    return [(run_id, job) for run_id, job in connection.execute(statement)]


def _cancels(connection: Connection, owner: int) -> list[tuple[int, int, str | None]]:
    statement = select(runs.c.id, runs.c.attempt, runs.c.reason)
    found = connection.execute(statement.where(is_running, runs.c.owner == owner, runs.c.cancel_requested))
    return [(run_id, attempt, reason) for run_id, attempt, reason in found]


def _promote(connection: Connection, now: datetime) -> None:
    connection.execute(update(runs).where(is_scheduled, runs.c.due_at <= now).values(state=QUEUED))


class _Room:
    """How much may still start: what remains of every limit while a batch is put together."""

    def __init__(self, connection: Connection, request: ClaimRequest) -> None:
        running = connection.execute(
            select(runs.c.queue, runs.c.job, func.count()).where(is_running).group_by(runs.c.queue, runs.c.job)
        ).all()
        self._job_limits = request.job_limits
        self._queue_limits = request.queue_limits
        self.by_job: Counter[str] = Counter()
        self.by_queue: Counter[str] = Counter()
        for queue, job, count in running:
            self.by_queue[queue] += count
            self.by_job[job] += count

    def queue(self, name: str) -> int:
        """How many more of this queue may start."""
        limit = self._queue_limits.get(name)
        return 2**31 if limit is None else max(0, limit - self.by_queue[name])

    def has(self, job: str) -> bool:
        """Whether one more of this job may start."""
        limit = self._job_limits.get(job)
        return limit is None or self.by_job[job] < limit

    def full_jobs(self) -> list[str]:
        """Jobs at their limit, so that their waiting runs aren't even looked at."""
        limits = self._job_limits
        return [job for job, count in self.by_job.items() if job in limits and count >= limits[job]]

    def take(self, queue: str, job: str) -> None:
        """Count one that starts."""
        self.by_queue[queue] += 1
        self.by_job[job] += 1


def _pick(connection: Connection, request: ClaimRequest, paused: list[str]) -> list[Row[Any]]:
    if request.only_run is not None:
        ready = or_(is_queued, and_(is_scheduled, runs.c.attempt == 0))
        return list(connection.execute(_CLAIMABLE.where(runs.c.id == request.only_run, ready)))
    room = _Room(connection, request)
    picked: list[Row[Any]] = []
    for isolation, capacity in request.capacity.items():
        left = capacity
        for position, queue in enumerate(request.queues):
            # Each queue is offered an even share of what is left, so that none starves behind a long one.
            share = -(-left // (len(request.queues) - position))
            taken = _pick_from(connection, request, isolation, queue, min(share, room.queue(queue)), room, paused)
            picked += taken
            left -= len(taken)
    return picked


def _pick_from(
    connection: Connection,
    request: ClaimRequest,
    isolation: Isolation,
    queue: str,
    wanted: int,
    room: _Room,
    paused: list[str],
) -> list[Row[Any]]:
    """The first `wanted` runs of a queue whose jobs have room. Served by `runs_claimable`, in its order."""
    picked: dict[int, Row[Any]] = {}
    while len(picked) < wanted:
        barred = [*paused, *room.full_jobs()]
        missing = wanted - len(picked)
        candidates = connection.execute(_candidates(request, isolation, queue, barred, list(picked), missing)).all()
        for row in candidates:
            if room.has(row.job):
                room.take(queue, row.job)
                picked[row.id] = row
        # A candidate that was refused filled its job meanwhile: look past that job once more.
        if len(candidates) < missing or len(picked) >= wanted:
            break
    return list(picked.values())


_CLAIMABLE = select(
    *(runs.c[name] for name in ("id", "job", "attempt", "uncharged", "cause", "queue", "isolation")),
    *(runs.c[name] for name in ("due_at", "fire_time", "deadline_at", "params")),
)


def _candidates(
    request: ClaimRequest, isolation: Isolation, queue: str, barred: list[str], seen: list[int], limit: int
) -> Select[Any]:
    c = runs.c
    statement = (
        _CLAIMABLE.where(is_queued, c.queue == queue, c.isolation == isolation.value)
        .where(or_(c.deadline_at.is_(None), c.deadline_at > request.now))
        .order_by(c.priority.desc(), c.due_at, c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if barred:
        statement = statement.where(c.job.not_in(barred))
    if seen:
        statement = statement.where(c.id.not_in(seen))
    return statement


def _mark_running(connection: Connection, request: ClaimRequest, picked: list[Row[Any]]) -> None:
    for chunk in chunked([row.id for row in picked]):
        connection.execute(_MARK_RUNNING, {"ids": chunk, "new_owner": request.owner, "now": request.now})


_MARK_RUNNING = (
    update(runs)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        state=RunState.RUNNING.value,
        owner=bindparam("new_owner"),
        attempt=runs.c.attempt + 1,
        started_at=bindparam("now"),
        cancel_requested=False,
        progress_done=None,
        progress_total=None,
    )
)


def _with_checkpoints(connection: Connection, picked: list[Row[Any]]) -> list[ClaimedRun]:
    saved: dict[int, Any] = {}
    again = [row.id for row in picked if row.attempt > 0]
    for chunk in chunked(again):
        found = connection.execute(
            select(checkpoints.c.run_id, checkpoints.c.value).where(checkpoints.c.run_id.in_(chunk))
        )
        saved.update((run_id, value) for run_id, value in found)
    return [
        ClaimedRun(
            id=row.id,
            job=row.job,
            attempt=row.attempt + 1,
            uncharged=row.uncharged,
            cause=Cause(row.cause),
            queue=row.queue,
            isolation=Isolation(row.isolation),
            due_at=row.due_at,
            fire_time=row.fire_time,
            deadline_at=row.deadline_at,
            params=row.params,
            checkpoint=saved.get(row.id),
        )
        for row in picked
    ]
