"""How much may still start? What remains of every limit while a claim is put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, exists, func, select

from orchestrator.core.keys import NO_KEY
from orchestrator.core.plan import Queue
from orchestrator.store.candidates import Candidate, ClaimRequest
from orchestrator.store.starts import Budget
from orchestrator.store.states import is_active, is_running, is_waiting
from orchestrator.store.tables import flows, runs

NO_LIMIT = 2**31


class Room:
    """What queues and jobs have left."""

    def __init__(self, connection: Connection, request: ClaimRequest) -> None:
        self._job_limits = request.job_limits
        self._queue_limits = request.queue_limits
        self._workerless = request.workerless
        self._by_job: Counter[str] = Counter()
        self._by_queue: Counter[str] = Counter()
        if request.job_limits or request.queue_limits:
            self._count_running(connection)
        if request.flow_jobs:
            self._count_begun(connection, request.flow_jobs)
        self._budgets = {
            queue.name: Budget(connection, queue.name, queue.rate_limit, request.now)
            for queue in request.ruled.values()
            if queue.rate_limit is not None
        }
        self.keys = {
            queue.name: KeyRoom(connection, queue, request)
            for queue in request.ruled.values()
            if queue.per_key is not None
        }
        """For each queue whose keys have limits, what they have left."""

    def _count_running(self, connection: Connection) -> None:
        """Served by `runs_running`; what runs at once is as many as workers take, so the count is short."""
        statement = select(runs.c.queue, runs.c.job, func.count()).where(is_running, runs.c.batch_id.is_(None))
        for queue, job, count in connection.execute(statement.group_by(runs.c.queue, runs.c.job)):
            self._by_queue[queue] += count
            self._by_job[job] += count

    def _count_begun(self, connection: Connection, jobs: Sequence[str]) -> None:
        """Workflows that wait for their steps. Served by `runs_active`."""
        begun = exists().where(flows.c.id == runs.c.id)
        statement = select(runs.c.job, func.count()).where(is_active, is_waiting, runs.c.job.in_(jobs), begun)
        for job, count in connection.execute(statement.group_by(runs.c.job)):
            self._by_job[job] += count

    def in_queue(self, name: str) -> int:
        """How many more of this queue may start."""
        limit = self._queue_limits.get(name)
        room = NO_LIMIT if limit is None else max(0, limit - self._by_queue[name])
        budget = self._budgets.get(name)
        return room if budget is None or not room else min(room, budget.left())

    def admit(self, job: str) -> bool:
        """Whether one more of this job may start; if so, it is counted."""
        limit = self._job_limits.get(job)
        if limit is None:
            return True
        running = self._by_job.get(job, 0)
        if running >= limit:
            return False
        self._by_job[job] = running + 1
        return True

    def count(self, queue: str, started: Sequence[Candidate]) -> None:
        """These of this queue start."""
        self._by_queue[queue] += len(started)
        if queue in self._budgets:
            self._budgets[queue].spend(sum(row.job not in self._workerless for row in started))

    def write(self) -> datetime | None:
        """Log what starts; gives when more may start of what a rate holds back."""
        budgets = [*self._budgets.values(), *(keys.budget for keys in self.keys.values() if keys.budget is not None)]
        for budget in budgets:
            budget.write()
        return min((at for budget in budgets if (at := budget.next_at) is not None), default=None)


class KeyRoom:
    """What the keys of one queue have left."""

    def __init__(self, connection: Connection, queue: Queue, request: ClaimRequest) -> None:
        per_key = queue.per_key
        assert per_key is not None  # noqa: S101 - for the type checker
        self._concurrency = per_key.concurrency
        self._running = Counter[str]() if per_key.concurrency is None else _running_by_key(connection, queue.name)
        rate = per_key.rate_limit
        self.budget = None if rate is None else Budget(connection, queue.name, rate, request.now)
        self._workerless = request.workerless

    def look_at(self, keys: Iterable[str]) -> None:
        """Learn all at once what `left` will be asked."""
        if self.budget is not None:
            self.budget.look_at(key for key in keys if key != NO_KEY)

    def left(self, key: str) -> int:
        """How many more of this key may start."""
        if key == NO_KEY:
            return NO_LIMIT
        room = NO_LIMIT if self._concurrency is None else max(0, self._concurrency - self._running[key])
        return room if self.budget is None or not room else min(room, self.budget.left(key))

    def count(self, key: str, job: str) -> None:
        """One of this key starts, a run of this job."""
        if key == NO_KEY:
            return
        self._running[key] += 1
        if self.budget is not None and job not in self._workerless:
            self.budget.spend(key=key)


def _running_by_key(connection: Connection, queue: str) -> Counter[str]:
    """Served by `runs_running`."""
    running = select(runs.c.group_key, func.count()).where(is_running, runs.c.queue == queue).group_by(runs.c.group_key)
    return Counter({key: count for key, count in connection.execute(running) if key is not None})
