"""What time do the processes of a soak think it is? The machine's time and an offset that a file tells to all of them.

So a clock is set forward and back as an administrator or NTP would, without touching the machine's own: whatever asks
the engine's `Clock` hears it, and what workers say of the time is moved as far when it arrives.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

LOOK_EVERY = 0.01
"""Seconds; a jump is seen this late at the latest."""


class Offset:
    """Microseconds that a file tells, read again whenever that may have changed. No file: none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = float("-inf")
        self._value = timedelta(0)

    def now(self) -> timedelta:
        """How far the clock is off at this moment."""
        if time.monotonic() - self._read_at > LOOK_EVERY:
            self._read_at = time.monotonic()
            self._value = timedelta(microseconds=read(self._path))
        return self._value


def read(path: Path) -> int:
    """The offset in microseconds."""
    return int(path.read_text("ascii")) if path.exists() else 0


def write(path: Path, microseconds: int) -> None:
    """Set the clock: at once for everybody."""
    draft = path.with_suffix(".new")
    draft.write_text(str(microseconds), "ascii")
    draft.rename(path)


def follow(path: Path) -> None:
    """Let this process and what its workers tell be off by the file's offset."""
    from orchestrator.core.clock import SystemClock
    from orchestrator.executors.ledger import Ledger

    offset = Offset(path)
    finish = Ledger.finish

    def now(_self: SystemClock) -> datetime:
        return datetime.now(UTC) + offset.now()

    def finish_moved(self: Ledger, flight: Any, message: Any, pid: int) -> None:
        by = offset.now()
        moved = {"started_at": message.started_at + by, "finished_at": message.finished_at + by}
        finish(self, flight, msgspec.structs.replace(message, **moved), pid)

    SystemClock.now = now  # type: ignore[method-assign]
    Ledger.finish = finish_moved  # type: ignore[method-assign]
