"""Fires: on time, once, and never silently missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from orchestrator.core.errors import StoreError
from orchestrator.core.plan import Job
from orchestrator.core.policies import CatchUp, Overlap
from orchestrator.core.runs import Cause, Outcome, RunState
from orchestrator.engine.newruns import new_run
from orchestrator.store import queries
from orchestrator.store.creation import Created, CursorMove, NewRun, create_runs

MakeJob = Callable[..., Job]


def run_async(body: Any) -> None:
    asyncio.run(body)


def test_a_job_fires_at_its_times_and_its_runs_carry_them(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        async with bench.running(make_job(cron="*/30 * * * * *")):
            await bench.pass_time(timedelta(minutes=2))
            await bench.until(lambda: bench.states() == ["succeeded"] * 4)
        assert [run.fire_time.second for run in bench.runs()] == [30, 0, 30, 0]
        assert {run.cause for run in bench.runs()} == {Cause.FIRE}

    run_async(body())


def test_two_engines_on_one_store_give_one_run_per_fire(bench: Any, make_job: MakeJob, tmp_path: Any) -> None:
    async def body() -> None:
        job = make_job(cron="* * * * *", overlap=Overlap.ALLOW)
        async with bench.running(job), bench.running(job):
            await bench.pass_time(timedelta(minutes=3), timedelta(seconds=30))
            await bench.until(lambda: len(bench.runs()) >= 3)
        assert [run.fire_time.minute for run in bench.runs()] == [1, 2, 3]

    run_async(body())


@pytest.mark.parametrize(
    ("policy", "states", "causes"),
    [
        (CatchUp.SKIP, ["skipped"], 0),
        (CatchUp.LAST, ["skipped", "succeeded"], 1),
        (CatchUp.ALL, ["succeeded"] * 10, 10),
    ],
)
def test_downtime_is_made_up_for_as_declared(
    bench: Any, make_job: MakeJob, policy: CatchUp, states: list[str], causes: int
) -> None:
    async def body() -> None:
        job = make_job(cron="* * * * *", catch_up=policy)
        async with bench.running(job):
            pass
        bench.clock.advance(timedelta(minutes=10, seconds=30))
        async with bench.running(job):
            await bench.pass_time(timedelta(seconds=3))
            await bench.until(lambda: bench.states() == states)
            assert (
                sum(run.cause is Cause.CATCH_UP and run.state is not RunState.SKIPPED for run in bench.runs()) == causes
            )
            await bench.pass_time(timedelta(seconds=30))
            await bench.until(lambda: bench.states() == [*states, "succeeded"])

    run_async(body())


def test_catch_up_looks_back_no_further_than_its_window(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(cron="0 * * * *", catch_up=CatchUp.ALL, catch_up_window=timedelta(hours=3))
        async with bench.running(job):
            pass
        bench.clock.advance(timedelta(hours=10, minutes=30))
        async with bench.running(job):
            await bench.pass_time(timedelta(seconds=3))
            await bench.until(lambda: len(bench.runs()) == 4)
        caught = [run.fire_time.hour for run in bench.runs(None, RunState.SUCCEEDED)]
        assert caught == [20, 21, 22]
        (skipped,) = bench.runs(None, RunState.SKIPPED)
        assert "7 fire times from 2026-03-02 13:00:00 UTC on passed" in skipped.reason

    run_async(body())


def test_a_month_of_missed_seconds_costs_one_row_and_no_time(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(cron="* * * * * *", catch_up=CatchUp.SKIP)
        async with bench.running(job):
            pass
        bench.clock.advance(timedelta(days=30))
        async with bench.running(job):
            await bench.until(lambda: len(bench.runs()) == 1)
        assert "100+ fire times" in bench.runs()[0].reason

    run_async(body())


def test_a_fire_that_can_not_be_written_is_still_owed(
    bench: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the engine then, the next one knows of it: runs and cursors are written together or not at all."""

    def create(connection: Connection, new: Sequence[NewRun], *more: Any) -> list[Created]:
        if new:
            raise StoreError("the disk is full")
        return create_runs(connection, new, *more)

    monkeypatch.setattr("orchestrator.engine.scheduler.create_runs", create)

    async def refused() -> None:
        async with bench.running(make_job(cron="* * * * *")):
            await bench.pass_time(timedelta(seconds=61))
            await bench.until(lambda: bench.named("scheduler.delayed"))

    async def served() -> None:
        async with bench.running(make_job(cron="* * * * *")):
            await bench.until(lambda: bench.states() == ["succeeded"])

    run_async(refused())
    assert bench.runs() == []
    monkeypatch.undo()
    run_async(served())
    assert [run.fire_time.minute for run in bench.runs()] == [1]


