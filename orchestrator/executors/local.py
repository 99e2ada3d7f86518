"""Executes orders in worker processes on this machine: one lane for each isolation that the plan uses."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

from orchestrator.core.clock import Clock
from orchestrator.core.plan import Plan
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.executors.blueprint import Blueprint
from orchestrator.executors.contract import Executor, Order, Report
from orchestrator.executors.guardian import Guardian
from orchestrator.executors.lane import Lane
from orchestrator.executors.launch import launch
from orchestrator.executors.ledger import Ledger
from orchestrator.executors.process_lane import ProcessLane
from orchestrator.executors.shared_lane import SharedLane
from orchestrator.executors.worker import LoopWorker, SoloWorker, ThreadWorker, Worker
from orchestrator.worker.messages import Setup

TICK = 0.05
"""Seconds between two looks at what is under way."""
_MEMORY_EVERY = 4
_GUARD_EVERY = 20
_WARM_PROCESSES = 2
_LAST_GRACE = 2.0
"""Seconds, at most, between asking an attempt to stop and killing its worker when the engine shuts down."""
_HURRIED_GRACE = 0.2
_CLOSE_WITHIN = 8.0
_KINDS: dict[Isolation, type[Worker]] = {
    Isolation.PROCESS: SoloWorker,
    Isolation.ASYNC: LoopWorker,
    Isolation.THREAD: ThreadWorker,
}


class LocalExecutor(Executor):
    """The executor of one machine. All of it happens on the loop that called `start`."""

    def __init__(self, clock: Clock, results: Path) -> None:
        """`results` is the folder for the files of large results."""
        self._clock = clock
        self._results = str(results)
        self._mark = f"{os.getpid()}.{secrets.token_hex(6)}."
        self._numbers = count(1)
        self._guardian = Guardian(self._mark)
        self._lanes: dict[Isolation, Lane] = {}
        self._ticking = False
        self._ticks = 0
        self._stopped = False

    async def start(self, plan: Plan, report: Callable[[list[Report]], None]) -> None:
        """Start warm workers; returns without waiting for them, since orders may wait in the meantime."""
        self._loop = asyncio.get_running_loop()
        self._ledger = Ledger(self._clock, self._loop, report)
        self._plan = plan
        self._guardian.start()
        for isolation in _used(plan):
            self._lane(isolation)
        self._keep_ticking()

    def capacity(self, isolation: Isolation) -> int:
        """How many more orders it would take now; none once it is stopping."""
        return 0 if self._stopped else self._lane(isolation).capacity()

    def submit(self, orders: list[Order]) -> None:
        """Execute; each order ends in exactly one `Ended`."""
        flights = self._ledger.open(orders)
        if self._stopped:
            for flight in flights:
                self._ledger.end(flight, Outcome.RELEASED, "given back at shutdown")
            return
        lanes = {flight.order.isolation for flight in flights}
        for isolation in lanes:
            own = flights if len(lanes) == 1 else [f for f in flights if f.order.isolation is isolation]
            self._lane(isolation).submit(own)
        self._keep_ticking()

    def cancel(self, run_id: int, attempt: int, reason: str) -> None:
        """Stop an attempt: ask, wait its grace, kill. Unknown ones are ignored."""
        flight = self._ledger.flights.get((run_id, attempt))
        if flight is not None:
            self._lane(flight.order.isolation).cancel(flight, reason)
            self._keep_ticking()

    def apply(self, plan: Plan) -> None:
        """Use another plan: new workers start with it, the present ones finish what they have begun."""
        self._plan = plan
        for isolation in {*self._lanes, *_used(plan)}:
            if (lane := self._lanes.get(isolation)) is not None:
                lane.apply(self._blueprint(isolation))
            else:
                self._lane(isolation)
        self._keep_ticking()

    async def stop(self, grace: timedelta, hurry: Callable[[], bool]) -> None:
        """Give back what hasn't started, let the rest finish for `grace` (less once `hurry()`), stop what is left
        uncharged, close resources, leave no process."""
        self._stopped = True
        lanes = list(self._lanes.values())

        def idle() -> bool:
            return not any(lane.busy for lane in lanes)

        def gone() -> bool:
            return not any(lane.workers for lane in lanes)

        for lane in lanes:
            lane.give_back()
        self._keep_ticking()
        await _until(lambda: idle() or hurry(), grace.total_seconds())
        while not idle():
            for lane in lanes:
                lane.interrupt(_HURRIED_GRACE if hurry() else _LAST_GRACE)
            await _until(idle, TICK)
        for lane in lanes:
            lane.dismiss()
        await _until(lambda: gone() or hurry(), _CLOSE_WITHIN)
        for worker in [worker for lane in lanes for worker in lane.workers]:
            worker.kill("shutdown")
        await _until(gone, float("inf"))
        self._guardian.dismiss()
        self._ledger.flush()

    def _lane(self, isolation: Isolation) -> Lane:
        if (lane := self._lanes.get(isolation)) is None:
            kind = ProcessLane if isolation is Isolation.PROCESS else SharedLane
            lane = self._lanes[isolation] = kind(self._loop, self._ledger, self._blueprint(isolation))
        return lane

    def _blueprint(self, isolation: Isolation) -> Blueprint:
        plan, limits = self._plan, self._plan.workers
        used = isolation in _used(plan)
        most, places, warm = {
            Isolation.PROCESS: (limits.processes, 1, min(_WARM_PROCESSES, limits.processes)),
            Isolation.ASYNC: (1, limits.async_limit, 1),
            Isolation.THREAD: (1, limits.threads, 1),
        }[isolation]
        setup = Setup(
            isolation=isolation,
            sources=plan.sources,
            calls=tuple(
                {j.call: None for j in plan.jobs.values() if j.call and j.isolation is isolation and not j.unusable}
            ),
            resources=plan.resources,
            vars=plan.vars,
            secrets=plan.secrets,
            root=plan.root,
            results=self._results,
            limit=places,
        )
        return Blueprint(setup, most, warm if used else 0, limits, self._start_worker, self._forget_worker)

    def _start_worker(self, setup: Setup, lane: Lane) -> Worker:
        launched = launch(setup.limit, setup.root, f"{self._mark}{next(self._numbers)}.")
        try:
            worker = _KINDS[setup.isolation](self._loop, launched, setup, lane)
        except OSError:
            launched.undo()
            raise
        self._guardian.add(worker.pid)
        return worker

    def _forget_worker(self, worker: Worker) -> None:
        self._guardian.remove(worker.pid)

    def _keep_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self._ticks += 1
        now = time.monotonic()
        for lane in self._lanes.values():
            lane.tick(now, memory=self._ticks % _MEMORY_EVERY == 0)
        if self._ticks % _GUARD_EVERY == 0:
            self._guardian.check()
        if any(lane.restless for lane in self._lanes.values()):
            self._keep_ticking()


def _used(plan: Plan) -> set[Isolation]:
    return {job.isolation for job in plan.jobs.values() if not job.unusable}


async def _until(fact: Callable[[], bool], within: float) -> None:
    deadline = time.monotonic() + within
    while not fact() and time.monotonic() < deadline:  # noqa: ASYNC110 - `hurry` can only be asked
        await asyncio.sleep(TICK / 5)
