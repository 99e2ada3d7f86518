"""The engine's own periodic work: heartbeats, sweeping for dead engines, deadlines. It runs on `schedule`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import schedule

from orchestrator.core.clock import Clock
from orchestrator.core.errors import DamagedError, StoreError
from orchestrator.engine.events import Emit, Event

TICK = 1.0
"""Seconds between looks at what is due."""

Task = Callable[[], Awaitable[object]]


class Maintenance:
    """Periodic tasks, each with its interval in seconds. One that fails is reported and comes again."""

    def __init__(self, tasks: dict[Task, int], clock: Clock, emit: Emit) -> None:
        self._clock = clock
        self._emit = emit
        self._due: list[Task] = []
        self._stopping = asyncio.Event()
        self._timetable = _Timetable()
        for task, seconds in tasks.items():
            self._timetable.every(seconds).seconds.do(self._due.append, task)
        self._timetable.start(self._uptime())

    async def run(self) -> None:
        """Serve the tasks until `stop`."""
        while not self._stopping.is_set():
            self._timetable.serve(self._uptime())
            while self._due:
                await self._perform(self._due.pop(0))
            await self._clock.wait(self._stopping, TICK)

    def stop(self) -> None:
        """Start no more tasks."""
        self._stopping.set()

    def _uptime(self) -> datetime:
        return datetime.min + timedelta(seconds=self._clock.monotonic())  # noqa: DTZ901 - a count, not an instant

    async def _perform(self, task: Task) -> None:
        try:
            await task()
        except DamagedError:
            raise
        except (StoreError, OSError) as error:  # the latter: no descriptor or process to be had at the moment
            fields = {"error": str(error)}
            self._emit(Event(name="maintenance.delayed", at=self._clock.now(), level="error", fields=fields))


class _Timetable(schedule.Scheduler):
    """`schedule`, told the time rather than asking: with the wall clock set back, a heartbeat would rest that long."""

    def start(self, now: datetime) -> None:
        for job in self.jobs:
            job.next_run = now + timedelta(seconds=job.interval)

    def serve(self, now: datetime) -> None:
        for job in self.jobs:
            if job.next_run is not None and job.next_run <= now:
                self._run_job(job)
                job.next_run = now + timedelta(seconds=job.interval)
