"""When may a simulated run start, by the rates of its queue and of its key? The same windows as the store's."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.core.plan import Plan
from orchestrator.core.policies import RateLimit

if TYPE_CHECKING:
    from orchestrator.engine.simulated_lanes import SimulatedRun

Subject = tuple[str, str]
"""A queue and a key; an empty key stands for the whole queue."""


class SimulatedRates:
    """The starts of queues with rates, and who waits for them."""

    def __init__(self, plan: Plan) -> None:
        self._of_queue = {q.name: q.rate_limit for q in plan.queues.values() if q.rate_limit is not None}
        per_key = ((q.name, q.per_key.rate_limit) for q in plan.queues.values() if q.per_key is not None)
        self._of_keys = {name: rate for name, rate in per_key if rate is not None}
        self._starts: defaultdict[Subject, deque[datetime]] = defaultdict(deque)
        self._waiting: dict[Subject, deque[SimulatedRun]] = {}

    def admit(self, run: SimulatedRun, now: datetime) -> bool:
        """Whether the run may start; one that may not waits here."""
        for subject, rate in self._subjects(run):
            if self._left(subject, rate, now) <= 0:
                self._waiting.setdefault(subject, deque()).append(run)
                return False
        return True

    def enter(self, run: SimulatedRun, now: datetime) -> None:
        """The run starts."""
        for subject, _ in self._subjects(run):
            self._starts[subject].append(now)

    def released(self, now: datetime) -> Iterator[SimulatedRun]:
        """Those that waited here, as many as may start."""
        for subject, waiting in list(self._waiting.items()):
            for _ in range(min(len(waiting), self._left(subject, self._rate(subject), now))):
                yield waiting.popleft()
            if not waiting:
                del self._waiting[subject]

    @property
    def next_start(self) -> datetime | None:
        """When the next of those that wait here may start."""
        full = [subject for subject in self._waiting if len(self._starts[subject]) >= self._rate(subject).count]
        return min((self._starts[subject][0] + self._rate(subject).period for subject in full), default=None)

    def _subjects(self, run: SimulatedRun) -> Iterator[tuple[Subject, RateLimit]]:
        queue, key = run.new.queue, run.new.group_key
        if (rate := self._of_queue.get(queue)) is not None:
            yield (queue, ""), rate
        if key and (rate := self._of_keys.get(queue)) is not None:
            yield (queue, key), rate

    def _rate(self, subject: Subject) -> RateLimit:
        return self._of_keys[subject[0]] if subject[1] else self._of_queue[subject[0]]

    def _left(self, subject: Subject, rate: RateLimit, now: datetime) -> int:
        starts = self._starts[subject]
        while starts and starts[0] <= now - rate.period:
            starts.popleft()
        return rate.count - len(starts)
