"""Who prints the engine's events? A thread of its own: a terminal that is paused, or a pipe that nobody reads, must
not hold up a schedule, and a write to either may block for ever."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Self, TextIO

from orchestrator.engine.events import Event

MAX_WAITING = 10_000
"""Events kept for a reader that is slow; beyond that the newest are counted instead of printed."""
LULL = 0.1
"""Seconds from an event to its line. A thousand fires of one instant come first; what is said of them can wait."""
CLOSE_SECONDS = 2.0


class EventPrinter:
    """Takes events from the engine's loop and prints them in batches. Use it as a context."""

    def __init__(self, stream: TextIO, form: Callable[[Event], str]) -> None:
        # Past the stream's buffer and its lock: a thread that is stuck with that lock would end the process in a crash.
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding or "utf-8"
        self._format = form
        self._waiting: deque[Event | str] = deque()
        self._arrived = threading.Event()
        self._urgent = threading.Event()
        self._dropped = 0
        self._closing = False
        self._unread = False
        self._thread = threading.Thread(target=self._work, name="event-printer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._urgent.set()
        self._arrived.set()
        self._thread.join(CLOSE_SECONDS)

    def put(self, event: Event | str) -> None:
        """Print an event, or text as it is, soon. Never blocks; safe from any thread."""
        if self._unread:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(event)
        if isinstance(event, str):
            self._urgent.set()
        self._arrived.set()

    def _work(self) -> None:
        while not self._closing or self._waiting:
            self._arrived.wait()
            self._urgent.wait(LULL)
            self._arrived.clear()
            if not self._closing:
                self._urgent.clear()
            try:
                self._print()
            except OSError:
                # Whoever read this has gone. The schedule is worth more than its narration, and the store has it all.
                self._unread = True
                self._waiting.clear()
                return

    def _print(self) -> None:
        texts = [self._text(self._waiting.popleft()) for _ in range(len(self._waiting))]
        lines = [text for text in texts if text]
        if self._dropped:
            lines.append(f"({self._dropped} lines left out: this output is read too slowly)")
            self._dropped = 0
        if lines:
            self._write("\n".join([*lines, ""]).encode(self._encoding, "backslashreplace"))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])

    def _text(self, event: Event | str) -> str:
        return event if isinstance(event, str) else self._format(event)
