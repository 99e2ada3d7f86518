"""Which new runs may start at once? Those that nothing stands before: they are created as claimed, in one write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, and_, func, select

from orchestrator.core.policies import Isolation
from orchestrator.store.instances import is_living
from orchestrator.store.pauses import Paused, paused
from orchestrator.store.room import NO_LIMIT
from orchestrator.store.states import is_queued, is_running, is_scheduled
from orchestrator.store.tables import runs


class Grab(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine could execute right now: it becomes the owner of new runs, so far as that overtakes nobody."""

    owner: int
    now: datetime
    capacity: Mapping[Isolation, int]
    queue_limits: Mapping[str, int]
    closed: Collection[str] = ()
    """Queues in which more has to be asked than whether somebody waits: rates, and limits for each key."""


class Openings:
    """What is left of a grab while runs are created."""

    def __init__(self, connection: Connection, grab: Grab, lanes: Iterable[tuple[str, Isolation]]) -> None:
        """`lanes` are the queues of the new runs, each with the kind of worker."""
        self._connection = connection
        self._capacity = dict(grab.capacity) if is_living(connection, grab.owner) else {}
        self._limits = grab.queue_limits
        self._now = grab.now
        self._paused = paused(connection) if self._capacity else Paused([], [])
        shut = {*grab.closed, *self._paused.queues}
        self._open = {lane for lane in lanes if self._capacity and lane[0] not in shut and not self._overtakes(*lane)}
        self._left: dict[str, int] = {}
        self.owner = grab.owner

    def take(self, job: str, queue: str, isolation: Isolation) -> bool:
        """Whether a run of this job may start now; if so, it is counted."""
        if (queue, isolation) not in self._open or self._capacity.get(isolation, 0) <= 0 or job in self._paused.jobs:
            return False
        if queue not in self._left:
            self._left[queue] = self._room(queue)
        if self._left[queue] <= 0:
            return False
        self._left[queue] -= 1
        self._capacity[isolation] -= 1
        return True

    def _room(self, queue: str) -> int:
        """What a queue's limit leaves."""
        limit = self._limits.get(queue)
        if limit is None:
            return NO_LIMIT
        running = select(func.count()).select_from(runs).where(is_running, runs.c.queue == queue)
        return limit - int(self._connection.execute(running).scalar_one())

    def _overtakes(self, queue: str, isolation: Isolation) -> bool:
        """Whether runs of the queue wait, or are due and not claimable yet. Served by the indexes of those states."""
        ours = and_(runs.c.queue == queue, runs.c.isolation == isolation.value)
        due = and_(is_scheduled, runs.c.due_at <= self._now)
        return any(
            self._connection.execute(select(runs.c.id).where(waiting, ours).limit(1)).first() is not None
            for waiting in (is_queued, due)
        )
