"""The engine's own periodic work: heartbeats, sweeping for dead engines, deadlines. It runs on `schedule`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import schedule

from orchestrator.core.clock import Clock
from orchestrator.core.errors import StoreError
from orchestrator.engine.events import Emit, Event

TICK = 1.0
"""Seconds between looks at what is due."""
CLOCK_SLACK = timedelta(seconds=2)

Task = Callable[[], Awaitable[object]]


class Maintenance:
    """Periodic tasks, each with its interval in seconds. One that fails is reported and comes again."""

    def __init__(self, tasks: dict[Task, int], clock: Clock, emit: Emit) -> None:
        self._tasks = tasks
        self._clock = clock
        self._emit = emit
        self._due: list[Task] = []
        self._stopping = asyncio.Event()
        self._offset = self._clock_offset()
        self._schedule = self._build()

    async def run(self) -> None:
        """Serve the tasks until `stop`."""
        while not self._stopping.is_set():
            self._notice_clock()
            self._schedule.run_pending()
            while self._due:
                await self._perform(self._due.pop(0))
            await self._clock.wait(self._stopping, TICK)

    def stop(self) -> None:
        """Start no more tasks."""
        self._stopping.set()

    def _build(self) -> schedule.Scheduler:
        scheduler = schedule.Scheduler()
        for task, seconds in self._tasks.items():
            scheduler.every(seconds).seconds.do(self._due.append, task)
        return scheduler

    def _notice_clock(self) -> None:
        """`schedule` goes by the wall clock: set back by a day, it would let the heartbeat rest for a day."""
        offset = self._clock_offset()
        if abs(offset - self._offset) > CLOCK_SLACK:
            self._offset = offset
            self._schedule = self._build()
            self._due = list(self._tasks)

    def _clock_offset(self) -> timedelta:
        now = self._clock.now()
        return now - now.min.replace(tzinfo=now.tzinfo) - timedelta(seconds=self._clock.monotonic())

    async def _perform(self, task: Task) -> None:
        try:
            await task()
        except StoreError as error:
            fields = {"error": str(error)}
            self._emit(Event(name="maintenance.delayed", at=self._clock.now(), level="error", fields=fields))
