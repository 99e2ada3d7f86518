"""Runs of jobs that an engine's own plan lacks: another engine's, a removed job's, all others of `run --once`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from orchestrator.core.plan import Job, Plan, Retention
from orchestrator.core.policies import Backoff, Jitter, Retry
from orchestrator.core.runs import Cause, RunState
from orchestrator.core.triggers import AfterTrigger, On
from orchestrator.store import instances, queries
from orchestrator.store.claims import ClaimRequest, claim
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.plans import KEPT, keep_plan

MakeJob = Callable[..., Job]
TWICE = Retry(max_attempts=2, backoff=Backoff.CONSTANT, delay=timedelta(seconds=1), jitter=Jitter.NONE)


def enqueue(bench: Any, job: str, **fields: Any) -> int:
    now = bench.clock.now()
    new = NewRun(**{"job": job, "cause": Cause.MANUAL, "created_at": now, "due_at": now, **fields})
    return bench.view.write(create_runs, [new])[0].id


def left_behind(bench: Any, job: Job) -> int:
    """A run that an engine was executing when it died."""
    run_id = enqueue(bench, job.name)
    now = bench.clock.now()
    engine = {"host": "elsewhere", "pid": 1, "plan_path": "", "wake_path": None, "now": now, "lease_until": now}
    dead = bench.view.write(instances.register, **engine)
    limits: dict[str, Any] = {"queue_limits": {}, "job_limits": {}}
    bench.view.write(
        claim, ClaimRequest(owner=dead, now=now, capacity={job.isolation: 1}, queues=["default"], **limits)
    )
    bench.view.write(instances.retire, dead, now)
    return run_id


def remember(bench: Any, *jobs: Job, path: str = "/elsewhere/jobs.yaml") -> None:
    """An engine works, or worked, by this plan."""
    plan = Plan(path=path, root="/elsewhere", timezone="UTC", jobs={job.name: job for job in jobs})
    bench.view.write(keep_plan, plan, bench.clock.now())


def test_who_executes_one_run_leaves_all_others_alone(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        now = bench.clock.now()
        old = [enqueue(bench, "kept", skip_reason="for the test") for _ in range(3)]
        bench.clock.advance(timedelta(days=40))
        left = left_behind(bench, make_job("pay"))
        expired = enqueue(bench, "mail", due_at=now, expires_at=now)
        late = enqueue(bench, "mail", due_at=now, deadline_at=now)
        own = enqueue(bench, "other")
        async with bench.running(make_job("other"), only_run=own):
            await bench.until(lambda: bench.states("other") == ["succeeded"])
            await bench.pass_time(timedelta(seconds=15))
        found = {run.id: run.state for run in bench.runs()}
        assert found == {
            **dict.fromkeys(old, RunState.SKIPPED),
            left: RunState.RUNNING,
            expired: RunState.QUEUED,
            late: RunState.QUEUED,
            own: RunState.SUCCEEDED,
        }

    asyncio.run(body())


def test_what_another_engine_knows_of_a_job_decides_about_its_dead_runs(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        after = AfterTrigger(job="pay", on=On.FAILURE)
        pay = make_job("pay", at_most_once=True)
        remember(bench, pay, make_job("alarm", after=(after,)))
        remember(bench, make_job("third"))
        left = left_behind(bench, pay)
        async with bench.running(make_job("other")):
            await bench.until(lambda: bench.runs("alarm"))
        assert [(run.state, run.attempt) for run in bench.runs("pay")] == [(RunState.FAILED, 1)]
        assert "at_most_once" in bench.runs("pay")[0].reason
        assert bench.runs("alarm")[0].parent_id == left
        assert bench.executor.orders == []

    asyncio.run(body())


def test_the_run_of_a_job_that_was_removed_comes_to_an_end(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        gone = make_job("gone", retry=TWICE)
        remember(bench, gone)
        left = left_behind(bench, gone)
        async with bench.running(make_job("other")):
            await bench.until(lambda: bench.states("gone") == ["scheduled"])
            await bench.pass_time(timedelta(seconds=3))
            await bench.until(lambda: bench.states("gone") == ["failed"])
        assert [a.outcome.value for a in bench.view.read(queries.list_attempts, left)] == ["crashed"]
        assert "no job 'gone' is declared" in bench.runs("gone")[0].reason

    asyncio.run(body())


def test_what_nobody_knows_is_not_executed_twice(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        forgotten = make_job("forgotten", retry=TWICE)
        remember(bench, forgotten)
        for n in range(KEPT):
            remember(bench, make_job("other"), path=f"/elsewhere/{n}.yaml")
        left_behind(bench, forgotten)
        async with bench.running(make_job("other")):
            await bench.until(lambda: bench.states("forgotten") == ["failed"])
        assert "no configuration declares its job" in bench.runs("forgotten")[0].reason

    asyncio.run(body())


def test_history_is_kept_as_the_engine_that_knows_its_job_keeps_it(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        remember(bench, make_job("books", retention=Retention(age=timedelta(days=365))))
        for job in ("books", "unheard"):
            enqueue(bench, job, skip_reason="for the test")
        bench.clock.advance(timedelta(days=40))
        async with bench.running(make_job("other")):
            await bench.pass_time(timedelta(seconds=10))
            await bench.until(lambda: not bench.runs("unheard"))
        assert bench.states("books") == ["skipped"]

    asyncio.run(body())
