"""What goes wrong, and when? A seeded sequence of faults: the same seed, the same sequence, as far as timing allows."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from soak import clock
from soak.engines import Place, kill_process
from soak.fires import SECOND
from soak.project import PARENT, Project

CALM = {
    "kill_engine": 18,
    "kill_worker": 50,
    "kill_enqueuer": 9,
    "kill_stopping": 4,
    "stop": 5,
    "nap": 4,
    "freeze": 6,
    "downtime": 4,
    "trigger": 3,
    "reload": 3,
    "edit": 4,
    "spoil": 1,
    "clock_forward": 3,
    "clock_back": 3,
    "full_disk": 3,
}
"""How often each fault is drawn, beside the others."""
ENDING = frozenset({"kill_engine", "kill_stopping", "stop", "nap", "downtime"})
"""Faults that leave nobody to take a frozen engine for dead, so they wait until it has been thawed."""
KILLS = ("kill_engine", "kill_worker", "kill_enqueuer", "kill_stopping")
OF_SURROUNDINGS = frozenset({"clock_forward", "clock_back", "full_disk"})
"""Faults that only engines which are told of them can feel."""
SPOILED_FOR = 1.5
LONGEST_JUMP = 86_400
"""Seconds by which the clock is set at most; small jumps are as frequent as large ones."""
FARTHEST = 10 * LONGEST_JUMP
"""Seconds by which it is ahead at most: retention would begin to forget what the checker asks for."""


@dataclass
class Faults:
    """Draws faults and does them. `done` counts what really happened: a drawn kill may find nobody."""

    project: Project
    places: list[Place]
    gap: float
    """Seconds between faults, in the mean."""
    lease: float
    sweep: float
    """Seconds between two looks of an engine for dead ones."""
    weights: dict[str, int]
    kill_enqueuer: Callable[[], bool]
    done: Counter[str] = field(default_factory=Counter)
    edition: int = 0
    spoiled_until: float | None = None
    triggers: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawn = random.Random(self.project.seed)
        self._next_at = time.monotonic() + self.gap
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._ahead = 0
        """Microseconds by which the clock is ahead when it isn't set back."""

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return sum(self.done[name] for name in KILLS)

    @property
    def struck(self) -> int:
        """How many faults were done."""
        return sum(self.done.values())

    def tend(self, now: float) -> None:
        """Do what is due."""
        for entry in [entry for entry in self._due if entry[0] <= now]:
            self._due.remove(entry)
            entry[1]()
        if self.spoiled_until is not None and now >= self.spoiled_until:
            self._unspoil()
        if now >= self._next_at:
            self._next_at = now + max(0.05, self._drawn.expovariate(1 / self.gap))
            self._strike()

    def mend(self) -> None:
        """Leave a valid configuration, a clock that has caught up, room on the disk, and nothing to come."""
        self._due.clear()
        self._set_clock_right()
        self._make_room()
        self._unspoil()

    def _unspoil(self) -> None:
        if self.spoiled_until is not None:
            self.spoiled_until = None
            self._edit()

    def _strike(self) -> None:
        name = self._drawn.choices(list(self.weights), list(self.weights.values()))[0]
        place = self.places[self._drawn.randrange(len(self.places))]
        amount = self._drawn.random()
        if name in ENDING and any(other.frozen_until is not None for other in self.places):
            return
        if getattr(self, f"_{name}")(place, amount) is not False:
            self.done[name] += 1

    def _kill_engine(self, place: Place, amount: float) -> bool:
        place.rest_until = time.monotonic() + amount
        return place.signal(signal.SIGKILL)

    def _kill_worker(self, place: Place, amount: float) -> bool:
        workers = place.workers()
        return bool(workers) and kill_process(workers[int(amount * len(workers))])

    def _kill_enqueuer(self, _place: Place, _amount: float) -> bool:
        return self.kill_enqueuer()

    def _kill_stopping(self, place: Place, amount: float) -> bool:
        """Killed while it stops gracefully."""
        stopping = place.signal(signal.SIGTERM)
        self._due.append((time.monotonic() + amount / 2, lambda: place.signal(signal.SIGKILL) and None))
        return stopping

    def _stop(self, place: Place, _amount: float) -> bool:
        return place.signal(signal.SIGTERM)

    def _nap(self, place: Place, amount: float) -> bool:
        return place.freeze(0.2 + amount * self.lease / 2)

    def _freeze(self, place: Place, amount: float) -> bool:
        """Still for so long that others take the engine for dead, while its workers go on.

        They have to see the lease overdue in two sweeps.
        """
        if not all(other.working and other.frozen_until is None for other in self.places):
            return False
        return place.freeze(self.lease * (1.2 + 0.5 * amount) + 3 * self.sweep)

    def _downtime(self, _place: Place, amount: float) -> None:
        """No engine at all for a while: fires are missed."""
        for place in self.places:
            place.signal(signal.SIGKILL)
            place.rest_until = time.monotonic() + 1 + amount * 8

    def _trigger(self, _place: Place, _amount: float) -> bool:
        command = [sys.executable, "-P", "-m", "orchestrator", "trigger", PARENT, "--json"]
        if self.spoiled_until is not None:
            return False
        started = subprocess.Popen(
            command, cwd=self.project.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.triggers.append(started)
        return True

    def _reload(self, place: Place, _amount: float) -> bool:
        # An engine that isn't listening yet would be ended by it, as any process would.
        return place.working and place.signal(signal.SIGHUP)

    def _edit(self, _place: Place | None = None, _amount: float = 0.0) -> None:
        self.edition += 1
        self.project.write_jobs(edition=self.edition)

    def _spoil(self, _place: Place, _amount: float) -> None:
        self.project.spoil_jobs()
        self.spoiled_until = time.monotonic() + SPOILED_FOR

    def _clock_forward(self, _place: Place, amount: float) -> bool:
        """Fires are late by up to a day, and the leases of those who sleep have run out long ago."""
        ahead = self._ahead + _jump(amount)
        if ahead > FARTHEST * SECOND:
            return False
        self._ahead = ahead
        clock.write(self.project.clock, ahead)
        return True

    def _clock_back(self, _place: Place, amount: float) -> None:
        """For a while: what has its time by the clock that was set back waits as long."""
        clock.write(self.project.clock, self._ahead - _jump(amount))
        self._due.append((time.monotonic() + 1 + 2 * amount, self._set_clock_right))

    def _set_clock_right(self) -> None:
        clock.write(self.project.clock, self._ahead)

    def _full_disk(self, _place: Place, amount: float) -> None:
        """For a second or two nothing can be added to the database."""
        self.project.full_disk.touch()
        self._due.append((time.monotonic() + 0.5 + 2 * amount, self._make_room))

    def _make_room(self) -> None:
        self.project.full_disk.unlink(missing_ok=True)


def _jump(amount: float) -> int:
    """Microseconds, from one second to a day."""
    return int(LONGEST_JUMP**amount * SECOND)
