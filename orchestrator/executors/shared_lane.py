"""The lanes in which one worker executes many attempts at once: on a loop, or in threads."""

from __future__ import annotations

from orchestrator.executors.flight import Flight
from orchestrator.executors.lane import Lane
from orchestrator.executors.worker import SharedWorker, State


class SharedLane(Lane):
    """Hands out as many orders as the worker has places."""

    def _room(self) -> int:
        return self._blueprint.setup.limit

    def _hand_out(self) -> None:
        for worker in self.workers:
            if isinstance(worker, SharedWorker) and worker.state is State.READY and not worker.revoking:
                count = min(worker.room, len(self.queue))
                if count:
                    worker.assign([self.queue.popleft() for _ in range(count)])

    def _may_wait(self, flight: Flight) -> bool:  # noqa: ARG002 - there is only ever one worker that takes orders
        return False
