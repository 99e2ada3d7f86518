"""Attempts that overrun their time, and people who cancel: what stops them, and whom it costs what."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.runs import Outcome

STUCK = """
    import re, time
    def loops_in_python():
        while True:
            pass
    def loops_in_c():
        sum(range(10**13))
    def backtracks():
        re.match(r"(a+)+$", "a" * 64 + "b")
    def sleeps():
        time.sleep(3600)
    def swallows():
        while True:
            try:
                while True:
                    time.sleep(0.01)
            except BaseException:
                pass
    def tidies():
        try:
            time.sleep(3600)
        finally:
            with open("tidied", "w") as file:
                file.write("yes\\n")
    def quick(n: int = 0):
        return n
"""


@pytest.mark.parametrize("call", ["loops_in_c", "swallows"])
def test_what_does_not_stop_when_asked_is_killed_after_its_grace(bed: Any, call: str) -> None:
    bed.plugin(STUCK)

    async def story() -> None:
        ended = await bed.run(call, timeout=0.3, grace=0.3)
        assert ended.outcome is Outcome.TIMED_OUT
        assert ended.reason == "timed out after 300ms; its worker was killed after the grace of 0.3s"
        assert f"in {call}" in ended.error.traceback
        assert ended.error.names == ("TimedOut", "TimeoutError")
        assert timedelta(seconds=0.6) <= ended.finished_at - ended.started_at < timedelta(seconds=10)
        assert (await bed.run("quick", params={"n": 5})).result == 5

    bed.play(story)


@pytest.mark.parametrize("call", ["loops_in_python", "backtracks", "sleeps", "tidies"])
def test_what_stops_when_asked_may_tidy_up_and_its_worker_is_replaced(bed: Any, call: str) -> None:
    bed.plugin(STUCK)

    async def story() -> None:
        ended = await bed.run(call, timeout=0.3, grace=20)
        assert (ended.outcome, ended.reason) == (Outcome.TIMED_OUT, "timed out after 300ms")
        assert f"in {call}" in ended.error.traceback
        if call == "tidies":
            assert bed.lines("tidied") == ["yes"]
        others = {(await bed.run("quick")).worker_pid for _ in range(6)}
        assert ended.worker_pid not in others

    bed.play(story)


def test_a_timeout_spares_its_neighbours(bed: Any) -> None:
    bed.plugin(STUCK)

    async def story() -> None:
        stuck = bed.submit("loops_in_c", timeout=0.4, grace=0.1)[0]
        neighbours = []
        while stuck not in bed.ended:
            neighbours += await bed.ends_of(bed.submit("quick", count=3))
        assert bed.ended[stuck].outcome is Outcome.TIMED_OUT
        assert {ended.outcome for ended in neighbours} == {Outcome.SUCCEEDED}

    bed.play(story)


def test_no_grace_means_no_asking(bed: Any) -> None:
    bed.plugin(STUCK)

    async def story() -> None:
        ended = await bed.run("tidies", timeout=0.2, grace=0)
        assert ended.outcome is Outcome.TIMED_OUT

    bed.play(story)


def test_a_stopped_process_times_out_like_any_other(bed: Any) -> None:
    bed.plugin("""
        import os, signal
        def freezes():
            os.kill(os.getpid(), signal.SIGSTOP)
        def quick():
            pass
    """)

    async def story() -> None:
        ended = await bed.run("freezes", timeout=0.3, grace=0.2)
        assert ended.outcome is Outcome.TIMED_OUT

    bed.play(story)


def test_orders_of_a_worker_that_is_frozen_between_attempts_go_to_another(bed: Any) -> None:
    bed.plugin(STUCK)

    async def story() -> None:
        pids = {(await bed.run("quick")).worker_pid for _ in range(8)}
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        ended = await bed.ends_of(bed.submit("quick", count=4))
        assert {e.outcome for e in ended} == {Outcome.SUCCEEDED}
        assert not pids & {e.worker_pid for e in ended}

    bed.play(story)


def test_cancelling_asks_and_then_kills(bed: Any) -> None:
    bed.plugin("""
        import time
        from orchestrator import Context
        def polite(context: Context):
            open("started", "w").write("yes\\n")
            while not context.cancelled:
                time.sleep(0.01)
            return "early"
        def rude():
            open("started", "w").write("yes\\n")
            sum(range(10**13))
        def uninterested():
            pass
    """)

    async def story() -> None:
        for call, grace in (("polite", 30), ("rude", 0.2)):
            run = bed.submit(call, grace=grace)[0]
            await bed.written("started")
            bed.folder.joinpath("started").unlink()
            bed.executor.cancel(run, 1, "Ada asked for it")
            bed.executor.cancel(run, 1, "twice")
            ended = await bed.end_of(run)
            assert ended.outcome is Outcome.CANCELLED
            assert ended.reason.startswith("Ada asked for it")
        bed.executor.cancel(10**6, 1, "unknown")
        bed.executor.cancel(run, 1, "too late")

    bed.play(story)


def test_an_order_that_waits_is_cancelled_without_a_start(bed: Any) -> None:
    bed.plugin(STUCK)

    async def story() -> None:
        bed.submit("sleeps", count=2)
        waiting = bed.submit("quick", count=3)
        for run in waiting:
            bed.executor.cancel(run, 1, "not needed")
        for ended in await bed.ends_of(waiting):
            assert (ended.outcome, ended.started_at, ended.reason) == (Outcome.CANCELLED, None, "not needed")

    bed.play(story)


def test_a_deadline_stops_what_runs_and_what_waits(bed: Any) -> None:
    bed.plugin(STUCK)
    soon = datetime.now(UTC) + timedelta(seconds=1)

    async def story() -> None:
        running = bed.submit("sleeps", count=2, deadline_at=soon)
        waiting = bed.submit("sleeps", deadline_at=soon)
        for ended in await bed.ends_of(running + waiting):
            assert ended.outcome is Outcome.CANCELLED
            assert "its deadline passed" in ended.reason

    bed.play(story)


def test_the_asking_never_hits_the_next_attempt(bed: Any) -> None:
    """Attempts end by themselves at about the moment they are asked: each ends once, and none by another's ask."""
    bed.plugin("""
        import time
        def about(seconds: float):
            time.sleep(seconds)
        def quick():
            return 1
    """)

    async def story() -> None:
        for _ in range(15):
            runs = [bed.submit("about", params={"seconds": 0.04 + i / 200}, timeout=0.05)[0] for i in range(4)]
            runs += bed.submit("quick", count=4)
            ended = await bed.ends_of(runs)
            assert {e.outcome for e in ended[:4]} <= {Outcome.SUCCEEDED, Outcome.TIMED_OUT}
            assert {e.outcome for e in ended[4:]} == {Outcome.SUCCEEDED}

    bed.play(story)
