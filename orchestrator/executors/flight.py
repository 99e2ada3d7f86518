"""An order on its way: where it is, and what has been decided about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.core.batches import ItemEnd
from orchestrator.core.runs import Outcome
from orchestrator.executors.contract import Order

if TYPE_CHECKING:
    from orchestrator.executors.worker import Worker


class Verdict(NamedTuple):
    """What an attempt's end will be called if it has to be stopped, and why."""

    outcome: Outcome
    reason: str


class Flight:
    """One order between `submit` and its end. Times are seconds of the monotonic clock."""

    __slots__ = ("asked", "assigned_at", "deaths", "ended_items", "excused_at", "grace", "heartbeat", "kill_at",
                 "order", "place", "queued_at", "sequence", "timeout", "verdict", "worker")  # fmt: skip

    def __init__(self, order: Order, now: float) -> None:
        self.order = order
        self.queued_at = now
        self.timeout = order.timeout.total_seconds() if order.timeout is not None else None
        self.heartbeat = order.heartbeat.total_seconds() if order.heartbeat is not None else None
        self.excused_at = 0.0
        """When it last had a good reason for its silence."""
        self.grace = order.grace.total_seconds()
        self.worker: Worker | None = None
        self.assigned_at = 0.0
        self.sequence = 0
        self.place = 0
        self.verdict: Verdict | None = None
        self.asked = False
        self.kill_at = 0.0
        self.ended_items: list[ItemEnd] = []
        """Of a batch: the ends of its runs that were sent ahead of its own."""
        self.deaths = 0
        """How many workers died that had been given it and had begun nothing."""

    @property
    def key(self) -> tuple[int, int]:
        """What names an attempt."""
        return self.order.run_id, self.order.attempt
