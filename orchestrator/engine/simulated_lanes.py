"""Which simulated run starts when? Workers, queues and jobs with the limits of a plan, and who waits for them."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from datetime import datetime

from orchestrator.core.plan import Plan
from orchestrator.core.policies import Isolation
from orchestrator.engine.simulated_rates import SimulatedRates
from orchestrator.store.creation import NewRun

WAITING, RUNNING, OVER = range(3)


class SimulatedRun:
    """A run of a simulation."""

    __slots__ = ("is_aside", "new", "number", "state")

    def __init__(self, number: int, new: NewRun) -> None:
        self.number = number
        self.new = new
        self.state = WAITING
        self.is_aside = False
        """It runs, but takes no place of a worker or a queue: a workflow, whose steps do."""


class Lanes:
    """Starts runs by priority, then by when they were due, as far as workers, queues and jobs have room, and rates let
    them. That keys take turns, and how many of one may run at once, is not modelled."""

    def __init__(self, plan: Plan) -> None:
        workers = plan.workers
        self._room = {
            Isolation.PROCESS: workers.processes,
            Isolation.ASYNC: workers.async_limit,
            Isolation.THREAD: workers.threads,
        }
        self._queue_limits = {q.name: q.concurrency for q in plan.queues.values() if q.concurrency is not None}
        self._job_limits = {j.name: j.concurrency for j in plan.jobs.values() if j.concurrency is not None}
        self._rates = SimulatedRates(plan)
        self._in_queue: Counter[str] = Counter()
        self._in_job: Counter[str] = Counter()
        self._lines: dict[Isolation, list[tuple[int, int, SimulatedRun]]] = {kind: [] for kind in Isolation}
        # Who stands before a limit waits there, so that a place that falls free costs one look and not one for each.
        self._at_job: defaultdict[str, deque[SimulatedRun]] = defaultdict(deque)
        self._at_queue: defaultdict[str, deque[SimulatedRun]] = defaultdict(deque)
        self.depths: Counter[str] = Counter()
        """How many runs wait in each queue."""

    def put(self, run: SimulatedRun) -> None:
        """A run is due."""
        self.depths[run.new.queue] += 1
        self._line_up(run)

    def withdraw(self, run: SimulatedRun) -> None:
        """A waiting run is cancelled."""
        run.state = OVER
        self.depths[run.new.queue] -= 1

    def leave(self, run: SimulatedRun) -> None:
        """A running one has ended."""
        run.state = OVER
        if not run.is_aside:
            self._leave_place(run)
        self._in_job[run.new.job] -= 1
        if waiting := self._at_job.get(run.new.job):
            self._line_up(waiting.popleft())

    def step_aside(self, run: SimulatedRun) -> None:
        """One that has started needs no place; it still counts for its job."""
        run.is_aside = True
        self._leave_place(run)

    def _leave_place(self, run: SimulatedRun) -> None:
        new = run.new
        self._room[new.isolation] += 1
        self._in_queue[new.queue] -= 1
        if waiting := self._at_queue.get(new.queue):
            self._line_up(waiting.popleft())

    @property
    def next_start(self) -> datetime | None:
        """When a rate lets the next one start."""
        return self._rates.next_start

    def start(self, now: datetime) -> list[SimulatedRun]:
        """Those that start now."""
        started: list[SimulatedRun] = []
        for run in self._rates.released(now):
            self._line_up(run)
        for isolation, line in self._lines.items():
            while line and self._room[isolation] > 0:
                run = heapq.heappop(line)[2]
                if run.state is WAITING and self._admits(run, now):
                    self._enter(run, now)
                    started.append(run)
        return started

    def _line_up(self, run: SimulatedRun) -> None:
        new = run.new
        heapq.heappush(self._lines[new.isolation], (new.rank, run.number, run))

    def _admits(self, run: SimulatedRun, now: datetime) -> bool:
        job, queue = run.new.job, run.new.queue
        if self._in_job[job] >= self._job_limits.get(job, 1 << 30):
            self._at_job[job].append(run)
            return False
        if self._in_queue[queue] >= self._queue_limits.get(queue, 1 << 30):
            self._at_queue[queue].append(run)
            return False
        return self._rates.admit(run, now)

    def _enter(self, run: SimulatedRun, now: datetime) -> None:
        new = run.new
        self._rates.enter(run, now)
        run.state = RUNNING
        self.depths[new.queue] -= 1
        self._room[new.isolation] -= 1
        self._in_queue[new.queue] += 1
        self._in_job[new.job] += 1
