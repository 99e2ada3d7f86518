"""A run whose attempts end wherever a test wants, and what is stored of it meanwhile: no worker, no engine."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from orchestrator import Context


class Killed(BaseException):
    """The attempt ended here, without a word."""


class Run:
    """The line of all its attempts. What is stored is JSON; `asked` is what `wait` obeys."""

    def __init__(self) -> None:
        self.stored: list[Any] = []
        self.progress: list[tuple[int, int | None]] = []
        self.waits: list[float] = []
        self.beats = 0
        self.asked = False

    def attempt(self, saved: int | None = None) -> Context:
        """The next attempt's context. `saved` is how many of the saves reached the disk; all of them if not given."""
        if saved is not None:
            del self.stored[saved:]
        return Context(
            job="test",
            run_id=1,
            attempt=1,
            max_attempts=9,
            fire_time=None,
            timezone="UTC",
            checkpoint=msgspec.json.decode(self.stored[-1]) if self.stored else None,
            line=self,
            cancelled=lambda: self.asked,
        )

    def progressed(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))

    def saved(self, value: Any) -> None:
        self.stored.append(msgspec.json.encode(value))

    def beat(self) -> None:
        self.beats += 1

    def wait(self, until: float) -> None:
        if self.asked:
            raise Killed
        self.waits.append(until and until - time.time())

    async def wait_async(self, until: float) -> None:
        self.wait(until)
