"""How many runs a second, from a full queue to the last row of history? Runs that do nothing, all enqueued before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.engine import RunningEngine
from benchmarks.history import span_of_single_attempts, wait_until_finished
from benchmarks.peers.peer import ask_peer
from benchmarks.project import database, enqueued_job, temporary_project
from benchmarks.settings import Settings
from benchmarks.trials import OURS, Measurement, Metric, Sample, Trial, TrialError
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Cause
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store

BLOCK = 5_000
SLOWEST = 100
"""Runs a second: at fewer a trial is given up."""
JOB = "nothing"
METRICS = (
    Metric(key="rate", title="runs/s", form="{:,.0f}".format),
    Metric(key="durable", title="runs/s until durable", form="{:,.0f}".format),
    Metric(key="whole", title="runs/s with start-up", form="{:,.0f}".format),
)


def throughput(settings: Settings) -> Measurement:
    """Sync and async callables, and the peer's thread pool."""
    case = "no-op runs"
    trials = [
        Trial(case=case, subject=f"{OURS}, process", run=partial(_ours, settings, "process")),
        Trial(case=case, subject=f"{OURS}, async", run=partial(_ours, settings, "async")),
        Trial(case=case, subject="APScheduler, SQLite, threads", run=partial(_peer, settings, "sqlite")),
    ]
    if settings.all_subjects:
        trials.append(Trial(case=case, subject="APScheduler, memory, threads", run=partial(_peer, settings, "memory")))
    question = f"throughput: {settings.runs:,} no-op runs enqueued beforehand (APScheduler: {settings.peer_runs:,})"
    return Measurement(name="throughput", question=question, metrics=METRICS, trials=tuple(trials), compared="durable")


def _ours(settings: Settings, mode: str) -> Sample:
    with temporary_project(settings.folder, [enqueued_job(JOB, mode)]) as root:
        _enqueue(database(root), settings.runs, Isolation(mode))
        with RunningEngine(root) as engine:
            engine.wait_for_banner()
            seen = wait_until_finished(database(root), settings.runs / SLOWEST)
        span = span_of_single_attempts(database(root), settings.runs)
    if not engine.started_at <= span.began <= span.ended <= seen:
        raise TrialError("the recorded times contradict the wall clock")
    return {
        "rate": settings.runs / (span.ended - span.began),
        "durable": settings.runs / (seen - span.began),
        "whole": settings.runs / (seen - engine.started_at),
    }


def _enqueue(path: Path, count: int, isolation: Isolation) -> None:
    path.parent.mkdir(exist_ok=True)
    store = Store(f"sqlite:///{path}")
    try:
        waiting = _new_runs(count, isolation)
        while block := list(islice(waiting, BLOCK)):
            store.write(create_runs, block)
    finally:
        store.close()


def _new_runs(count: int, isolation: Isolation) -> Iterator[NewRun]:
    now = datetime.now(UTC)
    for _ in range(count):
        yield NewRun(job=JOB, cause=Cause.MANUAL, created_at=now, due_at=now, isolation=isolation)


def _peer(settings: Settings, store: str) -> Sample:
    count = settings.peer_runs
    answer = ask_peer("apscheduler_throughput", settings.folder, seconds=60 + count / 10, count=count, store=store)
    pairs = answer.fires
    if len(pairs) != count:
        raise TrialError(f"{len(pairs)} of {count} jobs ran")
    began = min(fire.started for fire in pairs)
    ended = max(fire.started for fire in pairs)
    return {
        "rate": count / (ended - began),
        "durable": count / (answer.seen - began),
    }
