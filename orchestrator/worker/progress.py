"""How does an attempt's progress reach the engine? Not more often than anyone can look, and the newest always."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.worker.messages import Assignment, Progressed

if TYPE_CHECKING:
    from orchestrator.worker.workplace import Workplace

_PAUSE = 0.1
"""Seconds between two reports that are sent at once; what comes sooner is sent a little later, if nothing newer is."""


class ProgressReport:
    """The newest progress of one attempt. Any thread may tell of it."""

    def __init__(self, assignment: Assignment, workplace: Workplace) -> None:
        self._assignment = assignment
        self._line = workplace.line
        self._interrupt = workplace.interrupt
        self._later: Callable[[ProgressReport], None] = workplace.watch.later
        self._lock = threading.Lock()
        self._newest: tuple[int, int | None] | None = None
        self._sent_at = 0.0

    def tell(self, done: int, total: int | None) -> None:
        """It is so far."""
        self._newest = (int(done), None if total is None else int(total))
        if time.monotonic() - self._sent_at > _PAUSE:
            self.flush()
        else:
            self._later(self)

    def flush(self) -> None:
        """Send what hasn't been sent; from the worker itself, not a child whose lock nobody would release."""
        if self._newest is None or not self._line.mine:
            return
        with self._interrupt.held_off(), self._lock:
            newest, self._newest = self._newest, None
            if newest is not None:
                self._sent_at = time.monotonic()
                this, (done, total) = self._assignment, newest
                self._line.send(Progressed(run_id=this.run_id, attempt=this.attempt, done=done, total=total))
