"""What do signals ask of a running engine? To stop, to hurry, to read its configuration again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

STOPPING = (signal.SIGTERM, signal.SIGINT)
ONE_PRESS = 0.5
"""Seconds. Supervisors signal a process and its group, a terminal the whole group: what comes so soon is one wish."""


class StopSignals:
    """The first signal stops, another one hurries."""

    def __init__(self, stop: Callable[[], object], hurry: Callable[[str], None]) -> None:
        self._stop = stop
        self._hurry = hurry
        self._first: float | None = None

    def heed(self) -> None:
        """From now on, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self.arrived, number.name)

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
