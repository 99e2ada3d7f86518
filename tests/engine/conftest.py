"""An engine on a clock that only the test moves, with an executor that ends attempts as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.core.clock import ManualClock
from orchestrator.core.hooks import Notifier
from orchestrator.core.plan import Job, Plan, Queue
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import ErrorInfo, Outcome, Run, RunState
from orchestrator.core.triggers import CronSpec, EverySpec, TimeTrigger
from orchestrator.engine.engine import Engine
from orchestrator.engine.events import Event
from orchestrator.executors.contract import Ended, Order, Report
from orchestrator.store import queries
from orchestrator.store.store import Store

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)


class StubExecutor:
    """Ends every order at once by `behave`; an order for which that gives None is held until the test ends it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.room = 1000
        self.plan: Plan | None = None
        self.orders: list[Order] = []
        self.held: dict[int, Order] = {}
        self.cancelled: list[tuple[int, str]] = []
        self.behave: Callable[[Order], Outcome | ErrorInfo | None] = lambda _: Outcome.SUCCEEDED
        self._report: Callable[[list[Report]], None] = lambda _: None

    async def start(self, plan: Plan, report: Callable[[list[Report]], None]) -> None:
        self.plan = plan
        self._report = report

    def capacity(self, isolation: Isolation) -> int:
        return self.room - len(self.held)

    def submit(self, orders: list[Order]) -> None:
        for order in orders:
            self.orders.append(order)
            self.held[order.run_id] = order
            behaviour = self.behave(order)
            if isinstance(behaviour, ErrorInfo):
                self.end(order.run_id, Outcome.FAILED, error=behaviour)
            elif behaviour is not None:
                self.end(order.run_id, behaviour)

    def end(self, run_id: int, outcome: Outcome, **fields: Any) -> None:
        order = self.held.pop(run_id)
        now = self._clock.now()
        started = None if fields.pop("unstarted", False) else now
        self._report(
            [
                Ended(
                    run_id=run_id, attempt=order.attempt, outcome=outcome, started_at=started, finished_at=now, **fields
                )
            ]
        )

    def report(self, *reports: Report) -> None:
        self._report(list(reports))

    def cancel(self, run_id: int, attempt: int, reason: str) -> None:
        self.cancelled.append((run_id, reason))
        if run_id in self.held:
            self.end(run_id, Outcome.CANCELLED, reason=reason)

    def apply(self, plan: Plan) -> None:
        self.plan = plan

    async def stop(self, grace: timedelta, hurry: Callable[[], bool]) -> None:
        for run_id in list(self.held):
            self.end(run_id, Outcome.RELEASED, reason="interrupted by shutdown")


class Bench:
    """A store in a file, a clock, and engines that run while a test looks."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOON)
        self.url = f"sqlite:///{folder}/state.db"
        self.events: list[Event] = []
        self.executor = StubExecutor(self.clock)
        self.engine: Engine | None = None
        self.view = Store(self.url)

    @asynccontextmanager
    async def running(
        self, *jobs: Job, queues: tuple[Queue, ...] = (), notifiers: tuple[Notifier, ...] = (), **options: Any
    ) -> AsyncIterator[Engine]:
        """An engine with these jobs; it has started when the block begins and has stopped when it ends.

        One that runs within another's block has an executor of its own, that behaves like the first's.
        """
        plan = Plan(
            path="/nowhere/jobs.yaml",
            root="/nowhere",
            timezone="UTC",
            jobs={job.name: job for job in (*jobs, *(Job(name=one.delivery, call="deliver") for one in notifiers))},
            queues={queue.name: queue for queue in queues},
            notifiers={notifier.name: notifier for notifier in notifiers},
        )
        executor = self.executor
        if self.engine is not None:
            executor = StubExecutor(self.clock)
            executor.behave = self.executor.behave
        engine = Engine(plan, Store(self.url), executor, clock=self.clock, emit=self.events.append, **options)
        outer, self.engine = self.engine, engine
        before = len(self.events)
        working = asyncio.create_task(engine.run())
        try:
            await self.until(lambda: working.done() or "engine.started" in [e.name for e in self.events[before:]])
            if working.done():
                working.result()
            yield engine
        finally:
            engine.stop()
            await asyncio.wait_for(working, 20)
            self.engine = outer

    def runs(self, job: str | None = None, *states: RunState) -> list[Run]:
        """Runs, oldest first."""
        wanted = queries.RunFilter(jobs=[job] if job else [], states=list(states), limit=100_000)
        return self.view.read(queries.list_runs, wanted)[::-1]

    def states(self, job: str | None = None) -> list[str]:
        return [run.state.value for run in self.runs(job)]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    async def until(self, fact: Callable[[], Any], *, deadline: float = 20) -> None:
        """Wait for a fact; time on the engine's clock stands still meanwhile."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        while not fact():
            assert loop.time() < end, "it never happened"
            await asyncio.sleep(0.002)

    async def pass_time(self, total: timedelta, step: timedelta = timedelta(seconds=1)) -> None:
        """Let time pass in steps, the engine doing what each step asks of it before the next comes."""
        passed = timedelta(0)
        while passed < total:
            self.clock.advance(step)
            passed += step
            await self.at_rest()

    async def at_rest(self) -> None:
        """Wait until the engine waits for time again: its scheduler, dispatcher and maintenance all on the clock."""
        calm = 0

        def at_rest() -> bool:
            nonlocal calm
            engine = self.engine
            assert engine is not None
            busy = engine._dispatcher._wake.is_set() or engine._recorder._reports or engine._recorder._arrived.is_set()
            calm = calm + 1 if self.clock.waiting >= 3 and not busy else 0
            return calm >= 3

        await self.until(at_rest)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def cron(expression: str, **fields: Any) -> TimeTrigger:
    return TimeTrigger(spec=CronSpec(expression=expression, **fields))


def every(phrase: str) -> TimeTrigger:
    return TimeTrigger(spec=EverySpec(phrase=phrase))


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """A job that succeeds; `cron=` and `every=` are shorthand for triggers."""

    def make(name: str = "tick", **fields: Any) -> Job:
        triggers = [cron(fields.pop("cron"))] if "cron" in fields else []
        triggers += [every(fields.pop("every"))] if "every" in fields else []
        fields.setdefault("triggers", tuple(triggers))
        return msgspec.structs.replace(Job(name=name, call=f"test.{name}"), **fields)

    return make
