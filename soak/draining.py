"""Does everything end once nothing goes wrong any more? Healthy engines get the time that they need, then stop."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence

from soak import clock
from soak.engines import HOPELESS, Place
from soak.project import TICKS, Project

WITHIN = 120.0
"""Seconds for everything to finish: far more than it needs, on a machine that has other things to do."""
LAGGING = 5_000_000
"""Microseconds that the last fire may lie behind the end: a busy machine, or an engine that had just started."""
_ACTIVE = "state IN ('waiting', 'scheduled', 'queued', 'running')"


class Drain:
    """The end of a soak; `failures` says what did not come true, `unfinished` which work did not end in time."""

    def __init__(self, project: Project, places: Sequence[Place], within: float = WITHIN) -> None:
        self._project = project
        self._within = within
        self._places = places
        self.failures: list[str] = []
        self.unfinished: list[str] = []

    def run(self, also: Callable[[], bool] = lambda: True) -> int:
        """Finish and stop; `also` must come true, too. Gives up to when every schedule's fires are owed (µs)."""
        newest = _ask(self._project, "SELECT max(id) FROM runs")
        if not self._comes_true(lambda: self._tended() and also() and not self._active(newest)):
            self.unfinished.append(f"what was asked for did not finish within {self._within:g} s")
        for place in self._places[1:]:
            place.stop()
        stopped_at = time.time_ns() // 1000 + clock.read(self._project.clock)
        self._places[0].stop()
        fired_until = self._fired_until(stopped_at)
        self._project.write_jobs(firing=False)
        self._places[0].start()
        if not self._comes_true(lambda: not self._active(None)):
            self.unfinished.append(f"what was left at the stop did not finish within {self._within:g} s")
        self._places[0].stop()
        return fired_until

    def until(self, fact: Callable[[], bool], complaint: str) -> None:
        """Wait for a fact. What doesn't come true is noted; the checker then says what it led to."""
        if not self._comes_true(fact):
            self.failures.append(f"{complaint} within {self._within:g} s")

    def _comes_true(self, fact: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + self._within
        while not fact():
            hopeless = any(len(place.failures) >= HOPELESS for place in self._places)
            if hopeless or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _tended(self) -> bool:
        for place in self._places:
            place.thaw()
            place.tend(time.monotonic())
        return all(place.working for place in self._places)

    def _fired_until(self, now: int) -> int:
        """The last fire time that every schedule has served; an engine worked until `now`, so it must be near."""
        marks = ", ".join("?" * len(TICKS))
        served = _ask(self._project, f"SELECT min(fire_time) FROM cursors WHERE job IN ({marks})", *TICKS)
        if now - served > LAGGING:
            self.failures.append(f"the last fire was served {(now - served) / 1e6:.1f} s before the engines stopped")
        return served

    def _active(self, newest: int | None) -> int:
        if newest is None:
            return _ask(self._project, f"SELECT count(*) FROM runs WHERE {_ACTIVE}")
        return _ask(self._project, f"SELECT count(*) FROM runs WHERE {_ACTIVE} AND id <= ?", newest)


def first_fire(project: Project) -> int:
    """The first fire that has a row (µs); from there on each must have one."""
    return _ask(project, "SELECT min(fire_time) FROM runs")


def _ask(project: Project, query: str, *values: object) -> int:
    connection = sqlite3.connect(project.database, timeout=30)
    try:
        return int(connection.execute(query, values).fetchone()[0] or 0)
    finally:
        connection.close()
