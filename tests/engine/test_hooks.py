"""Hooks: what a job wants done about its runs happens once, whoever saw them end; and nothing goes round in circles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from orchestrator.core.hooks import Hook, HookKind, Notifier, Sla
from orchestrator.core.plan import Job
from orchestrator.core.policies import Backoff, Jitter, Retry
from orchestrator.core.runs import Cause, ErrorInfo, Outcome
from orchestrator.engine.newruns import new_run
from orchestrator.executors.contract import Order
from orchestrator.store import lateness, requests
from orchestrator.store.creation import create_runs
from orchestrator.store.pauses import pause_queue, resume_queue

MakeJob = Callable[..., Job]
BOOM = ErrorInfo(type="ValueError", message="boom", names=("builtins.ValueError", "builtins.Exception"))
TWICE = Retry(max_attempts=2, backoff=Backoff.CONSTANT, delay=timedelta(seconds=10), jitter=Jitter.NONE)
ONCE = Retry(max_attempts=1)
ALL = {kind: (Hook(job="hook", params={"tone": kind.value}),) for kind in HookKind}


def enqueue(bench: Any, job: Job, count: int = 1) -> list[int]:
    new = [new_run(job, Cause.MANUAL, bench.clock.now()) for _ in range(count)]
    made = [one.id for one in bench.view.write(create_runs, new)]
    if bench.engine is not None:
        bench.engine._dispatcher.wake()
    return made


def told(bench: Any, job: str = "hook") -> list[dict[str, Any]]:
    """What its runs were told, oldest first."""
    return [run.params["event"] for run in bench.runs(job)]


def kinds(bench: Any) -> list[str]:
    return [event["kind"] for event in told(bench)]


def failing(*names: str) -> Callable[[Order], Outcome | ErrorInfo]:
    return lambda order: BOOM if order.job in names else Outcome.SUCCEEDED


def test_each_end_fires_its_hooks_and_tells_them_what_happened(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=ALL, retry=TWICE), make_job("hook", params={"tone": "none", "own": 1})
        bench.executor.behave = failing("tick")
        (run_id,) = enqueue(bench, job)
        async with bench.running(job, hook):
            await bench.until(lambda: kinds(bench) == ["retry"])
            await bench.pass_time(timedelta(seconds=12))
            await bench.until(lambda: kinds(bench) == ["retry", "failure", "dead"])
            bench.executor.behave = failing()
            enqueue(bench, job)
            await bench.until(lambda: len(kinds(bench)) == 5)
        assert kinds(bench)[3:] == ["success", "recovery"]
        assert [run.params["tone"] for run in bench.runs("hook")] == kinds(bench)
        assert {run.params["own"] for run in bench.runs("hook")} == {1}
        assert {run.cause for run in bench.runs("hook")} == {Cause.HOOK}
        dead = told(bench)[2]
        assert {key: dead[key] for key in ("job", "run_id", "attempt", "state", "reason", "error_type")} == {
            "job": "tick",
            "run_id": run_id,
            "attempt": 2,
            "state": "failed",
            "reason": "ValueError: boom (attempt 2 of 2)",
            "error_type": "ValueError",
        }
        assert dead["error_message"] == "boom"
        assert dead["finished_at"] is not None

    asyncio.run(body())


def test_a_run_that_gave_up_failed_but_did_not_use_up_its_attempts(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=ALL, retry=Retry(max_attempts=3, give_up_on=("ValueError",))), make_job("hook")
        bench.executor.behave = failing("tick")
        enqueue(bench, job)
        async with bench.running(job, hook):
            await bench.until(lambda: kinds(bench))
        assert kinds(bench) == ["failure"]

    asyncio.run(body())


def test_hooks_of_hook_runs_are_not_fired(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        ping = make_job("ping", retry=ONCE, hooks={HookKind.FAILURE: (Hook(job="pong"),)})
        pong = make_job("pong", retry=ONCE, hooks={HookKind.FAILURE: (Hook(job="ping"), Hook(job="pong"))})
        bench.executor.behave = failing("ping", "pong")
        enqueue(bench, ping)
        async with bench.running(ping, pong):
            await bench.until(lambda: len(bench.runs()) == 2 and set(bench.states()) == {"failed"})
            await bench.at_rest()
        assert [run.job for run in bench.runs()] == ["ping", "pong"]

    asyncio.run(body())


def test_a_cancelled_run_and_one_that_is_released_fire_nothing(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=ALL, retry=TWICE), make_job("hook")
        bench.executor.behave = lambda _: None
        first, second = enqueue(bench, job, 2)
        async with bench.running(job, hook) as engine:
            await bench.until(lambda: len(bench.executor.held) == 2)
            bench.view.write(requests.cancel, first, bench.clock.now())
            engine._dispatcher.wake(listen=True)
            await bench.until(lambda: bench.states()[0] == "cancelled")
            bench.executor.end(second, Outcome.RELEASED)
            await bench.until(lambda: second in bench.executor.held)
        assert told(bench) == []

    asyncio.run(body())


def test_a_run_that_never_started_before_its_deadline_has_failed_too(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=ALL, deadline=timedelta(seconds=5)), make_job("hook")
        (run_id,) = enqueue(bench, job)
        bench.view.write(requests.pause, "tick", bench.clock.now())
        async with bench.running(job, hook):
            await bench.pass_time(timedelta(seconds=8))
            await bench.until(lambda: kinds(bench))
        (event,) = told(bench)
        assert (event["kind"], event["run_id"], event["started_at"]) == ("failure", run_id, None)
        assert "deadline" in event["reason"]

    asyncio.run(body())


def test_recovery_comes_once_after_any_number_of_failures(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        recovery = {HookKind.RECOVERY: (Hook(job="hook"),)}
        job, hook = make_job(hooks=recovery, retry=ONCE), make_job("hook")
        async with bench.running(job, hook):
            for outcome in (Outcome.SUCCEEDED, BOOM, BOOM, Outcome.SUCCEEDED, Outcome.SUCCEEDED, BOOM):
                bench.executor.behave = lambda order, end=outcome: end if order.job == "tick" else Outcome.SUCCEEDED
                (run_id,) = enqueue(bench, job)
                await bench.until(
                    lambda wanted=run_id: {run.id: run.state.finished for run in bench.runs("tick")}[wanted]
                )
        assert kinds(bench) == ["recovery"]

    asyncio.run(body())


def test_two_engines_recover_a_job_once(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        recovery = {HookKind.RECOVERY: (Hook(job="hook"),)}
        job, hook = make_job(hooks=recovery, retry=ONCE), make_job("hook")
        bench.executor.behave = failing("tick")
        bench.executor.room = 3
        enqueue(bench, job)
        async with bench.running(job, hook):
            await bench.until(lambda: bench.states("tick") == ["failed"])
            bench.executor.behave = failing()
            async with bench.running(job, hook):
                enqueue(bench, job, 20)
                await bench.until(lambda: bench.states("tick").count("succeeded") == 20)
        assert kinds(bench) == ["recovery"]

    asyncio.run(body())


NOTIFY = {HookKind.FAILURE: (Hook(notify="ops"),)}


def messages(bench: Any) -> list[dict[str, Any]]:
    """What the deliveries were to send, in order; of each run the last attempt."""
    return [order.params for order in bench.executor.orders if order.job == "notify/ops"]


def test_a_thousand_failures_are_ten_messages(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(hooks=NOTIFY, retry=ONCE)
        bench.executor.behave = failing("tick")
        ids = enqueue(bench, job, 1000)
        async with bench.running(job, notifiers=(Notifier(name="ops", wait=timedelta(hours=1)),)):
            await bench.until(lambda: bench.states("tick") == ["failed"] * 1000)
            await bench.pass_time(timedelta(minutes=70), timedelta(minutes=5))
            await bench.until(lambda: sum(message["count"] for message in messages(bench)) == 1000)
        assert len(messages(bench)) <= 11
        assert max(len(message["events"]) for message in messages(bench)) <= 100
        assert sorted(event["run_id"] for message in messages(bench) for event in message["events"]) == sorted(ids)

    asyncio.run(body())


def test_a_few_failures_wait_for_each_other_and_no_longer(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(hooks=NOTIFY, retry=ONCE)
        bench.executor.behave = failing("tick")
        async with bench.running(job, notifiers=(Notifier(name="ops", wait=timedelta(seconds=30)),)):
            for _ in range(3):
                enqueue(bench, job)
                await bench.pass_time(timedelta(seconds=5))
            assert messages(bench) == []
            await bench.pass_time(timedelta(seconds=20))
            await bench.until(lambda: messages(bench))
        (message,) = messages(bench)
        assert message["count"] == len(message["events"]) == 3
        assert message["event"] == message["events"][0]

    asyncio.run(body())


def test_a_message_that_fails_is_tried_again_with_what_it_told(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job = make_job(hooks=NOTIFY, retry=ONCE)
        bench.executor.behave = failing("tick", "notify/ops")
        ids = enqueue(bench, job, 2)
        async with bench.running(job, notifiers=(Notifier(name="ops", wait=timedelta(0)),)):
            await bench.until(lambda: messages(bench))
            enqueue(bench, job)
            bench.executor.behave = failing("tick")
            await bench.pass_time(timedelta(seconds=30))
            await bench.until(lambda: len(messages(bench)) >= 3)
        first, *others = messages(bench)
        again = next(message for message in others if message["events"] == first["events"])
        assert [event["run_id"] for event in again["events"]] == ids[: again["count"]]
        assert {run.attempt for run in bench.runs("notify/ops")} <= {1, 2}

    asyncio.run(body())


def test_a_throttled_message_sums_up_what_happened_since(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        loud, other = make_job("loud", hooks=NOTIFY, retry=ONCE), make_job("other", hooks=NOTIFY, retry=ONCE)
        bench.executor.behave = failing("loud", "other")
        ops = Notifier(name="ops", wait=timedelta(0), size=2, throttle=timedelta(minutes=5))
        async with bench.running(loud, other, notifiers=(ops,)):
            enqueue(bench, loud)
            await bench.until(lambda: len(messages(bench)) == 1)
            for _ in range(5):
                enqueue(bench, loud)
                await bench.pass_time(timedelta(seconds=10), timedelta(seconds=5))
            assert len(messages(bench)) == 1
            enqueue(bench, other)
            await bench.pass_time(timedelta(seconds=5))
            await bench.until(lambda: len(messages(bench)) == 2)
            await bench.pass_time(timedelta(minutes=6), timedelta(seconds=20))
            await bench.until(lambda: len(messages(bench)) == 3)
        assert [(message["event"]["job"], message["count"]) for message in messages(bench)] == [
            *(("loud", 1), ("other", 1), ("loud", 5)),
        ]
        assert len(messages(bench)[-1]["events"]) == 2

    asyncio.run(body())


LATE = {HookKind.LATE: (Hook(job="hook"),), HookKind.RECOVERY: (Hook(job="hook"),)}


def late(bench: Any) -> list[tuple[str, str]]:
    return [(one.job, one.kind.value) for one in bench.view.read(lateness.open_alerts)]


def test_a_run_that_starts_too_late_is_told_of_once(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=LATE, sla=Sla(start_within=timedelta(minutes=1))), make_job("hook")
        bench.executor.room = 1
        bench.executor.behave = lambda order: None if order.job == "block" else Outcome.SUCCEEDED
        block = make_job("block")
        async with bench.running(job, hook, block) as engine:
            (blocking,) = enqueue(bench, block)
            await bench.until(lambda: blocking in bench.executor.held)
            (run_id,) = enqueue(bench, job)
            for _ in range(9):
                await engine._watch.look()
                bench.clock.advance(timedelta(seconds=10))
            assert late(bench) == [("tick", "start")]
            assert [(event["kind"], event["run_id"]) for event in told(bench)] == [("late", run_id)]
            assert "has not started within 1m" in told(bench)[0]["reason"]
            bench.executor.end(blocking, Outcome.SUCCEEDED)
            await bench.until(lambda: kinds(bench) == ["late", "recovery"])
            assert late(bench) == []

    asyncio.run(body())


def test_two_engines_tell_of_a_late_job_once(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=LATE, sla=Sla(success_every=timedelta(hours=1))), make_job("hook")
        async with bench.running(job, hook) as first, bench.running(job, hook) as second:
            for engine in (first, second):
                await engine._watch.look()
            bench.clock.advance(timedelta(minutes=59))
            await asyncio.gather(first._watch.look(), second._watch.look())
            assert told(bench) == []
            bench.clock.advance(timedelta(minutes=2))
            await asyncio.gather(first._watch.look(), second._watch.look())
            await asyncio.gather(first._watch.look(), second._watch.look())
            assert kinds(bench) == ["late"]
            assert late(bench) == [("tick", "success")]
            enqueue(bench, job)
            await bench.until(lambda: kinds(bench) == ["late", "recovery"])
            assert late(bench) == []

    asyncio.run(body())


def test_a_run_that_takes_too_long_is_late_with_all_its_attempts(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        retry = Retry(max_attempts=5, backoff=Backoff.CONSTANT, delay=timedelta(seconds=50), jitter=Jitter.NONE)
        job, hook = make_job(hooks=LATE, retry=retry, sla=Sla(finish_within=timedelta(minutes=2))), make_job("hook")
        bench.executor.behave = failing("tick")
        (run_id,) = enqueue(bench, job)
        async with bench.running(job, hook):
            await bench.pass_time(timedelta(seconds=110), timedelta(seconds=5))
            assert told(bench) == []
            await bench.pass_time(timedelta(seconds=30), timedelta(seconds=5))
            await bench.until(lambda: told(bench))
            await bench.pass_time(timedelta(seconds=30), timedelta(seconds=5))
        assert [(event["kind"], event["run_id"]) for event in told(bench)] == [("late", run_id)]

    asyncio.run(body())


def test_what_waits_in_a_paused_queue_is_not_late_to_start(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        job, hook = make_job(hooks=LATE, queue="mail", sla=Sla(start_within=timedelta(minutes=1))), make_job("hook")
        bench.view.write(pause_queue, "mail", bench.clock.now())
        enqueue(bench, job)
        async with bench.running(job, hook) as engine:
            bench.clock.advance(timedelta(minutes=20))
            await engine._watch.look()
            assert told(bench) == []
            bench.executor.behave = lambda order: None  # it goes on
            bench.view.write(resume_queue, "mail")
            engine._dispatcher.wake()
            await bench.until(lambda: bench.executor.held)
            await engine._watch.look()
            assert kinds(bench) == ["late"]

    asyncio.run(body())


def test_a_paused_job_is_not_late_and_counts_anew_when_it_goes_on(bench: Any, make_job: MakeJob) -> None:
    async def body() -> None:
        sla = Sla(success_every=timedelta(hours=1), start_within=timedelta(minutes=1))
        job, hook = make_job(hooks=LATE, sla=sla), make_job("hook")
        bench.view.write(requests.pause, "tick", bench.clock.now())
        enqueue(bench, job)
        async with bench.running(job, hook) as engine:
            for _ in range(8):
                await engine._watch.look()
                bench.clock.advance(timedelta(minutes=20))
            assert told(bench) == []
            bench.executor.behave = failing("tick")
            bench.view.write(requests.resume, "tick", bench.clock.now())
            await engine._watch.look()
            assert [alert for alert in late(bench) if alert[1] == "success"] == []
            bench.clock.advance(timedelta(minutes=61))
            await engine._watch.look()
            assert ("tick", "success") in late(bench)

    asyncio.run(body())
