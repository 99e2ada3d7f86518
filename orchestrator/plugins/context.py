"""What a callable may know of the run that it executes, and say about it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo


class Line(Protocol):
    """The callable's line to the engine; the worker provides it."""

    def progressed(self, done: int, total: int | None) -> None:
        """Report progress."""

    def saved(self, value: Any) -> None:
        """Keep a checkpoint."""


class Checkpoint:
    """Progress that outlives the attempt: what one attempt saves, the run's next attempt loads."""

    def __init__(self, value: Any, save: Callable[[Any], None]) -> None:
        self._value = value
        self._save = save

    def load(self, default: Any = None) -> Any:
        """The last value saved by this run, in this attempt or an earlier one."""
        return default if self._value is None else self._value

    def save(self, value: Any) -> None:
        """Keep a JSON value. It doesn't wait for the disk: after a crash, work since the last stored one repeats."""
        self._save(value)
        self._value = value


class Context:
    """The run being executed. A callable receives it in a parameter annotated `Context`."""

    def __init__(
        self,
        *,
        job: str,
        run_id: int,
        attempt: int,
        max_attempts: int,
        fire_time: datetime | None,
        timezone: str,
        checkpoint: Any,
        line: Line,
        cancelled: Callable[[], bool],
    ) -> None:
        self.job = job
        self.run_id = run_id
        self.attempt = attempt
        """1 for the first; attempts that were interrupted through no fault of theirs don't count."""
        self.max_attempts = max_attempts
        self.fire_time = fire_time
        """The exact instant the trigger asked for, aware, UTC; None for a run that no schedule created."""
        self.timezone = ZoneInfo(timezone)
        self.log = logging.getLogger(f"job.{job}")
        self.checkpoint = Checkpoint(checkpoint, line.saved)
        self._line = line
        self._cancelled = cancelled

    @property
    def cancelled(self) -> bool:
        """Whether the attempt has been asked to stop; a long loop should look now and then, and return."""
        return self._cancelled()

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the work is, in any unit; `orchestrator show` prints it."""
        self._line.progressed(done, total)
