"""Which of the queued runs come next: by rank (priority and age), as far as queues and jobs have room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Connection, Select, Text, and_, func, or_, select, type_coerce

from orchestrator.core.policies import Isolation
from orchestrator.store.states import is_queued, is_running, is_scheduled
from orchestrator.store.tables import runs

NO_LIMIT = 2**31
LOOK_AT = 100
"""Candidates looked at together, at least: jobs at their limit may stand in front, one run of each."""


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


class Candidate(NamedTuple):
    """A queued run, its instants and parameters as the columns store them."""

    id: int
    job: str
    attempt: int
    uncharged: int
    cause: str
    fire_time: int | None
    deadline_at: int | None
    params: str | None


_CANDIDATE: Select[tuple[object, ...]] = select(
    *(runs.c[name] for name in ("id", "job", "attempt", "uncharged", "cause")),
    type_coerce(runs.c.fire_time, BigInteger),
    type_coerce(runs.c.deadline_at, BigInteger),
    type_coerce(runs.c.params, Text),
)


def pick(connection: Connection, request: ClaimRequest, paused: list[str]) -> list[Candidate]:
    """The runs to claim now."""
    if request.only_run is not None:
        ready = or_(is_queued, and_(is_scheduled, runs.c.attempt == 0))
        return _fetch(connection, _CANDIDATE.where(runs.c.id == request.only_run, ready))
    room = _Room(connection, request)
    picked: list[Candidate] = []
    for isolation, capacity in request.capacity.items():
        left = capacity
        for position, queue in enumerate(request.queues):
            # Each queue is offered an even share of what is left, so that none starves behind a long one.
            share = -(-left // (len(request.queues) - position))
            lane = _lane(request, isolation, queue)
            taken = _take(connection, lane, min(share, room.in_queue(queue)), room, paused)
            room.count(queue, len(taken))
            picked += taken
            left -= len(taken)
    return picked


class _Room:
    """How much may still start: what remains of every limit while a batch is put together."""

    def __init__(self, connection: Connection, request: ClaimRequest) -> None:
        self._job_limits = request.job_limits
        self._queue_limits = request.queue_limits
        self._by_job: Counter[str] = Counter()
        self._by_queue: Counter[str] = Counter()
        if request.job_limits or request.queue_limits:
            self._count_running(connection)

    def _count_running(self, connection: Connection) -> None:
        """Served by `runs_running`; what runs at once is as many as workers take, so the count is short."""
        statement = select(runs.c.queue, runs.c.job, func.count()).where(is_running)
        for queue, job, count in connection.execute(statement.group_by(runs.c.queue, runs.c.job)):
            self._by_queue[queue] += count
            self._by_job[job] += count

    def in_queue(self, name: str) -> int:
        """How many more of this queue may start."""
        limit = self._queue_limits.get(name)
        return NO_LIMIT if limit is None else max(0, limit - self._by_queue[name])

    def admit(self, job: str) -> bool:
        """Whether one more of this job may start; if so, it is counted."""
        limit = self._job_limits.get(job)
        if limit is None:
            return True
        running = self._by_job.get(job, 0)
        if running >= limit:
            return False
        self._by_job[job] = running + 1
        return True

    def count(self, queue: str, started: int) -> None:
        """So many of this queue start."""
        self._by_queue[queue] += started


def _lane(request: ClaimRequest, isolation: Isolation, queue: str) -> Select[tuple[object, ...]]:
    """The queued runs of a queue for one kind of worker, in order. Served by `runs_claimable`."""
    c = runs.c
    return (
        _CANDIDATE.where(is_queued, c.queue == queue, c.isolation == isolation.value)
        .where(or_(c.deadline_at.is_(None), c.deadline_at > request.now))
        .order_by(c.rank, c.id)
        .with_for_update(skip_locked=True)
    )


def _take(
    connection: Connection, lane: Select[tuple[object, ...]], wanted: int, room: _Room, paused: list[str]
) -> list[Candidate]:
    """The first `wanted` runs of a lane whose jobs have room."""
    picked: list[Candidate] = []
    barred = list(paused)
    while (missing := wanted - len(picked)) > 0:
        rest = lane.limit(max(missing, LOOK_AT))
        if barred:
            rest = rest.where(runs.c.job.not_in(barred))
        if picked:
            rest = rest.where(runs.c.id.not_in([row.id for row in picked]))
        candidates = _fetch(connection, rest)
        refused = set()
        for row in candidates:
            if len(picked) == wanted:
                return picked
            if room.admit(row.job):
                picked.append(row)
            else:
                refused.add(row.job)
        if len(candidates) < max(missing, LOOK_AT) or not refused:
            break
        # Jobs at their limit stood in front: look past them. Barring every such job from the start would cost more.
        barred += refused
    return picked


def _fetch(connection: Connection, statement: Select[tuple[object, ...]]) -> list[Candidate]:
    return [Candidate._make(row) for row in connection.execute(statement)]
