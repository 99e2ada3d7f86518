"""Workers that die, and those that never come to life."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from orchestrator.core.plan import Workers
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.worker import messages

CRASHES = """
    import ctypes, os, signal, sys, time
    def exits():
        print("last words", file=sys.stderr)
        os._exit(1)
    def segfaults():
        ctypes.string_at(0)
    def is_killed():
        os.kill(os.getpid(), signal.SIGKILL)
    def os_exit_zero():
        os._exit(0)
    def writes_and_exits():
        os.write(1, b"by hand\\n")
        os._exit(7)
    def quick():
        return 1
    def naps():
        time.sleep(0.5)
        return 2
"""


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("exits", "the worker exited with status 1"),
        ("os_exit_zero", "the worker exited with status 0"),
        ("segfaults", "the worker was killed by SIGSEGV"),
        ("is_killed", "the worker was killed by SIGKILL (by the kernel, if memory ran out)"),
    ],
)
def test_a_crash_is_charged_to_who_ran_and_to_nobody_else(bed: Any, call: str, reason: str) -> None:
    bed.plugin(CRASHES)

    async def story() -> None:
        bystanders = bed.submit("naps")
        ended = await bed.run(call)
        assert (ended.outcome, ended.reason, ended.error.message) == (Outcome.CRASHED, reason, reason)
        assert ended.started_at is not None
        bystanders += bed.submit("quick", count=5)
        assert {e.outcome for e in await bed.ends_of(bystanders)} == {Outcome.SUCCEEDED}

    bed.play(story)


def test_a_segfault_leaves_its_traceback_and_a_dying_worker_its_last_output(bed: Any) -> None:
    bed.plugin(CRASHES)

    async def story() -> None:
        fault = await bed.run("segfaults")
        assert "Segmentation fault" in fault.error.traceback
        assert "in segfaults" in fault.error.traceback
        wrote = await bed.run("writes_and_exits")
        assert bed.text(wrote.run_id) == "by hand\n"
        said = await bed.run("exits")
        assert bed.text(said.run_id, "stderr") == "last words\n"

    bed.play(story)


def test_what_waited_behind_a_crash_is_executed_once_elsewhere(bed: Any) -> None:
    bed.workers = Workers(processes=1)
    bed.plugin("""
        import os
        def mark(n: int, die: bool = False):
            with open("journal", "a") as file:
                file.write(f"{n}\\n")
            if die:
                os._exit(3)
    """)

    async def story() -> None:
        for n in range(50):
            await bed.run("mark", params={"n": -n})
        orders = [bed.order("mark", params={"n": n, "die": n % 10 == 5}) for n in range(1, 101)]
        bed.executor.submit(orders)
        ended = await bed.ends_of([order.run_id for order in orders])
        assert [e.outcome for e in ended].count(Outcome.CRASHED) == 10
        assert [e.outcome for e in ended].count(Outcome.SUCCEEDED) == 90
        journal = [int(line) for line in bed.lines("journal") if int(line) > 0]
        assert sorted(journal) == list(range(1, 101))

    bed.play(story)


def test_an_attempt_over_its_memory_limit_is_killed_and_told_why(bed: Any) -> None:
    bed.plugin("""
        import time
        def leaks():
            kept = []
            while True:
                kept.append(bytearray(4 * 2**20))
                time.sleep(0.005)
        def modest():
            time.sleep(0.5)
    """)

    async def story() -> None:
        modest = bed.submit("modest", memory_limit=200 * 2**20)[0]
        ended = await bed.run("leaks", memory_limit=200 * 2**20)
        assert ended.outcome is Outcome.CRASHED
        assert "over its memory limit of 200MiB" in ended.reason
        assert (await bed.end_of(modest)).outcome is Outcome.SUCCEEDED

    bed.play(story)


@pytest.mark.parametrize("limits", [{"max_runs": 7}, {"max_memory": 1}])
def test_workers_are_recycled_without_losing_an_attempt(bed: Any, limits: dict[str, int]) -> None:
    bed.workers = msgspec.structs.replace(Workers(processes=2), **limits)
    bed.plugin("""
        import os
        def mark(n: int):
            with open("journal", "a") as file:
                file.write(f"{n}\\n")
    """)
    count = 60

    async def story() -> None:
        orders = [bed.order("mark", params={"n": n}) for n in range(count)]
        bed.executor.submit(orders)
        ended = await bed.ends_of([order.run_id for order in orders])
        assert {e.outcome for e in ended} == {Outcome.SUCCEEDED}
        per_worker = Counter(e.worker_pid for e in ended)
        assert len(per_worker) >= 4
        assert max(per_worker.values()) <= limits.get("max_runs", 40)
        assert sorted(map(int, bed.lines("journal"))) == list(range(count))

    bed.play(story)


@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_plugin_that_breaks_every_start_ends_the_orders_and_says_why(bed: Any, isolation: Isolation) -> None:
    bed.plugin("""
        import os
        os.write(2, b"the licence expired\\n")
        os._exit(9)
        def quick():
            pass
    """)

    async def story() -> None:
        ended = await bed.run("quick", isolation=isolation)
        assert ended.outcome is Outcome.CRASHED
        assert ended.started_at is None
        assert "no worker could be started, 5 times in a row" in ended.reason
        assert "exited with status 9" in ended.reason
        assert "the licence expired" in ended.error.traceback
        assert bed.executor.capacity(isolation) == 0
        starts = len(bed.notices("worker.started"))
        assert starts <= 12

    bed.play(story)


def test_a_plugin_that_hangs_at_import_does_not_hang_its_orders(bed: Any) -> None:
    bed.workers = Workers(processes=1, import_timeout=timedelta(seconds=-9.8))
    bed.plugin("""
        import time
        time.sleep(3600)
        def quick():
            pass
    """)

    async def story() -> None:
        ended = await bed.run("quick")
        assert (ended.outcome, "not ready after" in ended.reason) == (Outcome.CRASHED, True)

    bed.play(story)


def test_a_plugin_that_fails_at_import_fails_only_its_own_callables(bed: Any) -> None:
    bed.plugin("""
        def quick():
            return 1
    """)
    bed.folder.joinpath("plugins/broken.py").write_text("raise RuntimeError('no')\n")

    async def story() -> None:
        assert (await bed.run("quick")).result == 1
        ended = await bed.run("quick", call="broken.thing")
        assert (ended.outcome, "broken" in ended.error.message) == (Outcome.FAILED, True)

    bed.play(story)


def test_an_order_that_no_worker_survives_receiving_is_ended(bed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here since it is longer than workers take, and the engine doesn't know it."""
    monkeypatch.setattr(messages, "MAX_FRAME", 2**30)
    bed.plugin("""
        def takes(blob: str):
            return len(blob)
        def quick():
            return 1
    """)

    async def story() -> None:
        ended = await bed.run("takes", params={"blob": "x" * (64 * 2**20)})
        assert (ended.outcome, ended.started_at) == (Outcome.CRASHED, None)
        assert ended.reason == "3 workers died before it began"
        assert (await bed.run("quick")).result == 1
        assert (await bed.run("takes", params={"blob": "x" * 2**23})).result == 2**23

    bed.play(story)


