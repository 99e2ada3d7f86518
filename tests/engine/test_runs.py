"""The life of a run: retries, limits, cancellation, followers, recovery, shutdown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from orchestrator.core.errors import StoreError
from orchestrator.core.plan import Job, Queue
from orchestrator.core.policies import Backoff, Jitter, Overlap, Retry
from orchestrator.core.runs import Cause, ErrorInfo, Outcome, RunState
from orchestrator.core.triggers import AfterTrigger, On
from orchestrator.executors.contract import Output, Progress, Saved
from orchestrator.store import instances, queries, requests
from orchestrator.store.batches import Batch, write_batch
from orchestrator.store.claims import ClaimRequest, claim
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.endings import Settled

MakeJob = Callable[..., Job]
STEADY = Retry(max_attempts=3, backoff=Backoff.CONSTANT, delay=timedelta(seconds=10), jitter=Jitter.NONE)
BOOM = ErrorInfo(type="ValueError", message="boom", names=("builtins.ValueError", "builtins.Exception"))


def enqueue(bench: Any, job: Job, **fields: Any) -> int:
    now = bench.clock.now()
    new = NewRun(job=job.name, cause=Cause.MANUAL, created_at=now, due_at=now, queue=job.queue, **fields)
    return bench.view.write(create_runs, [new])[0].id


def test_a_failing_run_retries_by_its_policy_and_then_is_dead(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: BOOM
        job = make_job(retry=STEADY)
        run_id = enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: bench.states() == ["scheduled"])
            await bench.pass_time(timedelta(seconds=9))
            assert len(bench.executor.orders) == 1
            await bench.pass_time(timedelta(seconds=15))
            await bench.until(lambda: bench.states() == ["failed"])
        assert [order.number for order in bench.executor.orders] == [1, 2, 3]
        assert bench.runs()[0].reason == "ValueError: boom (attempt 3 of 3)"
        outcomes = [a.outcome for a in bench.view.read(queries.list_attempts, run_id)]
        assert outcomes == [Outcome.FAILED] * 3

    asyncio.run(body())


@pytest.mark.parametrize(
    ("fields", "ended", "state", "reason"),
    [
        ({"retry": Retry(give_up_on=("ValueError",))}, {"error": BOOM}, "failed", "leaves this exception out"),
        ({"retry": Retry(on=("OSError",))}, {"error": BOOM}, "failed", "leaves this exception out"),
        ({"retry": Retry(on=("builtins.Exception",))}, {"error": BOOM}, "scheduled", "boom"),
        ({"at_most_once": True}, {"error": BOOM}, "failed", "at_most_once"),
        ({}, {"error": BOOM, "give_up": True}, "failed", "gave up"),
        ({"retry": Retry(on=("OSError",))}, {"error": BOOM, "retry_after": 60.0}, "scheduled", "boom"),
        ({"deadline": timedelta(seconds=30)}, {"error": BOOM, "retry_after": 60.0}, "failed", "deadline"),
    ],
)
def test_a_failed_attempt_is_judged_by_the_jobs_policies(
    bench: Any, make_job: MakeJob, fields: dict[str, Any], ended: dict[str, Any], state: str, reason: str
) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        job = make_job(**fields)
        deadline = bench.clock.now() + job.deadline if job.deadline else None
        run_id = enqueue(bench, job, deadline_at=deadline)
        async with bench.running(job):
            await bench.until(lambda: run_id in bench.executor.held)
            bench.executor.end(run_id, Outcome.FAILED, **ended)
            await bench.until(lambda: bench.states() == [state])
        assert reason in bench.runs()[0].reason

    asyncio.run(body())


def test_released_attempts_cost_nothing(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        ends = iter([Outcome.RELEASED] * 5 + [Outcome.SUCCEEDED])
        bench.executor.behave = lambda _: next(ends)
        job = make_job(retry=Retry(max_attempts=1))
        enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: bench.states() == ["succeeded"])
        assert {order.number for order in bench.executor.orders} == {1}
        assert [order.attempt for order in bench.executor.orders] == [1, 2, 3, 4, 5, 6]

    asyncio.run(body())


def test_what_may_run_once_only_is_not_given_back_once_it_has_begun(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        async with bench.running(
            make_job("once", concurrency=None, cron="* * * * *", at_most_once=True, overlap=Overlap.ALLOW)
        ):
            bench.executor.behave = lambda order: None
            await bench.pass_time(timedelta(minutes=2))
            await bench.until(lambda: len(bench.executor.held) == 2)
            begun, waiting = bench.executor.held
            bench.executor.end(begun, Outcome.RELEASED, reason="interrupted by shutdown")
            bench.executor.behave = lambda order: Outcome.SUCCEEDED
            bench.executor.end(waiting, Outcome.RELEASED, unstarted=True, reason="given back at shutdown")
            await bench.until(lambda: bench.states() == ["failed", "succeeded"])
        assert "at_most_once" in bench.runs()[0].reason
        assert [run.charged for run in bench.runs()] == [1, 1]

    asyncio.run(body())


def test_limits_of_jobs_and_queues_hold(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        narrow = make_job("narrow", concurrency=2, queue="q")
        wide = make_job("wide", queue="q")
        for _ in range(10):
            enqueue(bench, narrow)
            enqueue(bench, wide)
        async with bench.running(narrow, wide, queues=(Queue(name="q", concurrency=5),)):
            for finished in range(1, 21):
                await bench.until(lambda: bench.executor.held)
                jobs = [order.job for order in bench.executor.held.values()]
                assert len(jobs) <= 5
                assert jobs.count("narrow") <= 2
                bench.executor.end(next(iter(bench.executor.held)), Outcome.SUCCEEDED)
                await bench.until(lambda done=finished: len(bench.runs(None, RunState.SUCCEEDED)) == done)

    asyncio.run(body())


def test_followers_run_after_the_end_they_wait_for(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda order: BOOM if order.job == "bad" else Outcome.SUCCEEDED
        once = Retry(max_attempts=1)
        jobs = [make_job("good"), make_job("bad", retry=once)]
        jobs += [
            make_job(f"{parent}-{on.value}", after=(AfterTrigger(job=parent, on=on),))
            for parent in ("good", "bad")
            for on in On
        ]
        jobs.append(make_job("chained", after=(AfterTrigger(job="good-success"),)))
        for job in jobs[:2]:
            enqueue(bench, job)
        async with bench.running(*jobs):
            await bench.until(lambda: len(bench.runs()) == 7 and not bench.executor.held)
            await bench.until(lambda: all(run.state.finished for run in bench.runs()))
        ran = {run.job for run in bench.runs() if run.cause is Cause.AFTER}
        assert ran == {"good-success", "good-end", "bad-failure", "bad-end", "chained"}

    asyncio.run(body())


def test_a_person_can_cancel_a_running_run_and_a_waiting_one(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        job = make_job(concurrency=1)
        first, second = enqueue(bench, job), enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: first in bench.executor.held)
            assert bench.view.write(requests.cancel, second, bench.clock.now()) is RunState.CANCELLED
            assert bench.view.write(requests.cancel, first, bench.clock.now()) is RunState.RUNNING
            await bench.pass_time(timedelta(seconds=2))
            await bench.until(lambda: bench.states() == ["cancelled", "cancelled"])
        assert bench.executor.cancelled == [(first, "cancelled on request")]

    asyncio.run(body())


@pytest.mark.parametrize("heeds", [True, False])
def test_a_run_that_is_cancelled_while_it_runs_fires_what_follows_its_end(
    bench: Any, make_job: MakeJob, heeds: bool
) -> None:
    """Also where it fails before it hears of that, though it had attempts left."""

    async def body() -> None:
        bench.executor.behave = lambda order: None if order.job == "tick" else Outcome.SUCCEEDED
        followers = [make_job(f"on-{on.value}", after=(AfterTrigger(job="tick", on=on),)) for on in On]
        run_id = enqueue(bench, make_job())
        async with bench.running(make_job(retry=STEADY), *followers):
            await bench.until(lambda: bench.executor.held)
            if not heeds:
                bench.executor.cancel = lambda *_: None
            bench.view.write(requests.cancel, run_id, bench.clock.now())
            if not heeds:
                bench.executor.end(run_id, Outcome.FAILED, error=BOOM)
            await bench.pass_time(timedelta(seconds=2))
            await bench.until(lambda: bench.states("on-end") == ["succeeded"])
        assert bench.states("tick") == ["cancelled"]
        assert bench.runs("tick")[0].reason.startswith("cancelled on request")
        assert [bench.runs(f"on-{on.value}") for on in (On.SUCCESS, On.FAILURE)] == [[], []]

    asyncio.run(body())


def test_output_progress_and_checkpoints_are_kept(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        job = make_job(retry=Retry(max_attempts=2, delay=timedelta(0)))
        run_id = enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: run_id in bench.executor.held)
            now = bench.clock.now()
            bench.executor.report(
                Output(run_id=run_id, attempt=1, at=now, stream="stdout", text="hello\n"),
                Progress(run_id=run_id, attempt=1, done=3, total=10),
                Saved(run_id=run_id, attempt=1, value={"offset": 300}),
            )
            await bench.until(lambda: bench.runs()[0].progress == (3, 10))
            bench.executor.end(run_id, Outcome.FAILED, error=BOOM)
            await bench.pass_time(timedelta(seconds=1))
            await bench.until(lambda: run_id in bench.executor.held)
            assert bench.executor.orders[-1].checkpoint == {"offset": 300}
            bench.executor.end(run_id, Outcome.SUCCEEDED)
        lines = bench.view.read(queries.list_logs, run_id)
        assert [line.text for _, line in lines] == ["hello\n"]

    asyncio.run(body())


def test_the_runs_of_a_dead_engine_are_recovered_once_and_charged(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(retry=STEADY)
        run_id = enqueue(bench, job)
        now = bench.clock.now()
        dead = bench.view.write(
            instances.register, host="elsewhere", pid=1, plan_path="", wake_path=None, now=now, lease_until=now
        )
        bench.view.write(
            claim,
            ClaimRequest(
                owner=dead, now=now, capacity={job.isolation: 9}, queues=["default"], queue_limits={}, job_limits={}
            ),
        )
        bench.clock.advance(timedelta(seconds=1))
        async with bench.running(job), bench.running(job):
            await bench.pass_time(timedelta(seconds=6))
            await bench.until(lambda: bench.states() == ["scheduled"])
            await bench.pass_time(timedelta(seconds=11))
            await bench.until(lambda: bench.states() == ["succeeded"])
        outcomes = [a.outcome.value for a in bench.view.read(queries.list_attempts, run_id)]
        assert outcomes == ["crashed", "succeeded"]
        assert len(bench.named("engine.lost")) >= 1

    asyncio.run(body())


def test_the_runs_of_an_engine_whose_socket_is_closed_are_recovered_at_once(bench: Any, make_job: MakeJob) -> None:
    """However long its lease goes on: the socket is only closed when the process is gone."""

    async def body() -> None:
        job = make_job(at_most_once=True)
        run_id = enqueue(bench, job)
        now = bench.clock.now()
        dead = bench.view.write(
            instances.register,
            host=socket.gethostname(),
            pid=1,
            plan_path="",
            wake_path="/nowhere/engine.sock",
            now=now,
            lease_until=now + timedelta(days=1),
        )
        room = {job.isolation: 9}
        bench.view.write(
            claim,
            ClaimRequest(owner=dead, now=now, capacity=room, queues=["default"], queue_limits={}, job_limits={}),
        )
        async with bench.running(job):
            await bench.until(lambda: bench.states() == ["failed"])
        (lost,) = bench.named("engine.lost")
        assert lost.fields["reason"] == "its process is gone"
        assert [a.outcome.value for a in bench.view.read(queries.list_attempts, run_id)] == ["crashed"]

    asyncio.run(body())


def test_a_lease_that_ran_out_while_nobody_could_write_may_be_renewed(bench: Any, make_job: MakeJob) -> None:
    """Whoever holds the database locked lets every lease run out; the first to write again must not kill the rest."""

    async def body() -> None:
        then = bench.clock.now()
        slow = bench.view.write(
            instances.register, host="elsewhere", pid=1, plan_path="", wake_path=None, now=then, lease_until=then
        )
        bench.clock.advance(timedelta(seconds=1))
        async with bench.running(make_job()):
            assert bench.named("engine.lost") == []
            now = bench.clock.now()
            assert bench.view.write(instances.heartbeat, slow, now, now + timedelta(seconds=15))
            await bench.pass_time(timedelta(seconds=12))
            assert bench.named("engine.lost") == []
            await bench.pass_time(timedelta(seconds=18))
            assert [event.fields["reason"] for event in bench.named("engine.lost")] == ["its lease ran out"]

    asyncio.run(body())


def test_shutdown_gives_back_what_it_interrupts_and_the_lease(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.behave = lambda _: None
        job = make_job()
        run_id = enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: run_id in bench.executor.held)
        run = bench.runs()[0]
        assert (run.state, run.charged, run.owner) == (RunState.QUEUED, 0, None)
        assert bench.view.read(instances.living) == []
        assert list(bench.view.database.path.parent.glob("*.sock")) == []

    asyncio.run(body())


def test_a_run_past_its_deadline_fails_without_starting(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        bench.executor.room = 0
        job = make_job()
        enqueue(bench, job, deadline_at=bench.clock.now() + timedelta(seconds=5))
        async with bench.running(job):
            await bench.pass_time(timedelta(seconds=8))
            await bench.until(lambda: bench.states() == ["failed"])
        assert "deadline" in bench.runs()[0].reason

    asyncio.run(body())


def test_a_run_of_a_job_that_is_gone_fails_and_says_so(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        enqueue(bench, make_job("gone", queue="old"))
        async with bench.running(make_job()):
            await bench.until(lambda: bench.states() == ["failed"])
        assert "no job 'gone' is declared" in bench.runs()[0].reason

    asyncio.run(body())


def test_an_engine_that_was_taken_for_dead_starts_over_and_its_runs_are_recovered(
    bench: Any, make_job: MakeJob
) -> None:
    async def body() -> None:
        bench.executor.behave = lambda order: None if order.attempt == 1 else Outcome.SUCCEEDED
        job = make_job(retry=STEADY)
        run_id = enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: run_id in bench.executor.held)
            (engine,) = bench.view.read(instances.living)
            bench.view.write(instances.retire, engine.id, bench.clock.now())
            await bench.pass_time(timedelta(seconds=12))
            await bench.until(lambda: bench.named("engine.lease_lost"))
            await bench.pass_time(timedelta(seconds=12))
            await bench.until(lambda: bench.states() == ["succeeded"])
            assert [one.id for one in bench.view.read(instances.living)] != [engine.id]
        outcomes = [a.outcome.value for a in bench.view.read(queries.list_attempts, run_id)]
        assert outcomes == ["crashed", "succeeded"]

    asyncio.run(body())


def test_an_outcome_waits_until_the_database_takes_it(
    bench: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = ["the disk is full"] * 2

    def write(connection: Connection, batch: Batch, now: datetime) -> Settled:
        if refusals:
            raise StoreError(refusals.pop())
        return write_batch(connection, batch, now)

    monkeypatch.setattr("orchestrator.engine.recorder.write_batch", write)
    monkeypatch.setattr("orchestrator.engine.recorder.RETRY_PAUSE", 0.01)

    async def body() -> None:
        bench.executor.behave = lambda _: BOOM
        job = make_job(retry=Retry(max_attempts=1))
        enqueue(bench, job)
        async with bench.running(job):
            await bench.until(lambda: bench.states() == ["failed"])
        assert [event.fields["error"] for event in bench.named("recorder.delayed")] == ["the disk is full"] * 2
        assert bench.runs()[0].reason == "ValueError: boom (attempt 1 of 1)"

    asyncio.run(body())


@pytest.mark.parametrize("trouble", [ValueError("it holds a lone surrogate \udcff"), StoreError("no", refused=True)])
def test_an_end_that_can_not_be_written_fails_its_run_and_spares_the_others(
    bench: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Whatever it is that a callable brought along: the engine goes on, and no run is left running for ever."""

    def write(connection: Connection, batch: Batch, now: datetime) -> Settled:
        if any(ending.result == "cursed" for ending in batch.endings):
            raise trouble
        return write_batch(connection, batch, now)

    monkeypatch.setattr("orchestrator.engine.recorder.write_batch", write)

    async def body() -> None:
        bench.executor.behave = lambda _: None
        tick = make_job(cron="* * * * *", overlap=Overlap.ALLOW)
        after = make_job("after", after=(AfterTrigger(job="tick", on=On.FAILURE),))
        async with bench.running(tick, after):
            await bench.pass_time(timedelta(minutes=3))
            await bench.until(lambda: len(bench.executor.held) == 3)
            first, second, third = (run.id for run in bench.runs("tick"))
            bench.executor.end(first, Outcome.SUCCEEDED, result=1)
            bench.executor.end(second, Outcome.SUCCEEDED, result="cursed")
            bench.executor.end(third, Outcome.SUCCEEDED, result=3)
            await bench.until(lambda: bench.states("tick") == ["succeeded", "failed", "succeeded"])
            await bench.until(lambda: bench.runs("after") and bench.runs("after")[0].id in bench.executor.held)
            assert bench.runs("after")[0].parent_id == second
            assert "its end can't be written" in bench.runs("tick")[1].reason
            bench.executor.end(bench.runs("after")[0].id, Outcome.SUCCEEDED)
        assert len(bench.named("recorder.refused")) == 1

    asyncio.run(body())
