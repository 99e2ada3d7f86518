"""Which attempt overran its time, its deadline or its memory, and which worker doesn't answer? Looked at a few times a
second while anything is under way; decides verdicts and carries them out: ask, wait the grace, kill."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from orchestrator.core.runs import Outcome
from orchestrator.core.units import format_duration, format_size
from orchestrator.executors.flight import Flight, Verdict
from orchestrator.executors.heartbeats import Listening
from orchestrator.executors.ledger import Ledger
from orchestrator.executors.worker import LoopWorker, SoloWorker, State, ThreadWorker, Worker
from orchestrator.worker import memory

STALL = 0.05
"""Seconds that an attempt runs before those behind it are given to others."""
_DEAF_AFTER = 2.0
"""Seconds after which a worker that hasn't begun what it could begin is replaced."""
STOP_WITHIN = 5.0
"""Seconds for closing resources."""
_DRAIN_WITHIN = 60.0
"""Seconds that a thread worker's other attempts get to finish when one of them couldn't be stopped."""


class Retirer(Protocol):
    """Takes a worker out of service."""

    def retire(self, worker: Worker, why: str) -> None:
        """It gets no more orders, and is told to stop when it has finished those that began."""


class Supervision:
    """Looks after the workers of one lane."""

    def __init__(self, ledger: Ledger, lane: Retirer) -> None:
        self._ledger = ledger
        self._lane = lane
        self._listening = Listening()

    def check(self, workers: Iterable[Worker], now: float, *, start_within: float) -> None:
        """Look at every worker once. `now` is monotonic; a start may take `start_within` seconds."""
        wall = self._ledger.now()
        self._listening.look(now)
        for worker in list(workers):
            if worker.state is State.STARTING and now - worker.since > start_within:
                worker.kill(f"it was not ready after {start_within:g}s")
            elif worker.state is State.STOPPING and now - worker.since > STOP_WITHIN:
                worker.kill(f"its resources were not closed after {STOP_WITHIN:g}s")
            elif worker.state in (State.READY, State.RETIRING):
                self._check_flights(worker, now, wall)
                self._check_stuck(worker, now)

    def check_memory(self, workers: Iterable[Worker]) -> None:
        """Kill what is over its limit. Only a worker that runs one attempt at a time can tell whose memory it is."""
        limited = {
            worker.pid: (worker, flight, flight.order.memory_limit)
            for worker in workers
            if isinstance(worker, SoloWorker) and worker.state in (State.READY, State.RETIRING)
            for flight in worker.watched()
            if flight.order.memory_limit is not None and worker.started(flight) is not None
        }
        for pid, size in memory.resident(limited).items() if limited else ():
            worker, flight, limit = limited[pid]
            if limit is not None and size > limit:
                reason = f"used {format_size(size)}, over its memory limit of {format_size(limit)}"
                flight.verdict = Verdict(Outcome.CRASHED, reason)
                worker.kill(reason)

    def condemn(self, flight: Flight, verdict: Verdict, now: float, grace: float | None = None) -> None:
        """Decide that an attempt is to be stopped; the first decision about it stands, a shorter grace prevails."""
        if grace is not None and grace < flight.grace:
            flight.kill_at -= flight.grace - grace
            flight.grace = grace
        if flight.verdict is None:
            flight.verdict = verdict
        self._press(flight, now)

    def _check_flights(self, worker: Worker, now: float, wall: datetime) -> None:
        for flight in worker.watched():
            started = worker.started(flight)
            if started is None:
                if now - flight.assigned_at > _DEAF_AFTER and worker.state is State.READY:
                    self._replace_deaf(worker)
                if flight.order.deadline_at is not None and wall >= flight.order.deadline_at:
                    self.condemn(flight, _OVERDUE, now)
                continue
            if isinstance(worker, SoloWorker) and now - started > STALL and not worker.stalled:
                worker.stalled = True
                if len(worker.flights) > 1:
                    worker.revoke()
            if flight.verdict is None:
                self._judge(worker, flight, started, now, wall)
            if flight.verdict is not None:
                self._press(flight, now)

    def _replace_deaf(self, worker: Worker) -> None:
        sequence, _ = worker.slot.stepping()
        job = worker.flights[sequence].order.job if sequence in worker.flights else None
        self._ledger.notice("worker.blocked", "warning", pid=worker.pid, job=job)
        self._lane.retire(worker, "it does not begin what it is given")

    def _judge(self, worker: Worker, flight: Flight, started: float, now: float, wall: datetime) -> None:
        order = flight.order
        if flight.timeout is not None and order.timeout is not None and now - started >= flight.timeout:
            flight.verdict = Verdict(Outcome.TIMED_OUT, f"timed out after {format_duration(order.timeout)}")
            if isinstance(worker, ThreadWorker):
                self._abandon(worker, flight, now)
        elif order.deadline_at is not None and wall >= order.deadline_at:
            flight.verdict = _OVERDUE
        elif flight.heartbeat is not None:
            flight.verdict = self._listening.verdict(worker, flight, now)
            if flight.verdict is not None and isinstance(worker, ThreadWorker):
                self._abandon(worker, flight, now)

    def _press(self, flight: Flight, now: float) -> None:
        """Ask an attempt that is to be stopped; if it was asked a grace ago, stop its worker."""
        worker = flight.worker
        if worker is None or flight.verdict is None or flight.sequence not in worker.flights:
            return
        if worker.started(flight) is None:
            worker.revoke()
        elif not flight.asked:
            flight.kill_at = now + flight.grace
            worker.ask(flight)
        elif now >= flight.kill_at:
            self._overran(worker, flight, now)

    def _overran(self, worker: Worker, flight: Flight, now: float) -> None:
        if isinstance(worker, ThreadWorker):
            self._abandon(worker, flight, now)
            return
        guilty = worker.blamed(flight)
        if guilty is not flight and isinstance(worker, LoopWorker):
            _blame(worker, guilty, flight, now)
        elif flight.verdict is not None:
            words = f"after the grace of {format_grace(flight.grace)}" if flight.grace else "at once"
            flight.verdict = flight.verdict._replace(reason=f"{flight.verdict.reason}; its worker was killed {words}")
        worker.kill(f"{guilty.order.job} did not stop when asked")

    def _abandon(self, worker: Worker, flight: Flight, now: float) -> None:
        """A thread can't be stopped: call it ended, and replace the worker in which it goes on."""
        if not flight.asked:
            worker.ask(flight)
            flight.kill_at = now + flight.grace
        outcome, reason = flight.verdict or _OVERDUE
        reason += "; its thread can't be stopped, so its worker is replaced"
        worker.stuck[flight.sequence] = worker.flights.pop(flight.sequence)
        self._ledger.end(flight, outcome, reason, started=worker.started(flight), pid=worker.pid)
        self._lane.retire(worker, f"{flight.order.job} goes on in a thread after its end")

    def _check_stuck(self, worker: Worker, now: float) -> None:
        if worker.stuck:
            since = min(flight.kill_at for flight in worker.stuck.values())
            if now >= since + (_DRAIN_WITHIN if worker.flights else 0):
                worker.kill("a thread of it could not be stopped")


_OVERDUE = Verdict(Outcome.CANCELLED, "its deadline passed")


def format_grace(seconds: float) -> str:
    """A grace in words."""
    return f"{seconds:g}s"


def _blame(worker: LoopWorker, guilty: Flight, flight: Flight, now: float) -> None:
    """Another attempt holds the loop, so that this one couldn't even hear that it should stop."""
    _, since = worker.slot.stepping()
    if guilty.verdict is None:
        reason = f"blocked the async worker's loop for {now - since:.1f}s; its worker was killed"
        guilty.verdict = Verdict(Outcome.CRASHED, reason)
    if flight.verdict is not None and flight.verdict.outcome is Outcome.TIMED_OUT:
        flight.verdict = Verdict(Outcome.RELEASED, f"interrupted: {guilty.order.job} blocked the async worker's loop")
