"""How soon does it work after being started, and in how much memory? With few jobs and with very many."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from benchmarks.costs import resident, resident_tree
from benchmarks.engine import RunningEngine
from benchmarks.history import wait_for_attempt_of
from benchmarks.project import database, job_at_start, jobs_of_another_season, temporary_project
from benchmarks.settings import Settings
from benchmarks.trials import OURS, Measurement, Metric, Sample, Trial

SETTLE = 2.0
"""Seconds after the first fire until memory is read."""
FIRST_FIRE_SECONDS = 120.0


def _seconds(value: float) -> str:
    return f"{value:.2f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.1f}"


METRICS = (
    Metric(key="banner", title="banner s", form=_seconds),
    Metric(key="fire", title="first fire s", form=_seconds),
    Metric(key="new_banner", title="banner s, new database", form=_seconds),
    Metric(key="new_fire", title="first fire s, new database", form=_seconds),
    Metric(key="rss", title="engine MB", form=_megabytes),
    Metric(key="tree", title="with workers MB", form=_megabytes),
)


def startup(settings: Settings) -> Measurement:
    """A new database first, then an existing one, which is what a restart finds."""
    trials = [
        Trial(case=f"{count:,} jobs", subject=OURS, run=partial(_measure, settings, count))
        for count in (10, settings.many_jobs)
    ]
    question = "start-up: from the start of the process to the banner and to the first attempt; memory after that"
    return Measurement(name="startup", question=question, metrics=METRICS, trials=tuple(trials))


def _measure(settings: Settings, count: int) -> Sample:
    jobs = [job_at_start(), *jobs_of_another_season(count - 1)]
    with temporary_project(settings.folder, jobs) as root:
        first = _start(root, 1)
        again = _start(root, 2)
    return {**again, "new_banner": first["banner"], "new_fire": first["fire"]}


def _start(root: Path, nth: int) -> dict[str, float]:
    with RunningEngine(root) as engine:
        banner = engine.wait_for_banner()
        fired_at = wait_for_attempt_of(database(root), "at-start", nth, FIRST_FIRE_SECONDS)
        time.sleep(SETTLE)
        return {
            "banner": banner,
            "fire": fired_at - engine.started_at,
            "rss": resident(engine.process),
            "tree": resident_tree(engine.process),
        }
