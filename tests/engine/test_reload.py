"""Another plan while the engine works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from orchestrator.core.plan import Job, Plan
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Cause, Outcome
from orchestrator.store.creation import NewRun, create_runs

MakeJob = Callable[..., Job]


def plan_of(*jobs: Job) -> Plan:
    return Plan(path="/nowhere/jobs.yaml", root="/nowhere", timezone="UTC", jobs={job.name: job for job in jobs})


def test_a_new_job_fires_and_a_removed_one_stops(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        old, new = make_job("old", cron="* * * * *"), make_job("new", cron="* * * * *")
        async with bench.running(old) as engine:
            await bench.pass_time(timedelta(minutes=2))
            await engine.apply(plan_of(new))
            await bench.pass_time(timedelta(minutes=2))
            await bench.until(lambda: bench.states() == ["succeeded"] * 4)
        assert [run.job for run in bench.runs()] == ["old", "old", "new", "new"]

    asyncio.run(body())


def test_a_trigger_that_stays_keeps_its_beat(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        async with bench.running(make_job(every="10 minutes")) as engine:
            await bench.pass_time(timedelta(minutes=5), timedelta(seconds=30))
            await engine.apply(plan_of(make_job(every="10 minutes", params={"changed": True})))
            await bench.pass_time(timedelta(minutes=6), timedelta(seconds=30))
            await bench.until(lambda: bench.states() == ["succeeded"])
        assert bench.runs()[0].fire_time.minute == 10
        assert bench.runs()[0].params == {"changed": True}

    asyncio.run(body())


def test_what_runs_goes_on_and_what_waits_keeps_its_parameters(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        before = make_job(cron="* * * * *", params={"version": 1}, concurrency=1, overlap="queue")
        async with bench.running(before) as engine:
            await bench.pass_time(timedelta(minutes=2))
            await bench.until(lambda: bench.states() == ["running", "queued"])
            await engine.apply(plan_of(make_job(params={"version": 2}, concurrency=1)))
            bench.executor.end(bench.runs()[0].id, Outcome.SUCCEEDED)
            await bench.until(lambda: bench.runs()[1].id in bench.executor.held)
            bench.executor.end(bench.runs()[1].id, Outcome.SUCCEEDED)
        assert [order.params for order in bench.executor.orders] == [{"version": 1}, {"version": 1}]

    asyncio.run(body())


def test_waiting_runs_follow_their_job_to_another_kind_of_worker(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        now = bench.clock.now()
        new = NewRun(job="tick", cause=Cause.MANUAL, created_at=now, due_at=now, isolation=Isolation.PROCESS)
        bench.view.write(create_runs, [new])
        async with bench.running(make_job(isolation=Isolation.ASYNC)):
            await bench.until(lambda: bench.states() == ["succeeded"])
        assert bench.executor.orders[0].isolation is Isolation.ASYNC

    asyncio.run(body())
