"""How late does a job start, with so many due each second? Distinct jobs, each `* * * * * *`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.costs import read_cpu
from benchmarks.engine import RunningEngine
from benchmarks.history import fires_within
from benchmarks.peers.peer import ask_peer
from benchmarks.project import database, jobs_of_every_second, temporary_project
from benchmarks.settings import Settings
from benchmarks.trials import OURS, Measurement, Metric, Sample, Trial, percentile

SETTLE = 3.0
"""Seconds after the window in which its last fires may still start and be recorded."""
PEER_MANY = 1_000
"""At most so many jobs for a peer that runs them one after the other in its own loop."""


def _milliseconds(value: float) -> str:
    return f"{value * 1000:,.1f}"


METRICS = (
    Metric(key="p50", title="p50 ms", form=_milliseconds),
    Metric(key="p90", title="p90 ms", form=_milliseconds),
    Metric(key="p99", title="p99 ms", form=_milliseconds),
    Metric(key="max", title="max ms", form=_milliseconds),
    Metric(key="missed", title="missed", form="{:,.0f}".format),
    Metric(key="skipped", title="skipped", form="{:,.0f}".format),
    Metric(key="cpu", title="scheduler CPU %", form="{:.0f}".format),
    Metric(key="tree", title="all CPU %", form="{:.0f}".format),
)


def lateness(settings: Settings) -> Measurement:
    """All rates; the baseline of the `schedule` library where a plain loop is a fair subject."""
    trials = []
    for rate in settings.rates:
        case = f"{rate:,} job{'s' * (rate != 1)}/s"
        subjects = {f"{OURS}, process": partial(_ours, settings, rate, "process")}
        everything = settings.all_subjects and rate > 1  # of one job a second there is little to tell
        if everything:
            subjects[f"{OURS}, async"] = partial(_ours, settings, rate, "async")
        subjects["APScheduler, SQLite, processes"] = partial(_apscheduler, settings, rate, "sqlite", "processes")
        if everything:
            subjects["APScheduler, memory, threads"] = partial(_apscheduler, settings, rate, "memory", "threads")
        if rate <= PEER_MANY:
            subjects["schedule, a loop"] = partial(_schedule, settings, rate)
        trials += [Trial(case=case, subject=subject, run=run) for subject, run in subjects.items()]
    question = f"lateness: start minus fire time, jobs due each second, {settings.window:.0f} s"
    return Measurement(name="lateness", question=question, metrics=METRICS, trials=tuple(trials), compared="p99")


def _ours(settings: Settings, rate: int, mode: str) -> Sample:
    with temporary_project(settings.folder, jobs_of_every_second(rate, mode)) as root, RunningEngine(root) as engine:
        engine.wait_for_banner()
        time.sleep(settings.warm_up)
        since = math.floor(time.time()) + 1
        until = since + round(settings.window)
        _sleep_until(since - 0.1)
        before, began = read_cpu(engine.process), time.time()
        _sleep_until(until - 0.1)
        cpu = read_cpu(engine.process).since(before, time.time() - began)
        time.sleep(SETTLE)
        fires = fires_within(database(root), since, until)
    expected = rate * (until - since)
    return {
        **_quantiles(fires.lateness),
        "missed": expected - len(fires.lateness) - fires.skipped,
        "skipped": fires.skipped,
        "cpu": cpu.engine,
        "tree": cpu.tree,
    }


def _apscheduler(settings: Settings, rate: int, store: str, pool: str) -> Sample:
    return _peer(settings, rate, "apscheduler_lateness", store=store, pool=pool)


def _schedule(settings: Settings, rate: int) -> Sample:
    return _peer(settings, rate, "schedule_lateness")


def _peer(settings: Settings, rate: int, name: str, **options: str) -> Sample:
    length = settings.warm_up + settings.window + SETTLE
    answer = ask_peer(
        name,
        settings.folder,
        seconds=60 + 4 * length + rate / 50,
        count=rate,
        warm_up=settings.warm_up,
        window=settings.window,
        settle=SETTLE,
        **options,
    )
    expected = rate * round(answer.until - answer.since)
    within = {(fire.job, fire.due): fire for fire in answer.fires if answer.since <= fire.due < answer.until}
    return {
        **_quantiles(sorted(fire.started - fire.due for fire in within.values())),
        "missed": max(0, expected - len(within)),
        "cpu": answer.scheduler_cpu,
        "tree": answer.tree_cpu,
    }


def _quantiles(ascending: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: percentile(ascending, share) for name, share in shares.items() if ascending}


def _sleep_until(instant: float) -> None:
    time.sleep(max(0.0, instant - time.time()))
