"""What a callable starts dies with its worker, and everything dies with the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.runs import Outcome

FORKS = """
    import multiprocessing, os, signal, subprocess, sys, time
    def note(*pids):
        with open("pids", "a") as file:
            file.write("".join(f"{pid}\\n" for pid in pids))
    def daemon(clean=False):
        # The classic: fork, a new session, fork again, so that nothing leads back to us.
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                note(os.getpid())
                for fd in range(3):
                    os.close(fd)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(3600)
            os._exit(0)
        os.wait()
    def family():
        note(subprocess.Popen(["sleep", "3600"]).pid)
        note(subprocess.Popen(["sleep", "3601"], start_new_session=True).pid)
        daemon()
        note(os.getpid())
    def family_and_loop():
        family()
        with open("ready", "w") as file:
            file.write("yes\\n")
        sum(range(10**13))
    def family_and_die():
        family()
        os._exit(1)
    def family_and_go():
        family()
    def forks_through():
        if os.fork() == 0:
            return "from the child"
        os.wait()
        return "from the parent"
    def forks_and_fails():
        if os.fork() == 0:
            sys.exit(0)
        _, status = os.wait()
        return status
    def square(x):
        return x * x
    def pools():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(square, [1, 2, 3])
    def terminates_children():
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
        child.start()
        child.terminate()
        child.join()
        return child.exitcode
"""


async def _dead(bed: Any, count: int) -> None:
    await bed.until(lambda: len(bed.lines("pids")) >= count)
    for pid in map(int, bed.lines("pids")):
        await bed.until(lambda pid=pid: not bed.alive(pid), 10)


@pytest.mark.parametrize("call", ["family_and_loop", "family_and_die"])
def test_whatever_a_worker_started_is_gone_when_its_attempt_is_reported(bed: Any, call: str) -> None:
    bed.plugin(FORKS)

    async def story() -> None:
        ended = await bed.run(call, timeout=1, grace=0.1)
        assert ended.outcome in (Outcome.TIMED_OUT, Outcome.CRASHED)
        await bed.until(lambda: len(bed.lines("pids")) >= 3)
        assert not [pid for pid in bed.lines("pids") if bed.alive(int(pid))]

    bed.play(story)


def test_daemons_live_on_between_attempts_and_end_with_the_worker(bed: Any) -> None:
    bed.plugin(FORKS)

    async def story() -> None:
        assert (await bed.run("family_and_go")).outcome is Outcome.SUCCEEDED
        await bed.until(lambda: len(bed.lines("pids")) == 4)
        assert all(bed.alive(int(pid)) for pid in bed.lines("pids"))
        await bed.stop(5)
        await _dead(bed, 4)

    bed.play(story)


def test_a_forked_child_that_returns_is_not_a_second_worker(bed: Any) -> None:
    bed.plugin(FORKS)

    async def story() -> None:
        assert (await bed.run("forks_through")).result == "from the parent"
        assert (await bed.run("forks_and_fails")).result == 0
        assert (await bed.run("pools")).result == [1, 4, 9]
        assert (await bed.run("terminates_children")).result == -signal.SIGTERM

    bed.play(story)


ENGINE = """
    import asyncio, sys
    from datetime import timedelta
    sys.path.insert(0, {tests!r})
    from conftest import Bed
    from pathlib import Path

    async def main():
        bed = Bed(Path({folder!r}))
        bed._source = Path({folder!r}, "plugins/work.py").read_text()
        await bed.executor.start(bed.plan(), bed.heard)
        bed.submit({call!r})
        bed.submit("waits")
        await asyncio.sleep(3600)

    asyncio.run(main())
"""


@pytest.mark.parametrize("call", ["family_and_loop", "family_and_nap"])
def test_workers_and_their_children_do_not_outlive_a_killed_engine(bed: Any, call: str) -> None:
    bed.plugin(
        textwrap.dedent(FORKS)
        + textwrap.dedent("""
            def family_and_nap():
                family()
                with open("ready", "w") as file:
                    file.write("yes\\n")
                time.sleep(3600)
            async def waits():
                import asyncio
                note(os.getpid())
                await asyncio.sleep(3600)
        """)
    )
    program = textwrap.dedent(ENGINE).format(tests=str(Path(__file__).parent), folder=str(bed.folder), call=call)

    async def story() -> None:
        engine = subprocess.Popen([sys.executable, "-c", program])  # noqa: ASYNC220
        try:
            await bed.written("ready")
            await bed.until(lambda: len(bed.lines("pids")) == 5)
            assert all(bed.alive(int(pid)) for pid in bed.lines("pids"))
        finally:
            engine.send_signal(signal.SIGKILL)
            engine.wait()
        await _dead(bed, 5)

    bed.play(story)


def test_the_guard_is_replaced_if_it_is_killed(bed: Any) -> None:
    bed.plugin(FORKS)

    async def story() -> None:
        guardian = bed.executor._guardian
        os.kill(guardian._process.pid, signal.SIGKILL)
        guardian._process.wait()
        before = guardian._process.pid
        bed.submit("family_and_loop")
        await bed.until(lambda: guardian._process.pid != before and bed.alive(guardian._process.pid))

    bed.play(story)


def test_signals_of_the_terminal_do_not_reach_attempts(bed: Any) -> None:
    bed.plugin("""
        import os, signal, subprocess, time
        def is_told_to_go():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), number)
            time.sleep(0.05)
            return subprocess.run(["sh", "-c", "kill -TERM $$; echo deaf"]).returncode
    """)

    async def story() -> None:
        assert (await bed.run("is_told_to_go")).result == -signal.SIGTERM

    bed.play(story)
