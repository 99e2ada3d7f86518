"""What do signals ask of a running engine? To stop, to hurry, to read its configuration again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from functools import partial

STOPPING = (signal.SIGTERM, signal.SIGINT)
ONE_PRESS = 0.5
"""Seconds. Supervisors signal a process and its group, a terminal the whole group: what comes so soon is one wish."""


def on_signal(number: signal.Signals, call: Callable[[], object]) -> None:
    """Call it on the running loop whenever the signal comes, until `disregard`.

    Unlike asyncio's own way this does not end with the loop, milliseconds before the process does: in between a second
    signal would kill what has just stopped in good order.
    """
    loop = asyncio.get_running_loop()
    signal.signal(number, lambda *_: loop.call_soon_threadsafe(call) and None)


def disregard() -> None:
    """All has stopped, and only the process is still to end: signals mean nothing any more."""
    for number in (*STOPPING, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """The first signal stops, another one hurries."""

    def __init__(self, stop: Callable[[], object], hurry: Callable[[str], None]) -> None:
        self._stop = stop
        self._hurry = hurry
        self._first: float | None = None

    def heed(self) -> None:
        """From now on, on the running loop."""
        for number in STOPPING:
            on_signal(number, partial(self.arrived, number.name))

    def arrived(self, name: str) -> None:
        """A signal has come."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            self._stop()
        elif now - self._first > ONE_PRESS:
            self._hurry(name)


class EarlySignals:
    """What to do about signals until there is an engine: a stop is raised as `StoppedEarly`, a hang-up remembered."""

    def __init__(self) -> None:
        self.hung_up = False
        for number in STOPPING:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _stop(self, *_: object) -> None:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)  # it ends soon: a second signal must not disturb that
        raise StoppedEarly

    def _hang_up(self, *_: object) -> None:
        self.hung_up = True


class StoppedEarly(BaseException):
    """A signal came before there was an engine to stop."""
