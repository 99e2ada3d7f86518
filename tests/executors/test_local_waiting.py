"""Sleeps and chunks in real workers: they end at once when the attempt is asked to stop, and what they leave."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome

WORK = """
    import asyncio, contextlib, threading, time
    from orchestrator import Context
    def note(word):
        with open("notes", "a") as file:
            file.write(f"{word}\\n")
    def sleeps(ctx: Context):
        note("begins")
        try:
            ctx.sleep(3600)
        finally:
            note("tidies")
    def sleeps_again(ctx: Context):
        note("begins")
        try:
            ctx.sleep(3600)
        except BaseException:
            ctx.sleep(3600)
    def sleeps_aside(ctx: Context):
        def aside():
            try:
                ctx.sleep(3600)
            except BaseException as error:
                note(type(error).__name__)
        thread = threading.Thread(target=aside)
        thread.start()
        note("begins")
        try:
            time.sleep(3600)
        finally:
            thread.join()
    def chunks(ctx: Context):
        for chunk in ctx.chunked(range(10**9), 10):
            note("begins")
            with contextlib.suppress(BaseException):
                time.sleep(0.01)
    def loops(ctx: Context):
        asyncio.run(sleeps_async(ctx))
    async def sleeps_async(ctx: Context):
        note("begins")
        try:
            await ctx.asleep(3600)
        finally:
            await asyncio.sleep(0.01)
            note("tidies")
    async def sleeps_again_async(ctx: Context):
        note("begins")
        try:
            await ctx.asleep(3600)
        except BaseException:
            await ctx.asleep(3600)
    async def chunks_async(ctx: Context):
        async for chunk in ctx.achunked(range(10**9), 10):
            note("begins")
            time.sleep(0.01)
    async def blocks(ctx: Context):
        ctx.sleep(1)
    async def blocks_by_chunks(ctx: Context):
        for chunk in ctx.chunked([1], 1):
            pass
    async def in_a_thread(ctx: Context):
        await asyncio.to_thread(ctx.sleep, 0.01)
        return "slept"
    def half_way(ctx: Context):
        ctx.progress(1, 3)
        ctx.progress(2, 3)
        ctx.sleep(3600)
    def counts(ctx: Context, until: int):
        seen = []
        for chunk in ctx.chunked(range(5), 2):
            if seen and chunk[0] >= until:
                raise OSError("half-way")
            seen += chunk
        return seen
"""


@pytest.mark.parametrize(
    ("call", "isolation"),
    [
        ("sleeps", Isolation.PROCESS),
        ("sleeps_again", Isolation.PROCESS),
        ("sleeps_aside", Isolation.PROCESS),
        ("loops", Isolation.PROCESS),
        ("chunks", Isolation.PROCESS),
        ("sleeps", Isolation.THREAD),
        ("sleeps_again", Isolation.THREAD),
        ("loops", Isolation.THREAD),
        ("chunks", Isolation.THREAD),
        ("sleeps_async", Isolation.ASYNC),
        ("sleeps_again_async", Isolation.ASYNC),
        ("chunks_async", Isolation.ASYNC),
    ],
)
def test_they_end_when_the_attempt_is_asked_to_stop(bed: Any, call: str, isolation: Isolation) -> None:
    bed.plugin(WORK)

    async def story() -> None:
        run = bed.submit(call, isolation=isolation, grace=60)[0]
        await bed.written("notes")
        bed.executor.cancel(run, 1, "enough")
        ended = await bed.end_of(run)
        assert (ended.outcome, ended.reason) == (Outcome.CANCELLED, "enough")
        if call in ("sleeps", "loops", "sleeps_async"):
            assert bed.lines("notes") == ["begins", "tidies"]
        if call == "sleeps_aside":
            assert bed.lines("notes") == ["begins", "Stopped"]

    bed.play(story)


@pytest.mark.parametrize("call", ["blocks", "blocks_by_chunks"])
def test_what_would_block_the_loop_is_refused(bed: Any, call: str) -> None:
    bed.plugin(WORK)

    async def story() -> None:
        ended = await bed.run(call)
        assert ended.outcome is Outcome.FAILED
        assert ended.error.message == "it would block the worker's loop: an async callable uses `asleep` and `achunked`"
        assert (await bed.run("in_a_thread")).result == "slept"

    bed.play(story)


def test_the_newest_progress_is_heard_though_nothing_follows(bed: Any) -> None:
    bed.plugin(WORK)

    async def story() -> None:
        run = bed.submit("half_way")[0]
        await bed.until(lambda: bed.progress(run) and bed.progress(run)[-1].done == 2)

    bed.play(story)


def test_a_sleep_is_remembered_and_over_when_its_time_has_come(bed: Any) -> None:
    bed.plugin(WORK)

    async def story() -> None:
        run = bed.submit("sleeps")[0]
        await bed.until(lambda: bed.saved(run))
        (kept,) = bed.saved(run)
        bed.executor.cancel(run, 1, "enough")
        await bed.end_of(run)
        ((where, until),) = kept["$orchestrator"][1].items()
        assert abs(until - time.time() - 3600) < 600
        over = {**kept, "$orchestrator": [kept["$orchestrator"][0], {where: time.time() - 1}]}
        assert (await bed.run("sleeps", checkpoint=over)).outcome is Outcome.SUCCEEDED

    bed.play(story)


def test_an_attempt_continues_at_the_chunk_where_the_one_before_failed(bed: Any) -> None:
    bed.plugin(WORK)

    async def story() -> None:
        first = await bed.run("counts", params={"until": 4})
        assert first.error.message == "half-way"
        assert [(p.done, p.total) for p in bed.progress(first.run_id)][-1] == (4, 5)
        second = await bed.run("counts", params={"until": 4}, checkpoint=bed.saved(first.run_id)[-1])
        assert second.result == [4]

    bed.play(story)
