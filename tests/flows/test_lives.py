"""Workflows among other runs: overlap, concurrency, replacement, retention, dead letters, reloads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from orchestrator.core.errors import ConflictError
from orchestrator.core.flows import OnFailure, Step, StepKind
from orchestrator.core.hooks import Hook, HookKind
from orchestrator.core.plan import Job, Queue, Retention
from orchestrator.core.policies import Overlap, RateLimit, Retry
from orchestrator.core.runs import Cause, Outcome, RunState
from orchestrator.engine import verdict
from orchestrator.engine.newruns import new_run
from orchestrator.executors.contract import Order
from orchestrator.store import creation, dead, expiry, flow_views, requests
from orchestrator.store.flow_answers import answer
from tests.engine.conftest import Bench, bench, make_job

__all__ = ["bench", "make_job"]
pytestmark = pytest.mark.anyio


def flow_of(name: str, *steps: Step, **fields: Any) -> list[Job]:
    """A workflow and its hidden jobs."""
    policies: dict[str, Any] = {"retry": Retry(max_attempts=1)}
    placed = [msgspec.structs.replace(step, job=f"{name}/{step.name}") for step in steps]
    hidden = [
        Job(name=step.job, call="" if step.kind is StepKind.APPROVE else "test.go", flow=name, step=step, **policies)
        for step in placed
    ]
    return [Job(name=name, call="", steps=tuple(placed), **fields), *hidden]


def step(name: str, *needs: str, **fields: Any) -> Step:
    return Step(name=name, job="", needs=needs, **fields)


def ask(bench: Bench, job: Job) -> int:
    """Somebody asks for a run."""
    created = bench.view.write(creation.create_runs, [new_run(job, Cause.MANUAL, bench.clock.now())])
    assert created[0].id is not None
    if bench.engine is not None:
        bench.engine._dispatcher.wake()
    return created[0].id


def cancel(bench: Bench, run_id: int) -> None:
    bench.view.write(requests.cancel, run_id, bench.clock.now())
    assert bench.engine is not None
    bench.engine._dispatcher.wake(listen=True)


def nothing_ends(_: Order) -> None:
    return None


async def test_concurrency_counts_workflows_under_way(bench: Bench) -> None:
    jobs = flow_of("flow", step("a"), step("b", "a"), concurrency=2)
    bench.executor.behave = nothing_ends
    async with bench.running(*jobs):
        first, second, third = (ask(bench, jobs[0]) for _ in range(3))
        await bench.until(lambda: len(bench.executor.held) == 2)
        assert [run.state.value for run in bench.runs("flow")] == ["waiting", "waiting", "queued"]
        for run in list(bench.executor.held):
            bench.executor.end(run, Outcome.SUCCEEDED)
        await bench.until(lambda: {run.job for run in bench.runs() if run.state is RunState.RUNNING} == {"flow/b"})
        assert bench.states("flow") == ["waiting", "waiting", "queued"]
        bench.executor.behave = lambda _: Outcome.SUCCEEDED
        for run in list(bench.executor.held):
            bench.executor.end(run, Outcome.SUCCEEDED)
        await bench.until(lambda: bench.states("flow") == ["succeeded"] * 3)
    assert [run.id for run in bench.runs("flow")] == [first, second, third]


async def test_a_fire_that_meets_a_workflow_under_way_is_skipped_or_replaces_it(bench: Bench, make_job: Any) -> None:
    trigger = make_job(cron="* * * * *").triggers
    skipping = flow_of("skipping", step("a"), triggers=trigger)
    replacing = flow_of("replacing", step("a"), step("end", is_final=True), triggers=trigger, overlap=Overlap.REPLACE)
    bench.executor.behave = lambda order: None if order.job.endswith("/a") else Outcome.SUCCEEDED
    async with bench.running(*skipping, *replacing):
        await bench.pass_time(timedelta(minutes=1))
        await bench.until(lambda: len(bench.executor.held) == 2)
        await bench.pass_time(timedelta(minutes=1))
        await bench.until(lambda: bench.states("replacing") == ["cancelled", "waiting"])
        assert bench.states("skipping") == ["waiting", "skipped"]
        assert bench.states("replacing/end") == ["succeeded"]
    replaced = bench.runs("replacing")[0]
    assert replaced.reason == creation.REPLACED_REASON


async def test_followers_of_a_workflow_run_when_it_has_ended(bench: Bench, make_job: Any) -> None:
    from orchestrator.core.triggers import AfterTrigger, On

    jobs = flow_of("flow", step("ask", kind=StepKind.APPROVE))
    after = make_job("after", after=(AfterTrigger(job="flow", on=On.SUCCESS),))
    other = make_job("other", after=(AfterTrigger(job="flow", on=On.FAILURE),))
    async with bench.running(*jobs, after, other):
        flow = ask(bench, jobs[0])
        await bench.until(lambda: bench.states("flow/ask") == ["waiting"])
        # Whoever answers has no plan at hand, and still the follower is created in the same transaction.
        bench.view.write(answer, flow, "ask", bench.clock.now(), approved=True, by="me")
        (follower,) = bench.runs("after")
        assert (follower.parent_id, bench.states("flow"), bench.runs("other")) == (flow, ["succeeded"], [])


async def test_hooks_of_a_workflow_are_fired_by_its_end(bench: Bench, make_job: Any) -> None:
    hooks = {HookKind.FAILURE: (Hook(job="mourn"),), HookKind.RECOVERY: (Hook(job="rejoice"),)}
    jobs = flow_of("flow", step("a"), hooks=hooks)
    bench.executor.behave = lambda order: Outcome.FAILED if order.job == "flow/a" else Outcome.SUCCEEDED
    async with bench.running(*jobs, make_job("mourn"), make_job("rejoice")):
        ask(bench, jobs[0])
        await bench.until(lambda: bench.states("mourn") == ["succeeded"])
        event = (bench.runs("mourn")[0].params or {})["event"]
        assert (event["job"], event["state"], event["reason"]) == (
            "flow",
            "failed",
            "step `a` failed: failed (attempt 1 of 1)",
        )
        bench.executor.behave = lambda _: Outcome.SUCCEEDED
        ask(bench, jobs[0])
        await bench.until(lambda: bench.states("rejoice") == ["succeeded"])
    assert len(bench.runs("mourn")) == 1


async def test_a_change_of_the_plan_does_not_disturb_a_workflow_under_way(bench: Bench) -> None:
    jobs = flow_of("flow", step("a"), step("b", "a"))
    bench.executor.behave = lambda order: None if order.job == "flow/a" else Outcome.SUCCEEDED
    async with bench.running(*jobs) as engine:
        flow = ask(bench, jobs[0])
        await bench.until(lambda: bench.executor.held)
        changed = flow_of("flow", step("a"), step("c", "a"), step("b"))
        await engine.apply(msgspec.structs.replace(engine._plan, jobs={job.name: job for job in changed}))
        bench.executor.end(next(iter(bench.executor.held)), Outcome.SUCCEEDED)
        await bench.until(lambda: bench.states("flow") == ["succeeded"])
    assert [one.name for one in bench.view.read(flow_views.list_steps, flow)] == ["a", "b"]


async def test_steps_that_are_gone_from_the_plan_are_known_to_the_engine_until_it_ends(bench: Bench) -> None:
    jobs = flow_of("flow", step("a"), step("b", "a"), step("c", "b"))
    bench.executor.behave = nothing_ends

    def is_running(job: str) -> bool:
        return job in [order.job for order in bench.executor.held.values()]

    def end_one() -> None:
        bench.executor.end(next(iter(bench.executor.held)), Outcome.SUCCEEDED)

    async with bench.running(*jobs) as engine:
        flow = ask(bench, jobs[0])
        await bench.until(lambda: is_running("flow/a"))
        changed = {job.name: job for job in flow_of("flow", step("a"))}
        await engine.apply(msgspec.structs.replace(engine._plan, jobs=changed))
        await engine.apply(msgspec.structs.replace(engine._plan, jobs={}))
        end_one()
        await bench.until(lambda: is_running("flow/b"))
        end_one()
        await bench.until(lambda: is_running("flow/c"))
    async with bench.running(*changed.values()):
        await bench.until(lambda: bench.states("flow") == ["failed"])
    (failed,) = [one for one in bench.view.read(flow_views.list_steps, flow) if one.name == "c"]
    assert failed.reason == "step `c` of `flow` is no longer declared in /nowhere/jobs.yaml"
    assert bench.states("flow/b") == ["succeeded"]


async def test_what_no_worker_executes_uses_up_no_rate(bench: Bench) -> None:
    nap = timedelta(milliseconds=100)
    sleeps = [step(f"s{n}", kind=StepKind.SLEEP, pause=nap) for n in range(3)]
    jobs = flow_of("flow", *sleeps, step("call", "s0", "s1", "s2"), queue="slow")
    jobs = [msgspec.structs.replace(job, queue="slow") for job in jobs]
    slow = Queue(name="slow", rate_limit=RateLimit(count=1, period=timedelta(hours=1)))
    async with bench.running(*jobs, queues=(slow,)):
        ask(bench, jobs[0])
        await bench.until(lambda: bench.states("flow/s2") == ["scheduled"])
        await bench.pass_time(nap, nap)
        await bench.until(lambda: bench.states("flow") == ["succeeded"])
        # The one that a worker executed did.
        ask(bench, jobs[0])
        await bench.at_rest()
        assert bench.states("flow") == ["succeeded", "queued"]


async def test_a_workflow_is_forgotten_with_all_that_is_its_own(bench: Bench) -> None:
    keep = Retention(age=timedelta(days=1), failed_age=timedelta(days=1))
    inner = flow_of("inner", step("x"), retention=keep)
    outer = flow_of("outer", step("sub", kind=StepKind.JOB, sub_job="inner"), step("y"), retention=keep)
    async with bench.running(*inner, *outer) as engine:
        ask(bench, outer[0])
        await bench.until(lambda: bench.states("outer") == ["succeeded"])
        assert len(bench.runs()) == 4
        bench.clock.advance(timedelta(days=2))
        engine._pruner._rest_until = 0.0
        await bench.pass_time(timedelta(seconds=10))
        await bench.until(lambda: not bench.runs())
    assert bench.view.read(flow_views.list_steps, 1) == []


async def test_a_failed_step_is_no_dead_letter_of_its_own(bench: Bench) -> None:
    jobs = flow_of("flow", step("a", on_failure=OnFailure.SKIP_DEPENDENTS), step("b"))
    bench.executor.behave = lambda order: Outcome.FAILED if order.job == "flow/a" else Outcome.SUCCEEDED
    async with bench.running(*jobs):
        flow = ask(bench, jobs[0])
        await bench.until(lambda: bench.states("flow") == ["failed"])
        assert bench.view.read(dead.find_dead) == [flow]
        (failed,) = bench.runs("flow/a")
        its_place = f"no dead letter, but the step `a` of run {flow}"
        with pytest.raises(ConflictError, match=its_place):
            bench.view.write(dead.drop_dead, [failed.id])
        with pytest.raises(ConflictError, match=its_place):
            bench.view.write(dead.retry_dead, [failed.id], bench.clock.now())
        assert bench.states("flow/a") == ["failed"]
        bench.executor.behave = lambda _: Outcome.SUCCEEDED
        bench.view.write(dead.retry_dead, [flow], bench.clock.now())
        assert bench.engine is not None
        bench.engine._dispatcher.wake()
        await bench.until(lambda: bench.states("flow") == ["succeeded"])
    assert (len(bench.runs("flow/a")), len(bench.runs("flow/b"))) == (1, 1)


async def test_a_second_cancel_ends_the_finally_steps_too(bench: Bench) -> None:
    jobs = flow_of("flow", step("a"), step("z", is_final=True))
    bench.executor.behave = nothing_ends
    async with bench.running(*jobs):
        flow = ask(bench, jobs[0])
        await bench.until(lambda: "flow/a" in [order.job for order in bench.executor.held.values()])
        cancel(bench, flow)
        await bench.until(lambda: "flow/z" in [order.job for order in bench.executor.held.values()])
        assert bench.states("flow/a") == ["cancelled"]
        cancel(bench, flow)
        await bench.until(lambda: bench.states("flow") == ["cancelled"])
    assert bench.states("flow/z") == ["cancelled"]


async def test_workflows_as_items_take_their_turns_whichever_ends_first(bench: Bench) -> None:
    """One under way waits for its own steps, and not for its turn."""
    inner = flow_of("inner", step("x"))
    each = step("each", kind=StepKind.JOB, sub_job="inner", foreach=[1, 2, 3, 4, 5], max_parallel=2)
    outer = flow_of("outer", each)
    bench.executor.behave = nothing_ends
    async with bench.running(*inner, *outer):
        ask(bench, outer[0])
        for ended in range(4):
            await bench.until(lambda: len(bench.executor.held) == 2)
            # The second item is slow to the end: all the others pass it.
            slow, quick = sorted(bench.executor.held)
            bench.executor.end(quick, Outcome.SUCCEEDED)
            await bench.until(lambda count=ended + 1: bench.states("inner").count("succeeded") == count)
        bench.executor.end(slow, Outcome.SUCCEEDED)
        await bench.until(lambda: bench.states("outer") == ["succeeded"])
    assert bench.states("inner") == bench.states("inner/x") == ["succeeded"] * 5


async def test_an_item_has_its_time_from_its_turn_on(bench: Bench, make_job: Any) -> None:
    """Not from when it lined up behind the others."""
    limits = {"deadline": timedelta(seconds=20), "expires_in": timedelta(seconds=3)}
    outer = flow_of("outer", step("each", kind=StepKind.JOB, sub_job="sub", foreach=[1, 2, 3], max_parallel=1))
    bench.executor.behave = nothing_ends
    async with bench.running(make_job("sub", **limits), *outer):
        ask(bench, outer[0])
        for position in range(3):
            await bench.until(lambda: bench.executor.held)
            turn = bench.runs("sub")[position]
            assert (turn.due_at, turn.deadline_at) == (bench.clock.now(), bench.clock.now() + limits["deadline"])
            await bench.pass_time(timedelta(seconds=10))
            bench.executor.end(turn.id, Outcome.SUCCEEDED)
            await bench.until(lambda ended=position + 1: bench.states("sub").count("succeeded") == ended)
        await bench.until(lambda: bench.states("outer") == ["succeeded"])


async def test_an_item_takes_its_place_in_the_queue_when_its_turn_comes(bench: Bench, make_job: Any) -> None:
    outer = flow_of("outer", step("each", kind=StepKind.JOB, sub_job="sub", foreach=[1, 2], max_parallel=1))
    bench.executor.behave = nothing_ends
    async with bench.running(make_job("sub"), make_job("other"), *outer):
        ask(bench, outer[0])
        await bench.until(lambda: bench.executor.held)
        (first,) = bench.executor.held
        bench.executor.room = 1
        bench.clock.advance(timedelta(minutes=1))
        before = ask(bench, make_job("other"))
        bench.clock.advance(timedelta(minutes=1))
        bench.executor.end(first, Outcome.SUCCEEDED)
        await bench.until(lambda: bench.executor.held)
        assert list(bench.executor.held) == [before]
        bench.executor.end(before, Outcome.SUCCEEDED)
        await bench.until(lambda: bench.executor.held)
        bench.executor.end(next(iter(bench.executor.held)), Outcome.SUCCEEDED)
        await bench.until(lambda: bench.states("outer") == ["succeeded"])


async def test_a_retried_workflow_has_its_times_again_and_so_has_each_step(bench: Bench, make_job: Any) -> None:
    waiting = step("wait", kind=StepKind.WAIT_FOR, pause=timedelta(seconds=5), on_failure=OnFailure.SKIP_DEPENDENTS)
    sub = step("sub", kind=StepKind.JOB, sub_job="other", on_failure=OnFailure.SKIP_DEPENDENTS)
    flow, *hidden = flow_of("flow", waiting, sub, deadline=timedelta(minutes=9))
    hidden = [msgspec.structs.replace(job, deadline=timedelta(seconds=30)) for job in hidden]
    bench.executor.behave = nothing_ends
    async with bench.running(flow, *hidden, make_job("other", deadline=timedelta(seconds=40))):
        flow_id = ask(bench, flow)
        for _ in range(2):
            await bench.until(lambda: len(bench.executor.held) == 2)
            for run_id in list(bench.executor.held):
                bench.executor.end(run_id, Outcome.FAILED, give_up=True)
            await bench.until(lambda: bench.states("flow") == ["failed"])
            await bench.pass_time(timedelta(seconds=60))
            bench.view.write(requests.retry, flow_id, bench.clock.now())
            assert bench.engine is not None
            bench.engine._dispatcher.wake()
            left = {run.job: run.deadline_at - bench.clock.now() for run in bench.runs() if run.deadline_at}
            assert left == {
                "flow": timedelta(minutes=9),
                "flow/wait": timedelta(seconds=30),
                "other": timedelta(seconds=30),
            }


@pytest.mark.parametrize("many", [{}, {"foreach": [1, 2], "max_parallel": 1}], ids=["one", "many"])
async def test_a_step_whose_job_expires_has_failed(bench: Bench, make_job: Any, many: dict[str, Any]) -> None:
    sub = step("sub", kind=StepKind.JOB, sub_job="late", **many)
    flow = flow_of("flow", sub, step("next", "sub"))
    async with bench.running(*flow, make_job("late", expires_in=timedelta(seconds=3))) as engine:
        bench.view.write(requests.pause, "late", bench.clock.now())
        flow_id = ask(bench, flow[0])
        await bench.until(lambda: "queued" in bench.states("late"))
        await bench.pass_time(timedelta(seconds=10))
        await bench.until(lambda: bench.states("flow") == ["failed"])
        assert set(bench.states("late")) == {"skipped"}
        assert str(bench.runs("flow")[0].reason).endswith(expiry.EXPIRED_REASON)
        found = {one.name: one.state.value for one in bench.view.read(flow_views.list_steps, flow_id)}
        assert found == {"sub": "failed", "next": "skipped"}
        bench.view.write(requests.resume, "late", bench.clock.now())
        bench.view.write(requests.retry, flow_id, bench.clock.now())
        engine._dispatcher.wake(listen=True)
        await bench.until(lambda: bench.states("flow") == ["succeeded"])


def waits_for(timeout: timedelta) -> list[Job]:
    flow, *hidden = flow_of("flow", step("wait", kind=StepKind.WAIT_FOR, pause=timedelta(seconds=5)))
    return [flow, *(msgspec.structs.replace(job, deadline=timeout) for job in hidden)]


@pytest.mark.parametrize("comes_true", [True, False])
async def test_what_waits_looks_once_more_before_its_time_is_over(bench: Bench, comes_true: bool) -> None:
    jobs = waits_for(timedelta(seconds=12))
    bench.executor.behave = nothing_ends
    async with bench.running(*jobs):
        ask(bench, jobs[0])
        begin = bench.clock.now()
        looks = []
        while len(looks) < 4:
            await bench.until(lambda: bench.executor.held)
            looks.append((bench.clock.now() - begin).total_seconds())
            (run_id,) = bench.executor.held
            bench.executor.end(run_id, Outcome.SUCCEEDED, result=comes_true and len(looks) == 4)
            if len(looks) < 4:
                await bench.until(lambda: bench.states("flow/wait") == ["scheduled"])
                await bench.at_rest()
                while not bench.executor.held:
                    await bench.pass_time(timedelta(milliseconds=500), timedelta(milliseconds=500))
        await bench.until(lambda: bench.states("flow") == ["succeeded" if comes_true else "failed"])
    assert looks == [0, 5, 10, 11]
    assert bench.runs("flow/wait")[0].reason == (None if comes_true else verdict.LOOKED_REASON)


async def test_a_last_look_that_takes_too_long_fails_as_one_in_vain(bench: Bench) -> None:
    jobs = waits_for(timedelta(seconds=2))
    bench.executor.behave = nothing_ends
    async with bench.running(*jobs):
        ask(bench, jobs[0])
        await bench.until(lambda: bench.executor.held)
        bench.clock.advance(timedelta(seconds=2))
        bench.executor.cancel(next(iter(bench.executor.held)), 1, "its deadline passed")
        await bench.until(lambda: bench.states("flow") == ["failed"])
    assert bench.runs("flow/wait")[0].reason == verdict.LOOKED_REASON
