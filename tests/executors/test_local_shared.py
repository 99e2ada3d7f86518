"""Attempts that share a worker: on its loop or in its threads."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.executors.contract import Output

ASYNC = """
    import asyncio, os, time
    async def naps(seconds: float = 0.2):
        await asyncio.sleep(seconds)
        return "slept"
    async def blocks():
        open("blocking", "w").write("yes\\n")
        while True:
            pass
    async def blocks_in_c():
        open("blocking", "w").write("yes\\n")
        sum(range(10**13))
    async def ignores():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
    async def tidies():
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            print("tidied")
    async def dies():
        await asyncio.sleep(0.05)
        os._exit(4)
    async def is_cancelled_inside():
        task = asyncio.create_task(asyncio.sleep(10))
        task.cancel()
        await task
    async def quick(n: int = 0):
        return n
    async def counts():
        open("journal", "a").write("x\\n")
        await asyncio.sleep(0.5)
"""

THREADS = """
    import ctypes, os, threading, time
    from orchestrator import Context
    def waits(seconds: float = 0.2):
        time.sleep(seconds)
        return threading.current_thread().name
    def hangs():
        time.sleep(3600)
    def looks(context: Context):
        while not context.cancelled:
            time.sleep(0.01)
        open("saw", "w").write("yes\\n")
    def exits():
        time.sleep(0.1)
        os._exit(5)
    def segfaults():
        time.sleep(0.1)
        ctypes.string_at(0)
