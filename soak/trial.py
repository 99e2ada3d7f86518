"""How does a soak go? All goes wrong for a while, healthy engines finish the work, and the checker looks at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from soak.checker import Violation, check
from soak.draining import WITHIN, Drain
from soak.engines import Place
from soak.evidence import Evidence, gather, read_policies
from soak.faults import CALM, OF_SURROUNDINGS, Faults
from soak.project import Project
from soak.wrapping import LEASE, QUICK_SWEEP, ROOT, SWEEP, Options

LOOK_EVERY = 0.03
REAL = Options()


@dataclass(frozen=True)
class Settings:
    """What to do, and how hard."""

    seconds: float
    seed: int
    folder: Path
    engines: int = 2
    rate: float = 220.0
    """Runs asked for in a second."""
    slow: float = 0.02
    """The share of them that take their time."""
    gap: float = 0.8
    """Seconds between faults, in the mean."""
    least_faults: int = 0
    """Go on until so many have struck, at most four times as long."""
    weights: dict[str, int] = field(default_factory=lambda: dict(CALM))
    drain_within: float = WITHIN
    """Seconds after which what hasn't finished counts as stuck."""
    options: Options = REAL
    """How the engines differ from real ones."""
    enqueuer_options: Options = REAL


@dataclass(frozen=True)
class Report:
    """How it went."""

    violations: list[Violation]
    evidence: Evidence
    faults: Counter[str]
    kills: int
    events: Counter[str]
    seconds: float


Say = Callable[[str], None]


class Trial:
    """One soak."""

    def __init__(self, settings: Settings, say: Say = lambda _: None) -> None:
        self._settings = settings
        self._say = say
        self._project = Project(settings.folder, settings.seed, settings.slow)
        options = self._surrounded(settings.options)
        self._places = [Place(self._project, number, options) for number in range(settings.engines)]
        self._faults = Faults(
            self._project,
            self._places,
            settings.gap,
            settings.options.lease or LEASE,
            SWEEP if settings.options.lease is None else QUICK_SWEEP,
            settings.weights,
            self._kill_enqueuer,
        )
        self._enqueuer: subprocess.Popen[bytes] | None = None
        self._enqueuers = 0
        self._drain = Drain(self._project, self._places, settings.drain_within)

    def _surrounded(self, options: Options) -> Options:
        """The options of a process that feels what is done to the clock and the disk, if anything will be."""
        if not OF_SURROUNDINGS & set(self._settings.weights):
            return options
        return replace(options, clock=str(self._project.clock), disk=str(self._project.full_disk))

    def run(self) -> Report:
        """Do it all."""
        began = time.monotonic()
        self._project.make()
        policies = read_policies(self._project)
        try:
            self._places[0].start()
            self._drain.until(lambda: self._places[0].working, "the first engine did not start")
            fired_from = time.time_ns() // 1000
            self._disturb()
            fired_until = self._drain_all()
        finally:
            self._end_all()
        failures = self._drain.failures + [failure for place in self._places for failure in place.failures]
        evidence = gather(self._project, policies, (fired_from, fired_until), failures, self._drain.unfinished)
        return Report(
            violations=check(evidence),
            evidence=evidence,
            faults=self._faults.done,
            kills=self._faults.kills,
            events=sum((place.events for place in self._places), Counter()),
            seconds=time.monotonic() - began,
        )

    def _disturb(self) -> None:
        until = time.monotonic() + self._settings.seconds
        told = time.monotonic()
        most = until + 3 * self._settings.seconds
        while (now := time.monotonic()) < (until if self._faults.struck >= self._settings.least_faults else most):
            self._tend_enqueuer()
            for place in self._places:
                place.tend(now, spoiled=self._faults.spoiled_until is not None)
            self._faults.tend(now)
            self._read_triggers()
            if now - told >= 30:
                told = now
                self._say(f"{until - now:.0f} s to go, {self._faults.kills} kills")
            time.sleep(LOOK_EVERY)

    def _drain_all(self) -> int:
        """Let healthy engines finish what was asked for; gives up to when fires are owed."""
        self._say("no more faults: what is left must finish")
        self._faults.mend()
        self._kill_enqueuer()
        return self._drain.run(self._read_triggers)

    def _tend_enqueuer(self) -> None:
        if self._enqueuer is not None and self._enqueuer.poll() is None:
            return
        if self._enqueuer is not None and self._enqueuer.returncode != -9:
            self._drain.failures.append(f"the enqueuer ended with status {self._enqueuer.returncode}")
        self._enqueuers += 1
        seed = self._settings.seed + self._enqueuers
        options = self._surrounded(self._settings.enqueuer_options)
        words = [str(self._settings.folder), str(seed), str(self._settings.rate), options.text()]
        self._enqueuer = subprocess.Popen([sys.executable, "-m", "soak.enqueuer", *words], cwd=ROOT)

    def _kill_enqueuer(self) -> bool:
        if self._enqueuer is None or self._enqueuer.poll() is not None:
            return False
        self._enqueuer.kill()
        self._enqueuer.wait()
        return True

    def _read_triggers(self) -> bool:
        """A run that `orchestrator trigger` printed is acknowledged. True when none is under way any more."""
        for process in [process for process in self._faults.triggers if process.poll() is not None]:
            self._faults.triggers.remove(process)
            printed, _ = process.communicate()
            if process.returncode == 0:
                with self._project.acknowledged.open("a", encoding="ascii") as acknowledged:
                    acknowledged.write(f"{json.loads(printed)['id']}\n")
        return not self._faults.triggers

    def _end_all(self) -> None:
        self._kill_enqueuer()
        for process in self._faults.triggers:
            process.kill()
            process.wait()
        for place in self._places:
            place.kill()