def test_a_callable_that_breaks_the_line_to_the_engine_is_charged(bed: Any) -> None:
    bed.plugin("""
        import os, socket, stat, time
        def sockets():
            return [fd for fd in range(3, 4096) if _is_socket(fd)]
        def _is_socket(fd):
            try:
                return stat.S_ISSOCK(os.fstat(fd).st_mode)
            except OSError:
                return False
        def closes_everything():
            os.closerange(3, 4096)
            time.sleep(3600)
        def talks_nonsense():
            os.write(sockets()[0], b"\\0\\0\\0\\3abc")
            time.sleep(3600)
        def talks_too_much():
            os.write(sockets()[0], b"\\xff" * 100)
            time.sleep(3600)
    """)

    async def story() -> None:
        for call in ("closes_everything", "talks_nonsense", "talks_too_much"):
            ended = await bed.run(call, timeout=None)
            assert ended.outcome is Outcome.CRASHED, call
            assert ended.reason.startswith("its worker was killed: it "), ended.reason

    bed.play(story)


def test_a_worker_that_keeps_dying_between_attempts_does_not_make_the_engine_spin(bed: Any) -> None:
    bed.plugin("""
        import os, threading
        threading.Timer(0.05, os._exit, (1,)).start()
        def waits():
            threading.Event().wait()
    """)

    async def story() -> None:
        await bed.until(lambda: len(bed.notices("worker.exited") + bed.notices("worker.failed")) >= 6)
        since, began = time.monotonic(), len(bed.notices("worker.started"))
        await bed.until(lambda: len(bed.notices("worker.started")) > began)
        assert time.monotonic() - since > 1  # the sixth pause is one of 3.2 s

    bed.play(story)
