"""What a callable prints, logs, and lets its children print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.executors.contract import Output

PRINTS = """
    import asyncio, logging, os, subprocess, sys, threading, time, warnings
    def prints():
        print("out")
        print("err", file=sys.stderr)
        logging.getLogger("deep.inside").warning("%d things", 3)
        logging.getLogger("x").debug("not this")
        print("unfinished", end="")
    def writes_bytes():
        sys.stdout.buffer.write("päck\\n".encode())
        sys.stdout.write("nul \\0 lone \\udc80\\n")
        os.write(1, b"broken \\xff utf-8\\n")
        sys.stdout.flush()
    def lets_children_print():
        subprocess.run(["echo", "child"])
        subprocess.run(["sh", "-c", "echo wrong >&2"], stdout=sys.stdout)
        if (pid := os.fork()) == 0:
            print("forked")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
    def quick(n: int):
        os.write(1, b"%d\\n" % n)
    def quick_prints(n: int):
        print(n)
    async def many(n: int):
        for i in range(3):
            print(n, i)
            await asyncio.sleep(0.001)
        await asyncio.to_thread(print, n, "thread")
    def slow(n: int):
        for i in range(3):
            print(n, i)
            time.sleep(0.001)
    def logs_badly():
        logging.getLogger().error("%d", "no number")
        warnings.warn("old")
    def talks_and_stays():
        for i in range(10):
            print("line", i)
        time.sleep(3600)
"""


def test_streams_and_levels_are_kept_apart(bed: Any) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        run = (await bed.run("prints")).run_id
        assert bed.text(run, "stdout") == "out\nunfinished"
        assert bed.text(run, "stderr") == "err\n"
        (record,) = [o for o in bed.of(Output, run) if o.stream == "log"]
        assert (record.level, record.text) == ("WARNING", "3 things")

    bed.play(story)


def test_bytes_and_undecodable_text_are_shown_escaped(bed: Any) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        text = bed.text((await bed.run("writes_bytes")).run_id)
        assert "päck\n" in text
        assert "nul \0 lone \\udc80\n" in text
        assert "broken \\xff utf-8\n" in text

    bed.play(story)


def test_children_and_threads_print_into_the_attempt(bed: Any) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        run = (await bed.run("lets_children_print")).run_id
        assert sorted(bed.text(run).split()) == ["child", "forked", "thread"]
        assert bed.text(run, "stderr") == "wrong\n"

    bed.play(story)


@pytest.mark.parametrize("call", ["quick", "quick_prints"])
def test_output_never_slips_into_another_attempt(bed: Any, call: str) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        orders = [bed.order(call, params={"n": n}) for n in range(1000)]
        bed.executor.submit(orders)
        await bed.ends_of([order.run_id for order in orders])
        for order in orders:
            assert bed.text(order.run_id) == f"{order.params['n']}\n"

    bed.play(story)


@pytest.mark.parametrize(("call", "isolation"), [("many", Isolation.ASYNC), ("slow", Isolation.THREAD)])
def test_concurrent_attempts_keep_their_output_apart(bed: Any, call: str, isolation: Isolation) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        orders = [bed.order(call, params={"n": n}, isolation=isolation) for n in range(16)]
        bed.executor.submit(orders)
        await bed.ends_of([order.run_id for order in orders])
        for order in orders:
            n = order.params["n"]
            expected = [f"{n} {i}" for i in range(3)] + ([f"{n} thread"] if call == "many" else [])
            assert bed.text(order.run_id).splitlines() == expected

    bed.play(story)


def test_a_broken_log_call_and_a_warning_do_no_harm(bed: Any) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        ended = await bed.run("logs_badly")
        assert ended.outcome is Outcome.SUCCEEDED
        assert "can't be formatted" in bed.text(ended.run_id, "log")
        assert "old" in bed.text(ended.run_id, "log")

    bed.play(story)


def test_output_arrives_while_the_attempt_goes_on(bed: Any) -> None:
    bed.plugin(PRINTS)

    async def story() -> None:
        run = bed.submit("talks_and_stays")[0]
        await bed.until(lambda: bed.text(run).count("\n") == 10)
        assert run not in bed.ended

    bed.play(story)


FLOODS = """
    import os, subprocess, sys
    def prints_much():
        line = "x" * 1023
        for _ in range(200_000):
            print(line)
    def prints_at_once():
        print("y" * 100_000_000)
    def writes_much():
        block = b"z" * 65536
        for _ in range(3_200):
            os.write(1, block)
    def child_writes_much():
        subprocess.run(["head", "-c", "200000000", "/dev/zero"])
    def logs_much():
        import logging
        for i in range(200_000):
            logging.info("record %d", i)
    def quick():
        return 1
"""


@pytest.mark.parametrize("call", ["prints_much", "prints_at_once", "writes_much", "child_writes_much", "logs_much"])
def test_a_flood_is_cut_at_the_limit_and_hurts_nobodys_memory(bed: Any, call: str) -> None:
    bed.plugin(FLOODS)
    limit = 256 * 1024

    async def story() -> None:
        before = _resident()
        ended = await bed.run(call, log_limit=limit)
        assert ended.outcome is Outcome.SUCCEEDED, ended
        outputs = bed.of(Output, ended.run_id)
        assert outputs[-1].text == "log limit of 256KiB reached; the rest was dropped"
        size = sum(len(o.text) for o in outputs)
        assert limit <= size <= limit + 100
        assert _resident() - before < 30 * 2**20
        if call != "prints_at_once":
            assert _peak(ended.worker_pid) < 90 * 2**20
        assert (await bed.run("quick")).result == 1

    bed.play(story)


def test_what_is_printed_at_import_is_a_notice(bed: Any) -> None:
    bed.plugin("""
        print("hello from the import")
        def quick():
            pass
    """)

    async def story() -> None:
        await bed.run("quick")
        await bed.until(lambda: any("hello" in n.fields["text"] for n in bed.notices("worker.output")))

    bed.play(story)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no peak is known")
