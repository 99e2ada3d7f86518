"""Is the soak worth anything? Every breakage must make it fail, and a death at every failpoint must not."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from soak.breakages import BREAKAGES
from soak.checker import Violation, check
from soak.draining import Drain, first_fire
from soak.engines import Place
from soak.enqueuer import enqueue
from soak.evidence import gather, read_policies
from soak.failpoints import names
from soak.project import Project
from soak.trial import Report, Settings, Trial
from soak.wrapping import Options

SHORT_LEASE = 2.0
PASSINGS = (1, 5)
WORK = 60
"""Runs that each engine is given before it dies."""
DIES_WITHIN = 10.0
TRIES = 4
Say = Callable[[str], None]


def broken_trials(name: str, folder: Path) -> Iterator[Report]:
    """Short soaks of engines that are broken in this way, until one is found out: where a fault strikes is chance."""
    for seed in range(1, TRIES + 1):
        report = broken_trial(name, folder / str(seed), seed=seed)
        yield report
        if is_noticed(name, report):
            return


def is_noticed(name: str, report: Report) -> bool:
    """Whether the checker found what this breakage leads to."""
    return bool({violation.kind for violation in report.violations} & BREAKAGES[name].kinds)


def broken_trial(name: str, folder: Path, *, seed: int, seconds: float = 6.0) -> Report:
    """One of them."""
    breakage = BREAKAGES[name]
    settings = Settings(
        seconds=seconds,
        seed=seed,
        folder=folder,
        gap=1.0,
        least_faults=breakage.faults,
        rate=breakage.rate,
        slow=breakage.slow,
        drain_within=breakage.drain_within,
        weights=breakage.weights,
        options=Options(lease=SHORT_LEASE, breakage=None if breakage.of_enqueuer else name),
        enqueuer_options=Options(breakage=name if breakage.of_enqueuer else None),
    )
    return Trial(settings).run()


def deaths_at(failpoint: str, folder: Path, passings: tuple[int, ...] = PASSINGS) -> tuple[int, list[Violation]]:
    """Engines that die at a failpoint in turn, then a healthy one; gives how many died, and what is wrong."""
    project = Project(folder, 1)
    project.make()
    policies = read_policies(project)
    died = 0
    for passing in passings:
        rare = failpoint.endswith("recovery")
        if rare:
            # There is something to recover only after another death, and then it is recovered at once.
            _dies(project, Options(lease=SHORT_LEASE, failpoint="after orders"))
        died += _dies(project, Options(lease=SHORT_LEASE, failpoint=failpoint, passing=1 if rare else passing))
    place = Place(project, 0, Options(lease=SHORT_LEASE))
    drain = Drain(project, [place])
    try:
        fired_until = drain.run()
    finally:
        place.kill()
    evidence = gather(
        project, policies, (first_fire(project), fired_until), drain.failures + place.failures, drain.unfinished
    )
    return died, check(evidence)


def _dies(project: Project, options: Options) -> bool:
    """Give an engine work, and see whether it dies of it as it should."""
    asyncio.run(enqueue(project, rate=10_000, seed=options.passing, limit=WORK))
    place = Place(project, options.passing, options)
    place.start()
    deadline = time.monotonic() + DIES_WITHIN
    while place.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    died = not place.alive
    place.kill()
    return died


def prove(say: Say) -> int:
    """Every breakage and every failpoint; 1 if a breakage went unnoticed, or a death did harm."""
    bad = [name for name in BREAKAGES if not _is_noticed(name, say)]
    bad += [name for name in names() if not _is_harmless(name, say)]
    say(f"not as it should be: {', '.join(bad)}" if bad else "every breakage was noticed, every death was survived")
    return 1 if bad else 0


def _is_noticed(name: str, say: Say) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-proof-"))
    noticed = False
    for report in broken_trials(name, folder):
        found = {violation.kind for violation in report.violations}
        say(f"{name}: {len(report.violations)} violations ({', '.join(sorted(found)) or 'none'})")
        noticed = is_noticed(name, report)
    shutil.rmtree(folder)
    return noticed


def _is_harmless(name: str, say: Say) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-proof-"))
    died, violations = deaths_at(name, folder)
    say(f"death {name}: {died} deaths, {len(violations)} violations")
    for violation in violations:
        say(f"  {violation.kind}: {violation.text}")
    if not violations:
        shutil.rmtree(folder)
    return died > 0 and not violations
