"""The lane of sync callables: several worker processes, one attempt at a time in each, short ones waiting in line there
so that a worker needn't wait for the engine between them."""

from __future__ import annotations

import asyncio

from orchestrator.executors.blueprint import Blueprint
from orchestrator.executors.estimates import Estimates
from orchestrator.executors.flight import Flight
from orchestrator.executors.lane import Lane
from orchestrator.executors.ledger import Ledger
from orchestrator.executors.worker import SoloWorker, State, Worker
from orchestrator.worker.messages import Finished

_PREFETCH = 32
_REFILL_AT = 16
_PATIENCE = 1.0
"""Seconds that an order waits for busy workers before it is given back for others to execute."""


class ProcessLane(Lane):
    """Hands out single orders to idle workers, and lines of short ones to busy workers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ledger: Ledger, blueprint: Blueprint) -> None:
        self._estimates = Estimates()
        super().__init__(loop, ledger, blueprint)

    def _room(self) -> int:
        ahead = self._estimates.ahead()
        if not ahead:
            return self._blueprint.most
        flowing = sum(1 for worker in self._ready if not worker.stalled)
        return self._blueprint.most + ahead * flowing

    @property
    def _ready(self) -> list[SoloWorker]:
        return [w for w in self.workers if isinstance(w, SoloWorker) and w.state is State.READY]

    def _hand_out(self) -> None:
        queue, is_short = self.queue, self._estimates.is_short
        ready = [worker for worker in self._ready if not worker.revoking]
        for worker in ready:
            if queue and not worker.flights:
                worker.only_short = is_short(queue[0].order.job)
                worker.assign([queue.popleft()])
        for worker in ready:
            if worker.only_short and not worker.stalled and len(worker.flights) <= _REFILL_AT:
                line: list[Flight] = []
                most = min(_PREFETCH - _REFILL_AT, self._blueprint.limits.max_runs - worker.runs - len(worker.flights))
                while queue and len(line) < most and is_short(queue[0].order.job):
                    line.append(queue.popleft())
                if line:
                    worker.assign(line)

    def _may_wait(self, flight: Flight) -> bool:
        return self._estimates.is_short(flight.order.job) and any(not worker.stalled for worker in self._ready)

    def _learn(self, worker: Worker, flight: Flight, message: Finished) -> None:
        self._estimates.note(flight.order.job, (message.finished_at - message.started_at).total_seconds())
        if message.asked:
            # It was interrupted at an arbitrary point: locks may be held, globals half changed.
            self.retire(worker, f"{flight.order.job} was interrupted in it")

    def _give_up_waiting(self, now: float) -> None:
        if not self.queue or now - self.queue[0].queued_at < _PATIENCE or self._may_grow(now):
            return
        if all(worker.state is State.READY and worker.stalled for worker in self._ready_or_starting()):
            self._release_queue("given back: every worker is busy")

    def _may_grow(self, now: float) -> bool:
        return len(self._alive) < self._blueprint.most and not self._starts.refusing(now)

    def _ready_or_starting(self) -> list[SoloWorker]:
        return [worker for worker in self._alive if isinstance(worker, SoloWorker)]
