"""History is bounded by what each job keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.plan import Job, Retention
from orchestrator.core.policies import Retry
from orchestrator.core.runs import Cause, LogLine, Outcome, RunState
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.output import append_logs

MakeJob = Callable[..., Job]


def fill(bench: Any, job: str, count: int) -> list[int]:
    now = bench.clock.now()
    new = [
        NewRun(job=job, cause=Cause.MANUAL, created_at=now, due_at=now, skip_reason="for the test")
        for _ in range(count)
    ]
    ids = [made.id for made in bench.view.write(create_runs, new)]
    lines = [LogLine(run_id=run_id, attempt=1, at=now, stream="stdout", text="x") for run_id in ids]
    bench.view.write(append_logs, lines)
    return ids


@pytest.mark.parametrize(
    ("keep", "older", "newer", "left"),
    [
        (Retention(count=300), 1000, 100, 300),
        (Retention(age=timedelta(hours=1)), 1000, 100, 100),
        (Retention(), 1000, 100, 1100),
    ],
)
def test_runs_beyond_the_retention_are_forgotten(
    bench: Any, make_job: MakeJob, keep: Retention, older: int, newer: int, left: int
) -> None:
    async def body() -> None:
        fill(bench, "tick", older)
        bench.clock.advance(timedelta(hours=2))
        newest = fill(bench, "tick", newer)
        async with bench.running(make_job(retention=keep)):
            await bench.pass_time(timedelta(seconds=10))
            await bench.until(lambda: len(bench.runs()) == left)
        assert [run.id for run in bench.runs()][-newer:] == newest
        with bench.view.database.reading.connect() as connection:
            counts = [connection.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar() for t in ("runs", "logs")]
        assert counts == [left, left]

    asyncio.run(body())


def test_what_failed_is_kept_longer_and_what_runs_is_kept(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        outcomes = {1: Outcome.FAILED, 2: Outcome.SUCCEEDED, 3: None}
        bench.executor.behave = lambda order: outcomes[order.run_id]
        keep = Retention(age=timedelta(minutes=1), failed_age=timedelta(hours=10))
        job = make_job(retention=keep, retry=Retry(max_attempts=1))
        now = bench.clock.now()
        new = [NewRun(job="tick", cause=Cause.MANUAL, created_at=now, due_at=now) for _ in range(3)]
        bench.view.write(create_runs, new)
        async with bench.running(job):
            await bench.until(lambda: bench.states() == ["failed", "succeeded", "running"])
            bench.clock.advance(timedelta(hours=1))
            await bench.pass_time(timedelta(seconds=90))
            await bench.until(lambda: bench.states() == ["failed", "running"])
            bench.clock.advance(timedelta(hours=10))
            await bench.pass_time(timedelta(seconds=90))
            await bench.until(lambda: bench.states() == ["running"])
        assert bench.runs()[0].state is RunState.QUEUED

    asyncio.run(body())
