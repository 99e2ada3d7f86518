"""Which attempt has given no sign of life for longer than its job allows, and is its silence its own fault?"""

from __future__ import annotations

from orchestrator.core.runs import Outcome
from orchestrator.core.units import format_duration
from orchestrator.executors.flight import Flight, Verdict
from orchestrator.executors.worker import LoopWorker, Worker

_ABSENT = 1.0
"""Seconds between two looks after which the engine itself must have stood still, and perhaps everything with it."""
_HELD = 0.05
"""Seconds for which an attempt may hold the async worker's loop before its neighbours' silence is laid to it."""


class Listening:
    """Hears for one lane's workers. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        self._returned_at = 0.0

    def look(self, now: float) -> None:
        """Another look at the workers begins. What was silent while nobody looked is not blamed for that."""
        if now - self._looked_at > _ABSENT:
            self._returned_at = now
        self._looked_at = now

    def verdict(self, worker: Worker, flight: Flight, now: float) -> Verdict | None:
        """How a running attempt is to end for its silence, if it is: as crashed, or uncharged if another one kept
        the loop from it for all that time."""
        order, limit = flight.order, flight.heartbeat
        if order.heartbeat is None or limit is None:
            return None
        if isinstance(worker, LoopWorker) and (holder := _holder(worker, flight)) is not None:
            other, since = holder
            if now - since > _HELD:
                flight.excused_at = now
            if now - since >= limit:
                return Verdict(Outcome.RELEASED, f"interrupted: {other.order.job} blocked the async worker's loop")
        heard = max(worker.slot.heard(flight.place), flight.excused_at, self._returned_at)
        if now - heard < limit:
            return None
        return Verdict(Outcome.CRASHED, f"no heartbeat for {format_duration(order.heartbeat)}")


def _holder(worker: LoopWorker, flight: Flight) -> tuple[Flight, float] | None:
    """The other attempt that holds the loop now, so that `flight` can't say anything, and since when."""
    sequence, since = worker.slot.stepping()
    other = worker.flights.get(sequence)
    return None if other is None or other is flight else (other, since)
