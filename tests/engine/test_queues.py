"""What queues ask of an engine: rates on time, keys in turn, what expires, what a person holds back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.keys import KeyPath
from orchestrator.core.plan import Job, Queue
from orchestrator.core.policies import PerKey, RateLimit
from orchestrator.core.runs import Cause, Outcome, RunState
from orchestrator.engine.newruns import new_run
from orchestrator.store import pauses
from orchestrator.store.creation import create_runs

MakeJob = Callable[..., Job]
BY = (KeyPath(("tenant",)),)


def enqueue(bench: Any, job: Job, *tenants: str, count: int = 1) -> None:
    now = bench.clock.now()
    params = [{"tenant": tenant} for tenant in tenants] or [None] * count
    bench.view.write(create_runs, [new_run(job, Cause.MANUAL, now, params=one) for one in params])


def rate(count: int, seconds: float) -> RateLimit:
    return RateLimit(count=count, period=timedelta(seconds=seconds))


@pytest.mark.parametrize("per_key", [False, True])
def test_what_a_rate_holds_back_starts_at_the_instant_at_which_it_may(
    bench: Any, make_job: MakeJob, per_key: bool
) -> None:
    async def body() -> None:
        limits: dict[str, Any] = {"rate_limit": rate(2, 5.25)}
        queue = Queue(name="mail", per_key=PerKey(by=BY, **limits)) if per_key else Queue(name="mail", **limits)
        job = make_job(queue="mail", group_by=BY if per_key else None)
        begin = bench.clock.now()
        enqueue(bench, job, *"aaaaa")
        async with bench.running(job, queues=(queue,)):
            await bench.until(lambda: bench.states().count("succeeded") == 2)
            await bench.pass_time(timedelta(seconds=11), timedelta(seconds=0.25))
            await bench.until(lambda: bench.states() == ["succeeded"] * 5)
        started = [(run.started_at - begin).total_seconds() for run in bench.runs()]
        assert started == [0, 0, 5.25, 5.25, 10.5]

    asyncio.run(body())


def test_a_rate_is_shared_by_all_engines(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, queue = make_job(queue="mail"), Queue(name="mail", rate_limit=rate(3, 60))
        enqueue(bench, job, count=9)
        async with bench.running(job, queues=(queue,)), bench.running(job, queues=(queue,)):
            await bench.pass_time(timedelta(seconds=5))
            await bench.until(lambda: bench.states().count("succeeded") == 3)
            await bench.pass_time(timedelta(seconds=5))
            assert bench.states().count("succeeded") == 3

    asyncio.run(body())


def test_fires_of_a_queue_with_a_rate_keep_to_it(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(cron="* * * * * *", queue="mail")
        async with bench.running(job, queues=(Queue(name="mail", rate_limit=rate(2, 60)),)):
            await bench.pass_time(timedelta(seconds=5))
            await bench.until(lambda: bench.states().count("succeeded") == 2)
            assert "queued" in bench.states()

    asyncio.run(body())


def test_keys_take_turns_from_one_claim_to_the_next(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        job = make_job(queue="mail", group_by=BY)
        enqueue(bench, job, *"aaaabbcc")
        order = []
        async with bench.running(job, queues=(Queue(name="mail", concurrency=1, per_key=PerKey(by=BY)),)):
            for number in range(8):
                await bench.until(lambda at=number: len(bench.executor.orders) == at + 1)
                order.append(bench.executor.orders[-1].params["tenant"])
                bench.executor.end(bench.executor.orders[-1].run_id, Outcome.SUCCEEDED)
        assert "".join(order) == "abcabcaa"

    asyncio.run(body())


def test_a_run_that_came_to_be_without_its_key_is_found_all_the_same(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        keyed = make_job(queue="mail", group_by=BY)
        enqueue(bench, make_job(queue="mail"), "x")
        enqueue(bench, make_job("gone", queue="mail"), "y")
        async with bench.running(keyed, queues=(Queue(name="mail", per_key=PerKey(by=BY)),)):
            await bench.until(lambda: bench.states() == ["succeeded", "failed"])
            enqueue(bench, make_job(queue="mail"), "z")
            await bench.pass_time(timedelta(seconds=62))
            await bench.until(lambda: bench.states()[2:] == ["succeeded"])
        assert [run.group_key for run in bench.runs()] == ["x", "", "z"]

    asyncio.run(body())


def test_what_expires_is_skipped_and_said_and_what_its_end_fires_follows(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        from orchestrator.core.triggers import AfterTrigger, On

        bench.executor.room = 0
        job = make_job(expires_in=timedelta(seconds=5))
        after = make_job("after", after=(AfterTrigger(job="tick", on=On.END),))
        never = make_job("never", after=(AfterTrigger(job="tick"), AfterTrigger(job="tick", on=On.FAILURE)))
        enqueue(bench, job)
        async with bench.running(job, after, never):
            await bench.pass_time(timedelta(seconds=4))
            assert bench.states() == ["queued"]
            await bench.pass_time(timedelta(seconds=3))
            await bench.until(lambda: bench.states() == ["skipped", "queued"])
            await bench.until(lambda: bench.named("run.skipped"))
        (event,) = bench.named("run.skipped")
        assert (event.fields["job"], event.level) == ("tick", "warning")
        assert "expired" in event.fields["reason"]

    asyncio.run(body())


def test_fires_of_a_paused_queue_wait_and_nothing_is_created_as_claimed(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.view.write(pauses.pause_queue, "mail", bench.clock.now())
        job, other = make_job(cron="*/2 * * * * *", queue="mail"), make_job("other", cron="*/2 * * * * *")
        async with bench.running(job, other):
            await bench.pass_time(timedelta(seconds=3))
            await bench.until(lambda: "succeeded" in bench.states("other"))
            assert set(bench.states("tick")) <= {"queued", "skipped"}
            assert "queued" in bench.states("tick")
            bench.view.write(pauses.resume_queue, "mail")
            await bench.pass_time(timedelta(seconds=2))
            await bench.until(lambda: bench.runs("tick", RunState.SUCCEEDED))

    asyncio.run(body())
