"""What time is it? Code asks a `Clock`, never the system, so tests and simulations can move time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """The wall clock and the monotonic clock, read together."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait until `event` is set or so much time has passed; gives whether it is set."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        try:
            return await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime) -> None:
        self._now = now.astimezone(UTC)
        self._monotonic = 0.0
        self._timers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    @property
    def waiting(self) -> int:
        """How many wait on this clock."""
        return sum(not timer.done() for _, timer in self._timers)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timers.append((self._monotonic + seconds, timer))
        waiting = asyncio.ensure_future(event.wait())
        waits: list[asyncio.Future[Any]] = [timer, waiting]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            timer.cancel()
        return event.is_set()

    def advance(self, by: timedelta) -> None:
        """Let time pass: both clocks move, and who waited for less goes on."""
        self._now += by
        self._monotonic += by.total_seconds()
        due = [timer for at, timer in self._timers if at <= self._monotonic and not timer.done()]
        self._timers = [(at, timer) for at, timer in self._timers if at > self._monotonic and not timer.done()]
        for timer in due:
            timer.set_result(None)

    def jump(self, to: datetime) -> None:
        """Set the wall clock, as an administrator or NTP would: the monotonic clock stays."""
        self._now = to.astimezone(UTC)
