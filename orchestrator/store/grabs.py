"""Which new runs may start at once? Those that nothing stands before: they are created as claimed, in one write."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, func, select

from orchestrator.core.policies import Isolation
from orchestrator.store.picking import NO_LIMIT
from orchestrator.store.states import is_queued, is_running
from orchestrator.store.tables import runs


class Grab(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine could execute right now: it becomes the owner of new runs, so far as that overtakes nobody."""

    owner: int
    capacity: Mapping[Isolation, int]
    queue_limits: Mapping[str, int]


class Openings:
    """What is left of a grab while runs are created."""

    def __init__(self, connection: Connection, grab: Grab) -> None:
        self._connection = connection
        self._capacity = dict(grab.capacity)
        self._limits = grab.queue_limits
        self._rooms: dict[tuple[str, Isolation], int] = {}
        self.owner = grab.owner

    def take(self, queue: str, isolation: Isolation) -> bool:
        """Whether one more run of this queue may start now; if so, it is counted."""
        room = self._rooms.get((queue, isolation))
        if room is None:
            room = self._room(queue, isolation)
        if room <= 0 or self._capacity.get(isolation, 0) <= 0:
            self._rooms[queue, isolation] = 0
            return False
        self._rooms[queue, isolation] = room - 1
        self._capacity[isolation] -= 1
        return True

    def _room(self, queue: str, isolation: Isolation) -> int:
        """None while older runs of the queue wait; then what its limit leaves. Served by `runs_claimable`."""
        waiting = select(runs.c.id).where(is_queued, runs.c.queue == queue, runs.c.isolation == isolation.value)
        if self._connection.execute(waiting.limit(1)).first() is not None:
            return 0
        limit = self._limits.get(queue)
        if limit is None:
            return NO_LIMIT
        # A limited queue is shared by all isolations: only one of them may use up what is left here.
        if any(name == queue for name, _ in self._rooms):
            return 0
        running = select(func.count()).select_from(runs).where(is_running, runs.c.queue == queue)
        return limit - int(self._connection.execute(running).scalar_one())
