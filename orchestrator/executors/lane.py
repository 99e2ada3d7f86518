"""The workers of one isolation and the orders that wait for them: who gets what, and when there is one worker more."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice

from orchestrator.core.runs import Outcome
from orchestrator.executors.blueprint import Blueprint
from orchestrator.executors.departure import Remains
from orchestrator.executors.flight import Flight, Verdict
from orchestrator.executors.ledger import Ledger
from orchestrator.executors.settlement import settle
from orchestrator.executors.starts import Starts
from orchestrator.executors.supervision import Supervision
from orchestrator.executors.worker import State, Worker
from orchestrator.worker.messages import Finished, FromWorker, Noted, Ready, Voided

IDLE_AFTER = 60.0
"""Seconds after which a worker that isn't needed to stay warm is retired."""
_WAITED = 0.05
"""Seconds that a short order may wait before another worker is started for it."""
_DEATHS = 3
_NOTED = 4096
"""Characters of a worker's own output that are shown when it can't be started."""
_START_MARGIN = 10.0
"""Seconds that a start may take beyond the import timeout."""


class Lane:
    """A queue and its workers. Subclasses decide who is given how much."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ledger: Ledger, blueprint: Blueprint) -> None:
        self._loop = loop
        self._ledger = ledger
        self._blueprint = blueprint
        self._starts = Starts()
        self._trimming = False
        self._closing = False
        self._condemned = False
        self.queue: deque[Flight] = deque()
        self.workers: list[Worker] = []
        self.supervision = Supervision(ledger, self)
        self._warm_up()

    # What the executor asks.

    @property
    def restless(self) -> bool:
        """Whether something is under way that must be looked after."""
        calm = (State.READY, State.GONE)
        return bool(self.queue) or any(w.flights or w.stuck or w.state not in calm for w in self.workers)

    @property
    def busy(self) -> bool:
        """Whether an order hasn't ended."""
        return bool(self.queue) or any(worker.flights for worker in self.workers)

    def capacity(self) -> int:
        """How many more orders to take."""
        ready = any(worker.state is State.READY for worker in self.workers)
        if self._closing or not (ready or self._starts.allowed(time.monotonic())):
            return 0
        held = len(self.queue) + sum(len(worker.flights) for worker in self.workers if worker.alive)
        return max(0, self._room() - held)

    def submit(self, flights: list[Flight]) -> None:
        """Execute them, in order as far as they wait."""
        self.queue.extend(flights)
        self.pump()

    def cancel(self, flight: Flight, reason: str) -> None:
        """Stop an attempt."""
        self.supervision.condemn(flight, Verdict(Outcome.CANCELLED, reason), time.monotonic())
        if flight.worker is None:
            self._condemned = True
            self.pump()

    def tick(self, now: float, *, memory: bool) -> None:
        """Look after timeouts and workers."""
        within = self._blueprint.limits.import_timeout.total_seconds() + _START_MARGIN
        self.supervision.check(self.workers, now, start_within=within)
        if memory:
            self.supervision.check_memory(self.workers)
        if self.queue:
            self._drop_overdue()
            self.pump()
            self._give_up_waiting(now)

    def apply(self, blueprint: Blueprint) -> None:
        """Start anew with another plan; the present workers finish what they have begun."""
        self._blueprint = blueprint
        self._starts = Starts()
        for worker in list(self.workers):
            if worker.alive:
                self.retire(worker, "the configuration changed")
        self._warm_up()
        self.pump()

    def give_back(self) -> None:
        """Begin to close: return what hasn't begun."""
        self._closing = True
        self._release_queue("given back at shutdown")
        for worker in self.workers:
            worker.revoke()

    def interrupt(self, grace: float) -> None:
        """Stop what still runs; it is not charged for that."""
        now = time.monotonic()
        for worker in self.workers:
            for flight in list(worker.flights.values()):
                verdict = Verdict(Outcome.RELEASED, "interrupted by shutdown")
                self.supervision.condemn(flight, verdict, now, min(flight.grace, grace))

    def dismiss(self) -> None:
        """Send every worker home."""
        for worker in self.workers:
            if worker.state is State.STARTING or worker.stuck:
                worker.kill("shutdown")
            elif worker.state in (State.READY, State.RETIRING):
                self.retire(worker, "shutdown")

    # What workers tell.

    def on_messages(self, worker: Worker, messages: list[FromWorker]) -> None:
        for message in messages:
            if type(message) is Finished:
                self._on_finished(worker, message)
            elif isinstance(message, Voided):
                worker.voided(message.sequence)
            elif isinstance(message, Ready):
                self._on_ready(worker, message)
            elif isinstance(message, Noted):
                worker.noted = (worker.noted + message.text)[-_NOTED:]
                self._ledger.notice("worker.output", pid=worker.pid, stream=message.stream, text=message.text)
            elif not isinstance(message, Finished):
                self._ledger.pass_on(message)
        if worker.state is State.RETIRING and worker.empty:
            worker.stop()
        if self.queue:
            self.pump()

    def on_returned(self, worker: Worker, flights: list[Flight]) -> None:
        self.queue.extendleft(reversed(flights))
        self._condemned = self._condemned or any(flight.verdict is not None for flight in flights)
        self._drop_deadly()
        if self._closing:
            self._release_queue("given back at shutdown")
        if worker.state is State.RETIRING and worker.empty:
            worker.stop()
        self.pump()

    def on_gone(self, worker: Worker, remains: Remains) -> None:
        self.workers.remove(worker)
        self._blueprint.ended(worker)
        settle(worker, remains, self._ledger)
        if not worker.was_ready:
            self._on_failed_start(worker, remains)
        else:
            expected = worker.killed or (remains.status == 0 and bool(worker.why))
            if not expected and not worker.runs:
                self._count_failed_start(remains.words)
            level = "info" if expected else "warning"
            self._ledger.notice("worker.exited", level, pid=worker.pid, how=remains.words, why=worker.why)
        self._warm_up()
        self.pump()

    def retire(self, worker: Worker, why: str) -> None:
        """Take a worker out of service; what it has begun ends there."""
        if worker.state is State.STARTING:
            worker.kill(why)
        elif worker.state is State.READY:
            worker.state, worker.why = State.RETIRING, why
            self._ledger.notice("worker.retired", "debug", pid=worker.pid, why=why)
            worker.revoke()
            if worker.empty:
                worker.stop()
            self._warm_up()
        elif worker.state is State.RETIRING and worker.empty:
            worker.stop()

    # How orders are given out.

    def pump(self) -> None:
        """Give waiting orders to workers, and start a worker if that doesn't help."""
        self._end_condemned()
        if self.queue and not self._closing:
            self._hand_out()
            if self.queue:
                self._grow()
        self._trim_later()

    def _hand_out(self) -> None:
        raise NotImplementedError

    def _room(self) -> int:
        """How many orders to hold at once, those that run included."""
        raise NotImplementedError

    def _may_wait(self, flight: Flight) -> bool:
        """Whether an order is better served by the present workers soon than by another one now."""
        raise NotImplementedError

    def _learn(self, worker: Worker, flight: Flight, message: Finished) -> None:
        """Take note of how it went."""

    def _on_finished(self, worker: Worker, message: Finished) -> None:
        flight = worker.release(message.sequence)
        if flight is None:
            return
        self._starts.succeeded()
        self._learn(worker, flight, message)
        self._ledger.finish(flight, message, worker.pid)
        limits = self._blueprint.limits
        if worker.runs >= limits.max_runs:
            self.retire(worker, f"it has executed {worker.runs} attempts")
        elif message.memory > limits.max_memory:
            self.retire(worker, f"it holds {message.memory // 2**20} MiB")
        elif message.short_of_files:
            self.retire(worker, "it has hardly any file descriptors left")

    def _on_ready(self, worker: Worker, message: Ready) -> None:
        worker.was_ready = True
        if worker.state is State.STARTING:
            worker.state = State.READY
            worker.idle_since = time.monotonic()
        seconds = round(time.monotonic() - worker.since, 3)
        self._ledger.notice("worker.ready", pid=worker.pid, isolation=self._isolation, seconds=seconds)
        for call, problem in message.problems.items():
            self._ledger.notice("worker.problem", "warning", pid=worker.pid, call=call, problem=problem)

    @property
    def _isolation(self) -> str:
        return self._blueprint.setup.isolation.value

    @property
    def _alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    def _warm_up(self) -> None:
        if not self._closing:
            for _ in range(self._blueprint.warm - len(self._alive)):
                self._start()

    def _grow(self) -> None:
        alive = self._alive
        starting = sum(worker.state is State.STARTING for worker in alive)
        wanted = sum(not self._may_wait(flight) for flight in islice(self.queue, self._blueprint.most))
        if not wanted and time.monotonic() - self.queue[0].queued_at > _WAITED:
            wanted = 1
        for _ in range(min(wanted - starting, self._blueprint.most - len(alive))):
            self._start()

    def _start(self) -> None:
        now = time.monotonic()
        if not self._starts.allowed(now):
            return
        try:
            worker = self._blueprint.start(self._blueprint.setup, self)
        except OSError as error:
            self._on_refused_start(error.strerror or str(error))
            return
        self.workers.append(worker)
        if self._starts.accepted():
            self._ledger.notice("worker.resumed", isolation=self._isolation)
        self._ledger.notice("worker.started", "debug", pid=worker.pid, isolation=self._isolation)

    def _on_failed_start(self, worker: Worker, remains: Remains) -> None:
        if worker.killed and not worker.why.startswith("it was not ready"):
            return
        why = worker.why if worker.killed else remains.words
        said = (worker.noted + remains.output.get("stderr", "") + remains.dump)[-_NOTED:]
        self._ledger.notice("worker.failed", "error", pid=worker.pid, why=why, said=said)
        self._count_failed_start(f"{why}\n{said}".strip())

    def _on_refused_start(self, why: str) -> None:
        """The machine is at fault, not the plugins: what waits is given back uncharged, for whoever can execute it."""
        if self._starts.is_news(why):
            self._ledger.notice("worker.refused", "error", isolation=self._isolation, why=why)
        self._loop.call_later(self._starts.refused(time.monotonic()), self._retry_start)
        if not any(worker.alive for worker in self.workers):
            self._release_queue(f"given back: {why}")

    def _count_failed_start(self, why: str) -> None:
        self._loop.call_later(self._starts.failed(time.monotonic()), self._retry_start)
        if (reason := self._starts.hopeless(why)) is not None and not any(w.was_ready for w in self.workers):
            while self.queue:
                self._ledger.end(self.queue.popleft(), Outcome.CRASHED, reason, trace=why)

    def _retry_start(self) -> None:
        self._warm_up()
        self.pump()

    def _drop_deadly(self) -> None:
        """End orders whose mere arrival seems to kill workers, so that they don't do it for ever."""
        for flight in [flight for flight in self.queue if flight.deaths >= _DEATHS]:
            self.queue.remove(flight)
            self._ledger.end(flight, Outcome.CRASHED, f"{flight.deaths} workers died before it began")

    def _end_condemned(self) -> None:
        if self._condemned:
            self._condemned = False
            kept = []
            for flight in self.queue:
                if flight.verdict is None:
                    kept.append(flight)
                else:
                    self._ledger.end(flight, *flight.verdict)
            self.queue = deque(kept)

    def _drop_overdue(self) -> None:
        wall = self._ledger.now()
        for flight in self.queue:
            if flight.order.deadline_at is not None and wall >= flight.order.deadline_at:
                flight.verdict = Verdict(Outcome.CANCELLED, "its deadline passed")
                self._condemned = True

    def _give_up_waiting(self, now: float) -> None:
        """Orders were taken in the hope that they would be served soon, which turns out wrong: return them."""

    def _release_queue(self, reason: str) -> None:
        while self.queue:
            self._ledger.end(self.queue.popleft(), Outcome.RELEASED, reason)

    def _trim_later(self) -> None:
        if not self._trimming and not self._closing and len(self._alive) > self._blueprint.warm:
            self._trimming = True
            self._loop.call_later(IDLE_AFTER / 2, self._trim)

    def _trim(self) -> None:
        self._trimming = False
        now = time.monotonic()
        idle = [
            w for w in self.workers if w.state is State.READY and not w.flights and now - w.idle_since >= IDLE_AFTER
        ]
        for worker in idle[: max(0, len(self._alive) - self._blueprint.warm)]:
            self.retire(worker, "it was idle")
        self._trim_later()
