"""Another plan while the engine works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from orchestrator.core.errors import StoreError
from orchestrator.core.plan import Job, Plan
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Cause, Outcome
from orchestrator.store.alignment import align_isolation
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.cursors import TriggerKey, sync_cursors

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


def test_no_part_takes_up_a_plan_before_all_can(bench: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database can't take the new triggers, everything goes on by the old plan; then all parts change."""
    refusing, refusals = ["the disk is full"], []

    def sync(connection: Connection, wanted: Collection[TriggerKey], now: datetime) -> dict[TriggerKey, datetime]:
        if {job for job, _ in wanted} == {"new"} and refusing:
            refusals.append("refused")
            raise StoreError(refusing[0])
        return sync_cursors(connection, wanted, now)

    monkeypatch.setattr("orchestrator.engine.scheduler.sync_cursors", sync)

    async def body() -> None:
        async with bench.running(make_job("old", cron="* * * * *")) as engine:
            new = plan_of(make_job("new", cron="* * * * *"))
            applying = asyncio.create_task(engine.apply(new))
            await bench.until(lambda: refusals)
            assert set(bench.executor.plan.jobs) == {"old"}
            await bench.pass_time(timedelta(minutes=1))
            refusing.clear()
            await bench.pass_time(timedelta(seconds=1))
            await bench.until(applying.done)
            applying.result()
            assert bench.executor.plan is new
            await bench.pass_time(timedelta(seconds=60))
            await bench.until(lambda: bench.states() == ["succeeded"] * 2)
        assert [run.job for run in bench.runs()] == ["old", "new"]

    asyncio.run(body())


def test_a_plan_whose_waiting_runs_can_not_be_told_is_in_use_and_may_be_applied_again(
    bench: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = ["once"]

    def align(*arguments: Any) -> int:
        if refusals:
            refusals.pop()
            raise StoreError("the disk is full")
        return align_isolation(*arguments)

    async def body() -> None:
        async with bench.running(make_job("old", cron="* * * * *")) as engine:
            monkeypatch.setattr("orchestrator.engine.engine.align_isolation", align)
            new = plan_of(make_job("new", cron="* * * * *", isolation=Isolation.ASYNC))
            with pytest.raises(StoreError):
                await engine.apply(new)
            await bench.pass_time(timedelta(minutes=1))
            await bench.until(lambda: bench.states() == ["succeeded"])
            await engine.apply(new)
            await bench.pass_time(timedelta(minutes=1))
            await bench.until(lambda: bench.states() == ["succeeded"] * 2)
        assert {run.job for run in bench.runs()} == {"new"}

    asyncio.run(body())
