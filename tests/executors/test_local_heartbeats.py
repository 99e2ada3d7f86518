"""Attempts that give no sign of life, and what counts as one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.executors.flight import Flight

SHORT = timedelta(seconds=0.3)
LONG = timedelta(minutes=1)
SILENT = """
    import asyncio, os, time
    from orchestrator import Context
    def hangs():
        time.sleep(3600)
    def spins(ctx: Context):
        while not ctx.cancelled or True:
            pass
    def hangs_in_c():
        sum(range(10**13))
    def starts_well(ctx: Context):
        ctx.progress(1, 10)
        open("started", "w").write(f"{os.getpid()}\\n")
        time.sleep(3600)
    async def waits():
        await asyncio.sleep(3600)
    async def blocks():
        open("blocking", "w").write("yes\\n")
        while True:
            pass
    async def naps(ctx: Context, seconds: float):
        for _ in range(int(seconds / 0.02)):
            ctx.heartbeat()
            await asyncio.sleep(0.02)
    def quick():
        return "quick"
"""
SIGNS = {
    "progress": "ctx.progress(1)",
    "checkpoint": "ctx.checkpoint.save(1)",
    "heartbeat": "ctx.heartbeat()",
    "print": "print('x')",
    "log": "ctx.log.info('x')",
}
ONLY_ALONE = {
    "child": "subprocess.run(['echo', 'x'], check=True)",
    "beyond the log limit": "print('x' * 2**21); time.sleep(0.05); print('x')",
}


@pytest.mark.parametrize("call", ["hangs", "spins", "waits"])
def test_silence_is_a_crash_and_what_can_be_asked_stops_by_itself(bed: Any, call: str) -> None:
    bed.plugin(SILENT)

    async def story() -> None:
        ended = await bed.run(call, heartbeat=SHORT, grace=30)
        assert (ended.outcome, ended.reason) == (Outcome.CRASHED, "no heartbeat for 300ms")
        assert ended.error.names == ("WorkerCrashed",)
        assert f"in {call}" in ended.error.traceback
        assert ended.finished_at - ended.started_at >= SHORT

    bed.play(story)


def test_what_does_not_stop_is_killed_after_its_grace(bed: Any) -> None:
    bed.plugin(SILENT)

    async def story() -> None:
        ended = await bed.run("hangs_in_c", heartbeat=SHORT, grace=0.2)
        assert ended.outcome is Outcome.CRASHED
        assert ended.reason == "no heartbeat for 300ms; its worker was killed after the grace of 0.2s"
        assert "in hangs_in_c" in ended.error.traceback
        assert (await bed.run("quick", heartbeat=LONG)).result == "quick"

    bed.play(story)


def test_a_silent_thread_is_given_up_and_its_worker_replaced(bed: Any) -> None:
    bed.plugin(SILENT)

    async def story() -> None:
        ended = await bed.run("hangs", isolation=Isolation.THREAD, heartbeat=SHORT)
        assert ended.outcome is Outcome.CRASHED
        assert ended.reason.startswith("no heartbeat for 300ms; its thread can't be stopped")
        after = await bed.run("quick", isolation=Isolation.THREAD)
        assert after.worker_pid != ended.worker_pid

    bed.play(story)


def test_a_worker_that_is_stopped_gives_no_sign_either(bed: Any) -> None:
    bed.plugin(SILENT)

    async def story() -> None:
        run = bed.submit("starts_well", heartbeat=SHORT, grace=0.1)[0]
        os.kill(int(await bed.written("started")), signal.SIGSTOP)
        ended = await bed.end_of(run)
        assert ended.outcome is Outcome.CRASHED
        assert ended.reason.startswith("no heartbeat for 300ms")

    bed.play(story)


def test_whoever_is_kept_from_the_loop_is_not_charged_for_its_silence(bed: Any) -> None:
    bed.plugin(SILENT)

    async def story() -> None:
        victim = bed.submit("naps", params={"seconds": 3600}, heartbeat=timedelta(seconds=4), grace=0.3)[0]
        await bed.until(lambda: heard(bed, victim)() > 0)
        blocker = bed.submit("blocks", timeout=None)[0]
        ended = await bed.end_of(blocker)
        assert ended.outcome is Outcome.CRASHED
        assert "blocked the async worker's loop for" in ended.reason
        ended = await bed.end_of(victim)
        assert (ended.outcome, ended.reason) == (
            Outcome.RELEASED, "interrupted: blocks blocked the async worker's loop",
        )  # fmt: skip

    bed.play(story)


def test_who_blocks_the_loop_is_silent_itself(bed: Any) -> None:
    bed.plugin(SILENT)

    async def story() -> None:
        ended = await bed.run("blocks", heartbeat=SHORT, grace=0.2)
        assert ended.outcome is Outcome.CRASHED
        assert ended.reason.startswith("no heartbeat for 300ms")

    bed.play(story)


@pytest.mark.parametrize("isolation", list(Isolation))
def test_what_counts_as_a_sign_of_life(bed: Any, isolation: Isolation) -> None:
    signs = {**SIGNS, **(ONLY_ALONE if isolation is Isolation.PROCESS else {})}
    sleep = "await ctx.asleep" if isolation is Isolation.ASYNC else "ctx.sleep"
    signs["sleep"] = f"{sleep}(0)"
    signs["end"] = ""
    bed.plugin(acting(signs, "await asyncio.sleep(0.01)" if isolation is Isolation.ASYNC else "time.sleep(0.01)"))

    async def story() -> None:
        run = bed.submit("acts", heartbeat=LONG, isolation=isolation, log_limit=2**16)[0]
        for number in range(len(signs)):
            await bed.written(f"before{number}")
            before = heard(bed, run)()
            bed.folder.joinpath(f"go{number}").touch()
            if number < len(signs) - 1:
                await bed.until(lambda then=before: heard(bed, run)() > then)
        assert (await bed.end_of(run)).outcome is Outcome.SUCCEEDED

    bed.play(story)


def test_asking_whether_to_stop_is_no_sign_of_life(bed: Any) -> None:
    bed.plugin(acting({"asks": "ctx.cancelled; open('asked', 'w').write('yes\\n')", "end": ""}, "time.sleep(0.01)"))

    async def story() -> None:
        run = bed.submit("acts", heartbeat=LONG)[0]
        await bed.written("before0")
        before = heard(bed, run)()
        bed.folder.joinpath("go0").touch()
        await bed.written("asked")
        await bed.written("before1")
        assert heard(bed, run)() == before
        bed.folder.joinpath("go1").touch()
        await bed.end_of(run)

    bed.play(story)


def test_a_sleeping_attempt_is_heard_of_all_the_while(bed: Any) -> None:
    bed.plugin("""
        from orchestrator import Context
        def sleeps(ctx: Context):
            ctx.sleep(3600)
        async def sleeps_async(ctx: Context):
            await ctx.asleep(3600)
    """)

    async def story() -> None:
        for call in ("sleeps", "sleeps_async"):
            run = bed.submit(call, heartbeat=timedelta(seconds=12))[0]
            await bed.until(lambda run=run: bed.saved(run))
            before = heard(bed, run)()
            await bed.until(lambda now=heard(bed, run), then=before: now() > then)
            bed.executor.cancel(run, 1, "enough")
            assert (await bed.end_of(run)).outcome is Outcome.CANCELLED

    bed.play(story)


def heard(bed: Any, run: int) -> Callable[[], float]:
    """When the engine last heard of an attempt; 0 while it hasn't started."""

    def ask() -> float:
        flight: Flight = bed.executor._ledger.flights[run, 1]
        started = None if flight.worker is None else flight.worker.started(flight)
        return 0 if started is None else flight.worker.slot.heard(flight.place)

    return ask


def acting(signs: dict[str, str], nap: str) -> str:
    """A plugin whose callable gives a sign each time the test says so, and nothing else."""
    lines = ["import asyncio, os, subprocess, time", "from orchestrator import Context"]
    lines.append(f"{'async ' if 'await' in nap else ''}def acts(ctx: Context):")
    for number, sign in enumerate(signs.values()):
        lines.append(f"    open('before{number}', 'w').write('yes\\n')")
        lines.append(f"    while not os.path.exists('go{number}'): {nap}")
        lines.append(f"    {sign}")
    return "\n".join(lines) + "\n"
