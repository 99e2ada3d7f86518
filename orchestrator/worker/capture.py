"""What becomes of an attempt's output: sent at once while it comes slowly, in pieces while it floods, dropped at almost
no cost beyond the limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime

from orchestrator.core.units import format_size
from orchestrator.worker.interrupt import Interrupt
from orchestrator.worker.line import Line, clean
from orchestrator.worker.messages import Logged

CURRENT: ContextVar[Capture | None] = ContextVar("orchestrator_capture", default=None)

_BURST = 100
"""Messages that are sent at once; more only as time passes, so that a flood becomes few large messages."""
_PER_SECOND = 500
_SEND = 2**20
"""Characters in one message at most."""
_PIECE = 16 * 1024


class Capture:
    """The output of one attempt. Any thread may write to it."""

    def __init__(
        self,
        line: Line,
        interrupt: Interrupt,
        run_id: int,
        attempt: int,
        limit: int,
        delayed: Callable[[Capture], None],
        heard: Callable[[], None] | None = None,
    ) -> None:
        self._line = line
        self._interrupt = interrupt
        self._run_id = run_id
        self._attempt = attempt
        self._limit = limit
        self._left = limit
        self._delayed = delayed
        self._lock = threading.RLock()
        self._parts: list[str] = []
        self._size = 0
        self._stream = ""
        self._since = datetime.now(UTC)
        self._budget = float(_BURST)
        self._counted_at = time.monotonic()
        self._heard = heard
        self.full = False
        """The limit is reached: whatever else comes is dropped."""

    def heard(self) -> None:
        """There is output, be it kept or dropped: the attempt is alive."""
        if self._heard is not None:
            self._heard()

    def write(self, stream: str, text: str) -> None:
        """Take text of stdout or stderr; whole lines are sent, the rest waits for its end."""
        self.heard()
        if self.full or not text:
            return
        with self._interrupt.held_off(), self._lock:
            if stream != self._stream:
                self._send_parts()
                self._stream = stream
            self._keep(text)
            if self._size >= _PIECE:
                self._send_parts()
            elif "\n" in text:
                if self._may_send():
                    self._send_parts()
                else:
                    self._delayed(self)

    def record(self, level: str, text: str) -> None:
        """Take one record of `logging`."""
        self.heard()
        if self.full:
            return
        with self._interrupt.held_off(), self._lock:
            self._send_parts()
            self._send("log", text, datetime.now(UTC), level)

    def flush(self) -> None:
        """Send what was kept back, the end of an unfinished line included."""
        if self._parts:
            with self._interrupt.held_off(), self._lock:
                self._send_parts()

    def warn(self, text: str) -> None:
        """Something that the worker itself says about the attempt; no limit applies."""
        with self._interrupt.held_off(), self._lock:
            self._send_parts()
            self._send_message("log", text, datetime.now(UTC), "WARNING")

    def _may_send(self) -> bool:
        now = time.monotonic()
        self._budget = min(_BURST, self._budget + (now - self._counted_at) * _PER_SECOND)
        self._counted_at = now
        return self._budget >= 1

    def _keep(self, text: str) -> None:
        if not self._parts:
            self._since = datetime.now(UTC)
        # One gigantic write must not be copied about: what is over the limit is cut here.
        self._parts.append(text[: self._left + 1])
        self._size += len(self._parts[-1])

    def _send_parts(self) -> None:
        if self._parts:
            text = "".join(self._parts)
            self._parts = []
            self._size = 0
            self._send(self._stream, text, self._since, None)

    def _send(self, stream: str, text: str, at: datetime, level: str | None) -> None:
        if self.full:
            return
        text = clean(text[: self._left + 1])
        size = len(text) if text.isascii() else len(text.encode())
        if size > self._left:
            self.full = True
            text = text.encode()[: self._left].decode("utf-8", "ignore")
        self._left -= size
        for start in range(0, len(text), _SEND):
            self._send_message(stream, text[start : start + _SEND], at, level)
        if self.full:
            words = f"log limit of {format_size(self._limit)} reached; the rest was dropped"
            self._send_message("log", words, datetime.now(UTC), "WARNING")

    def _send_message(self, stream: str, text: str, at: datetime, level: str | None) -> None:
        self._budget -= 1
        self._line.send(
            Logged(run_id=self._run_id, attempt=self._attempt, at=at, stream=stream, text=text, level=level)
        )
