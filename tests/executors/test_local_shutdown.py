"""Stopping, and going on with another plan."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import timedelta
from typing import Any

from orchestrator.core.plan import Resource, Workers
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.executors import lane

SOURCE = """
    import asyncio, os, time
    def naps(seconds: float):
        open("napping", "a").write("yes\\n")
        time.sleep(seconds)
        return "rested"
    def stubborn():
        open("napping", "a").write("yes\\n")
        sum(range(10**13))
    async def anaps(seconds: float):
        open("napping", "a").write("yes\\n")
        await asyncio.sleep(seconds)
        return "rested"
    def version():
        return 1
    class Slow:
        def close(self):
            open("closing", "a").write("yes\\n")
            time.sleep(3600)
    def uses(slow):
        return "used"
"""


def test_stopping_lets_what_runs_finish_and_gives_back_the_rest(bed: Any) -> None:
    bed.workers = Workers(processes=1)
    bed.plugin(SOURCE)

    async def story() -> None:
        running = bed.submit("naps", params={"seconds": 0.5}) + bed.submit("anaps", params={"seconds": 0.5})
        await bed.until(lambda: len(bed.lines("napping")) == 2)
        waiting = bed.submit("naps", count=3, params={"seconds": 0.5})
        await bed.stop(20)
        assert {bed.ended[run].result for run in running} == {"rested"}
        for run in waiting:
            assert (bed.ended[run].outcome, bed.ended[run].started_at) == (Outcome.RELEASED, None)
        assert bed.executor.capacity(Isolation.PROCESS) == 0
        late = bed.submit("naps", params={"seconds": 0})[0]
        assert (await bed.end_of(late)).outcome is Outcome.RELEASED

    bed.play(story)


def test_what_does_not_finish_in_time_is_interrupted_uncharged(bed: Any) -> None:
    bed.plugin(SOURCE)

    async def story() -> None:
        runs = [
            *bed.submit("naps", params={"seconds": 600}, grace=60),
            *bed.submit("stubborn", grace=60),
            *bed.submit("anaps", params={"seconds": 600}, grace=60),
            *bed.submit("naps", params={"seconds": 600}, grace=60, isolation=Isolation.THREAD),
        ]
        await bed.until(lambda: len(bed.lines("napping")) == 4)
        began = time.monotonic()
        await bed.stop(0.3)
        assert time.monotonic() - began < 15
        for run in runs:
            ended = bed.ended[run]
            assert ended.outcome is Outcome.RELEASED, ended
            assert ended.reason.startswith("interrupted by shutdown")
            assert ended.started_at is not None

    bed.play(story)


def test_hurry_cuts_the_grace_short(bed: Any) -> None:
    bed.plugin(SOURCE)

    async def story() -> None:
        runs = bed.submit("naps", params={"seconds": 600}) + bed.submit("stubborn")
        await bed.until(lambda: len(bed.lines("napping")) == 2)
        hurried = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, hurried.set)
        began = time.monotonic()
        await bed.executor.stop(timedelta(minutes=10), hurried.is_set)
        assert time.monotonic() - began < 15
        assert {bed.ended[run].outcome for run in runs} == {Outcome.RELEASED}

    bed.play(story)


def test_a_resource_that_does_not_close_holds_nobody_up_for_long(bed: Any) -> None:
    bed.plugin(SOURCE)
    bed.resources = {"slow": Resource(name="slow", use="work.Slow", close="close")}

    async def story() -> None:
        assert (await bed.run("uses")).result == "used"
        began = time.monotonic()
        await bed.stop(1)
        assert time.monotonic() - began < 20
        assert bed.lines("closing") == ["yes"]

    bed.play(story)


def test_stopping_before_anything_is_ready_leaves_nothing(bed: Any) -> None:
    bed.plugin(SOURCE)

    async def story() -> None:
        run = bed.submit("naps", params={"seconds": 1})[0]
        await bed.stop(0)
        assert bed.ended[run].outcome is Outcome.RELEASED

    bed.play(story)


def test_another_plan_is_used_by_new_workers_while_old_attempts_finish(bed: Any) -> None:
    bed.plugin(SOURCE)

    async def story() -> None:
        old = bed.submit("naps", params={"seconds": 1.5})[0]
        await bed.written("napping")
        bed.plugin(SOURCE.replace("return 1", "return 2"))
        bed.executor.apply(bed.plan())
        assert (await bed.run("version")).result == 2
        assert old not in bed.ended
        ended = await bed.end_of(old)
        assert (ended.outcome, ended.result) == (Outcome.SUCCEEDED, "rested")
        await bed.until(lambda: not bed.alive(ended.worker_pid))

    bed.play(story)


def test_orders_survive_a_change_of_plan_in_mid_flight(bed: Any) -> None:
    bed.plugin(SOURCE)

    async def story() -> None:
        runs = []
        for _ in range(5):
            runs += bed.submit("version", count=50)
            bed.executor.apply(bed.plan())
        assert {e.outcome for e in await bed.ends_of(runs)} == {Outcome.SUCCEEDED}

    bed.play(story)


def test_idle_workers_beyond_the_warm_ones_go_home(bed: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(lane, "IDLE_AFTER", 0.2)
    bed.workers = Workers(processes=4)
    bed.plugin(SOURCE)

    async def story() -> None:
        await bed.ends_of(bed.submit("naps", count=4, params={"seconds": 1.0}))
        workers = bed.executor._lanes[Isolation.PROCESS].workers
        await bed.until(lambda: len(workers) == 2)
        assert (await bed.run("version")).result == 1

    bed.play(story)


def test_workers_killed_from_outside_are_replaced(bed: Any) -> None:
    bed.plugin(SOURCE)

    async def story() -> None:
        pid = (await bed.run("version")).worker_pid
        os.kill(pid, signal.SIGKILL)
        await bed.until(lambda: bed.notices("worker.exited"))
        assert (await bed.run("version")).result == 1

    bed.play(story)