"""


def test_many_async_attempts_run_at_once(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        ended = await bed.ends_of(bed.submit("naps", count=100))
        assert {e.result for e in ended} == {"slept"}
        assert max(e.started_at for e in ended) < min(e.finished_at for e in ended)
        assert bed.executor.capacity(Isolation.ASYNC) == 100

    bed.play(story)


def test_an_async_timeout_cancels_and_nothing_else_notices(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        neighbour = bed.submit("naps", params={"seconds": 1.0})[0]
        ended = await bed.run("tidies", timeout=0.2)
        assert (ended.outcome, ended.reason) == (Outcome.TIMED_OUT, "timed out after 200ms")
        assert bed.text(ended.run_id) == "tidied\n"
        assert (await bed.end_of(neighbour)).outcome is Outcome.SUCCEEDED
        assert (await bed.run("quick")).worker_pid == ended.worker_pid

    bed.play(story)


def test_an_async_attempt_that_ignores_cancellation_costs_its_neighbours_nothing(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        neighbours = bed.submit("naps", count=3, params={"seconds": 60})
        ended = await bed.run("ignores", timeout=0.2, grace=0.2)
        assert ended.outcome is Outcome.TIMED_OUT
        assert "its worker was killed after the grace" in ended.reason
        for neighbour in await bed.ends_of(neighbours):
            assert neighbour.outcome is Outcome.RELEASED
            assert neighbour.started_at is not None
        assert (await bed.run("quick", params={"n": 1})).result == 1

    bed.play(story)


@pytest.mark.parametrize("call", ["blocks", "blocks_in_c"])
def test_a_blocked_loop_is_killed_for_the_one_that_blocks_it(bed: Any, call: str) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        neighbour = bed.submit("naps", params={"seconds": 30})[0]
        ended = await bed.run(call, timeout=0.5, grace=2)
        assert ended.outcome is Outcome.TIMED_OUT
        assert f"in {call}" in ended.error.traceback
        assert (await bed.end_of(neighbour)).outcome is Outcome.RELEASED

    bed.play(story)


def test_a_victim_of_a_blocked_loop_is_not_charged_for_its_own_timeout(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        victim = bed.submit("naps", params={"seconds": 0.6}, timeout=1.0, grace=0.3)[0]
        blocker = bed.submit("blocks", timeout=60)[0]
        ended = await bed.end_of(blocker)
        assert ended.outcome is Outcome.CRASHED
        assert "blocked the async worker's loop for" in ended.reason
        victim_end = await bed.end_of(victim)
        assert victim_end.outcome is Outcome.RELEASED
        assert "blocks blocked the async worker's loop" in victim_end.reason

    bed.play(story)


def test_orders_behind_a_blocked_loop_go_to_a_new_worker(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        blocker = bed.submit("blocks", timeout=60)[0]
        await bed.written("blocking")
        ended = await bed.ends_of(bed.submit("quick", count=5, params={"n": 2}))
        assert [e.result for e in ended] == [2] * 5
        assert [notice.fields["job"] for notice in bed.notices("worker.blocked")] == ["blocks"]
        assert blocker not in bed.ended

    bed.play(story)


def test_a_dying_async_worker_charges_who_killed_it(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        neighbours = bed.submit("naps", count=4, params={"seconds": 30})
        ended = await bed.run("dies")
        assert (ended.outcome, ended.reason) == (Outcome.CRASHED, "the worker exited with status 4")
        assert {e.outcome for e in await bed.ends_of(neighbours)} == {Outcome.RELEASED}

    bed.play(story)


def test_a_cancellation_from_within_is_a_failure(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        ended = await bed.run("is_cancelled_inside")
        assert (ended.outcome, ended.error.type) == (Outcome.FAILED, "asyncio.exceptions.CancelledError")

    bed.play(story)


def test_async_cancellation_right_after_the_order_still_ends_it(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        await bed.run("quick")
        runs = bed.submit("naps", count=50, params={"seconds": 30})
        for run in runs:
            bed.executor.cancel(run, 1, "changed my mind")
        for ended in await bed.ends_of(runs):
            assert (ended.outcome, ended.reason) == (Outcome.CANCELLED, "changed my mind")
        assert bed.executor.capacity(Isolation.ASYNC) == 100
        assert [e.outcome for e in await bed.ends_of(bed.submit("quick", count=100))] == [Outcome.SUCCEEDED] * 100

    bed.play(story)


def test_threads_run_at_once_up_to_the_limit(bed: Any) -> None:
    bed.plugin(THREADS)

    async def story() -> None:
        ended = await bed.ends_of(bed.submit("waits", count=16, isolation=Isolation.THREAD))
        assert {e.outcome for e in ended} == {Outcome.SUCCEEDED}
        assert len({e.worker_pid for e in ended}) == 1
        assert max(e.started_at for e in ended) < min(e.finished_at for e in ended)

    bed.play(story)


def test_a_thread_timeout_is_reported_at_once_and_its_worker_replaced(bed: Any) -> None:
    bed.plugin(THREADS)

    async def story() -> None:
        neighbours = bed.submit("waits", count=3, params={"seconds": 1.5}, isolation=Isolation.THREAD)
        ended = await bed.run("hangs", timeout=0.3, grace=60, isolation=Isolation.THREAD)
        assert ended.outcome is Outcome.TIMED_OUT
        assert ended.reason == "timed out after 300ms; its thread can't be stopped, so its worker is replaced"
        after = await bed.run("waits", params={"seconds": 0}, isolation=Isolation.THREAD)
        assert after.worker_pid != ended.worker_pid
        assert {e.outcome for e in await bed.ends_of(neighbours)} == {Outcome.SUCCEEDED}

    bed.play(story)


def test_the_worker_of_a_hanging_thread_is_killed_once_it_is_drained(bed: Any) -> None:
    bed.plugin(THREADS)

    async def story() -> None:
        ended = await bed.run("hangs", timeout=0.2, grace=0.2, isolation=Isolation.THREAD)
        await bed.until(lambda: not bed.alive(ended.worker_pid))

    bed.play(story)


def test_a_thread_that_looks_for_cancellation_ends_by_itself(bed: Any) -> None:
    bed.plugin(THREADS)

    async def story() -> None:
        ended = await bed.run("looks", timeout=0.2, grace=30, isolation=Isolation.THREAD)
        assert ended.outcome is Outcome.TIMED_OUT
        await bed.written("saw")
        run = bed.submit("looks", isolation=Isolation.THREAD)[0]
        await bed.until(lambda: any(w.flights for w in bed.executor._lanes[Isolation.THREAD].workers))
        bed.executor.cancel(run, 1, "enough")
        ended = await bed.end_of(run)
        assert (ended.outcome, ended.reason) == (Outcome.CANCELLED, "enough")

    bed.play(story)


def test_a_segfault_in_a_thread_is_charged_to_that_thread(bed: Any) -> None:
    bed.plugin(THREADS)

    async def story() -> None:
        neighbours = bed.submit("waits", count=3, params={"seconds": 30}, isolation=Isolation.THREAD)
        ended = await bed.run("segfaults", isolation=Isolation.THREAD)
        assert ended.outcome is Outcome.CRASHED
        assert {e.outcome for e in await bed.ends_of(neighbours)} == {Outcome.RELEASED}

    bed.play(story)


def test_nothing_more_is_heard_of_an_attempt_after_its_end(bed: Any) -> None:
    bed.plugin("""
        import time
        def chatters():
            while True:
                print("still here")
                time.sleep(0.01)
        def quick():
            pass
    """)

    async def story() -> None:
        ended = await bed.run("chatters", timeout=0.3, grace=0.3, isolation=Isolation.THREAD)
        await bed.until(lambda: not bed.alive(ended.worker_pid))
        said = [r for r in bed.reports if r is ended or (isinstance(r, Output) and r.run_id == ended.run_id)]
        assert said[-1] is ended

    bed.play(story)


def test_when_nobody_knows_who_killed_a_shared_worker_only_frequent_victims_are_charged(bed: Any) -> None:
    bed.plugin(ASYNC)

    async def story() -> None:
        pid = (await bed.run("quick")).worker_pid
        fresh = bed.submit("naps", count=2, params={"seconds": 30})
        frequent = bed.submit("naps", params={"seconds": 30}, attempt=4, number=1)
        worker = bed.executor._lanes[Isolation.ASYNC].workers[0]
        await bed.until(lambda: all(worker.started(flight) for flight in worker.flights.values()))
        os.kill(pid, signal.SIGKILL)
        assert {e.outcome for e in await bed.ends_of(fresh)} == {Outcome.RELEASED}
        assert (await bed.end_of(frequent[0])).outcome is Outcome.CRASHED

    bed.play(story)


def test_a_thread_that_exits_the_process_is_charged_alone(bed: Any) -> None:
    bed.plugin(THREADS)

    async def story() -> None:
        neighbours = bed.submit("waits", count=3, params={"seconds": 30}, isolation=Isolation.THREAD)
        ended = await bed.run("exits", isolation=Isolation.THREAD)
        assert (ended.outcome, ended.reason) == (Outcome.CRASHED, "the worker exited with status 5")
        assert {e.outcome for e in await bed.ends_of(neighbours)} == {Outcome.RELEASED}

    bed.play(story)
