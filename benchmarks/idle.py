"""What does it cost to wait? CPU of the engine and its workers while no job is due."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.costs import read_cpu
from benchmarks.engine import RunningEngine
from benchmarks.project import jobs_of_another_season, temporary_project
from benchmarks.settings import Settings
from benchmarks.trials import OURS, Measurement, Metric, Sample, Trial

SETTLE = 5.0
"""Seconds after the banner: by then the workers are warm."""
METRICS = (
    Metric(key="tree", title="CPU % of a core", form="{:.2f}".format),
    Metric(key="engine", title="engine alone", form="{:.2f}".format),
)


def idle(settings: Settings) -> Measurement:
    """Few jobs and very many."""
    trials = [
        Trial(case=f"{count:,} jobs", subject=OURS, run=partial(_measure, settings, count))
        for count in (10, settings.many_jobs)
    ]
    question = f"idle: CPU of the engine with its workers while no job is due, {settings.idle:.0f} s"
    return Measurement(name="idle", question=question, metrics=METRICS, trials=tuple(trials))


def _measure(settings: Settings, count: int) -> Sample:
    with temporary_project(settings.folder, jobs_of_another_season(count)) as root, RunningEngine(root) as engine:
        engine.wait_for_banner()
        time.sleep(SETTLE)
        before, began = read_cpu(engine.process), time.monotonic()
        time.sleep(settings.idle)
        cpu = read_cpu(engine.process).since(before, time.monotonic() - began)
    return {"tree": cpu.tree, "engine": cpu.engine}