def test_a_machine_that_slept_catches_up_when_it_wakes(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        async with bench.running(make_job(cron="*/10 * * * *")):
            bench.clock.jump(bench.clock.now() + timedelta(hours=8, minutes=5))
            await bench.pass_time(timedelta(seconds=2))
            await bench.until(lambda: bench.states() == ["skipped", "succeeded"])
        assert bench.runs()[1].fire_time == datetime(2026, 3, 2, 20, 0, tzinfo=UTC)

    run_async(body())


def test_who_slept_while_another_engine_served_and_died_owes_only_the_rest(bench: Any, make_job: MakeJob) -> None:
    job = make_job(cron="* * * * * *", catch_up=CatchUp.SKIP)

    async def body() -> None:
        async with bench.running(job):
            await bench.pass_time(timedelta(seconds=2))
            ((key, cursor),) = bench.view.read(queries.read_cursors).items()
            fires = [cursor + timedelta(seconds=second) for second in (1, 2, 3)]
            served = [new_run(job, Cause.FIRE, at, fire_time=at, skip_reason="by another engine") for at in fires]
            move = CursorMove(job=job.name, trigger=key[1], fire_time=fires[-1])
            bench.view.write(create_runs, served, [move])
            await bench.pass_time(timedelta(seconds=30), timedelta(seconds=30))

    run_async(body())
    (summed_up,) = [run for run in bench.runs() if run.cause is Cause.CATCH_UP]
    assert summed_up.fire_time == datetime(2026, 3, 2, 12, 0, 6, tzinfo=UTC)
    assert "27 fire times from 2026-03-02 12:00:06 UTC on" in (summed_up.reason or "")


def test_a_clock_set_back_fires_nothing_twice_and_is_reported(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        async with bench.running(make_job(cron="* * * * *")):
            await bench.pass_time(timedelta(minutes=3))
            bench.clock.jump(bench.clock.now() - timedelta(minutes=2))
            await bench.pass_time(timedelta(minutes=4))
            await bench.until(lambda: len(bench.runs()) == 5)
        assert [run.fire_time.minute for run in bench.runs()] == [1, 2, 3, 4, 5]
        assert bench.named("clock.went_back")

    run_async(body())


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        (Overlap.SKIP, ["running", "skipped", "skipped"]),
        (Overlap.QUEUE, ["running", "queued", "queued"]),
        (Overlap.ALLOW, ["running", "running", "running"]),
        (Overlap.REPLACE, ["cancelled", "cancelled", "running"]),
    ],
)
def test_a_fire_during_an_earlier_run_does_as_overlap_says(
    bench: Any, make_job: MakeJob, overlap: Overlap, states: list[str]
) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        concurrency = None if overlap is Overlap.ALLOW else 1
        async with bench.running(make_job(cron="* * * * *", overlap=overlap, concurrency=concurrency)):
            await bench.pass_time(timedelta(minutes=3))
            await bench.until(lambda: bench.states() == states)
        assert all(run.reason for run in bench.runs(None, RunState.SKIPPED, RunState.CANCELLED))

    run_async(body())


def test_a_queued_overlap_runs_when_the_earlier_run_ends(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda order: None if order.fire_time.minute == 1 else Outcome.SUCCEEDED
        async with bench.running(make_job(cron="* * * * *", overlap=Overlap.QUEUE, concurrency=1)):
            await bench.pass_time(timedelta(minutes=2))
            await bench.until(lambda: bench.states() == ["running", "queued"])
            bench.executor.end(bench.runs()[0].id, Outcome.SUCCEEDED)
            await bench.until(lambda: bench.states() == ["succeeded", "succeeded"])

    run_async(body())


def test_a_paused_job_fires_into_skipped_rows_that_say_so(bench: Any, make_job: MakeJob) -> None:
    from orchestrator.store import requests

    async def body() -> None:
        async with bench.running(make_job(cron="* * * * *")):
            bench.view.write(requests.pause, "tick", bench.clock.now())
            await bench.pass_time(timedelta(minutes=2))
            await bench.until(lambda: bench.states() == ["skipped", "skipped"])
            bench.view.write(requests.resume, "tick", bench.clock.now())
            await bench.pass_time(timedelta(minutes=1))
            await bench.until(lambda: bench.states() == ["skipped", "skipped", "succeeded"])
        assert bench.runs()[0].reason == "the job is paused"

    run_async(body())


def test_on_start_runs_once_per_start(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(on_start=True)
        for count in (1, 2):
            async with bench.running(job):
                await bench.until(lambda count=count: bench.states() == ["succeeded"] * count)
        assert {run.cause for run in bench.runs()} == {Cause.START}

    run_async(body())


def test_an_interval_keeps_its_beat_over_restarts(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(every="10 minutes")
        async with bench.running(job):
            await bench.pass_time(timedelta(minutes=15), timedelta(seconds=30))
        async with bench.running(job):
            await bench.pass_time(timedelta(minutes=10), timedelta(seconds=30))
            await bench.until(lambda: len(bench.runs()) == 2)
        assert [run.fire_time.minute for run in bench.runs()] == [10, 20]

    run_async(body())


def test_jitter_puts_off_the_start_but_not_the_fire_time(bench: Any, make_job: MakeJob) -> None:
    from orchestrator.core.triggers import CronSpec, TimeTrigger

    async def body() -> None:
        trigger = TimeTrigger(spec=CronSpec(expression="* * * * *"), jitter=timedelta(seconds=20))
        async with bench.running(make_job(triggers=(trigger,), overlap=Overlap.ALLOW)):
            await bench.pass_time(timedelta(minutes=5, seconds=30), timedelta(seconds=1))
            await bench.until(lambda: bench.states() == ["succeeded"] * 5)
        assert [run.fire_time.second for run in bench.runs()] == [0] * 5
        delays = [(run.due_at - run.fire_time).total_seconds() for run in bench.runs()]
        assert all(0 <= delay <= 20 for delay in delays)
        assert len(set(delays)) == 5

    run_async(body())


def test_an_unusable_job_says_why_it_does_not_run_and_spares_the_rest(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        broken = make_job("broken", cron="* * * * *", unusable="its plugin could not be imported")
        async with bench.running(broken, make_job(cron="* * * * *")):
            await bench.pass_time(timedelta(minutes=1))
            await bench.until(lambda: sorted(bench.states()) == ["skipped", "succeeded"])
        assert bench.runs("broken")[0].reason == "its plugin could not be imported"

    run_async(body())
