"""A hundred good jobs that fire each second, and beside them everything that a callable may do wrong."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from orchestrator.store import queries
from tests.faults.processes import MARK, family, nobody_left
from tests.faults.storing import ask, attempts
from tests.project import Project, Running

GOOD = 100
FIRES = 10
"""Of each good job, one a second."""
HEAD_START = 4.0
"""Seconds from writing the file to the first fire."""
LATEST = timedelta(seconds=20)
"""Far more than a fire may be late even on a busy machine."""
LOG_LIMIT = 65536

GOOD_PLUGIN = """\
import os
from orchestrator import Context

def tick(context: Context):
    line = f"{context.job} {context.fire_time.timestamp():.0f}\\n".encode()
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line)
    os.close(journal)
"""

EVIL_PLUGIN = """\
import asyncio, ctypes, os, signal, subprocess, sys, threading, time
from orchestrator import Context, Retry, job

def loop_in_python():
    while True:
        pass

def loop_in_c():
    sum(range(10**13))

def sleep_long():
    time.sleep(600)

def exit_hard():
    os._exit(1)

def exit_soft():
    raise SystemExit(3)

def segfault():
    ctypes.string_at(0)

def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)

def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)

def kill_its_group():
    os.killpg(0, signal.SIGKILL)

def recurse():
    def deeper(n):
        return deeper(n + 1)
    deeper(0)

def swallow():
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass

def close_everything():
    os.closerange(0, 4096)
    time.sleep(600)

def leak():
    hoard = []
    for _ in range(100):
        hoard.append(bytearray(b"x") * 2**23)
        time.sleep(0.01)
    time.sleep(600)

def fork_and_hang():
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                pass
        os._exit(0)
    time.sleep(600)

def fork_and_return():
    for _ in range(3):
        subprocess.Popen(["sleep", "601"], start_new_session=True)

def flood_by_print():
    for _ in range(500):
        print("x" * 100_000)

def flood_by_write():
    block = b"y" * 2**20
    for _ in range(70):
        os.write(1, block)
        os.write(2, b"z" * 2**19)

def flood_by_child():
    subprocess.run("yes | head -c 70000000", shell=True, check=True)

def threads_left():
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    threading.Thread(target=time.sleep, args=(600,)).start()

async def block_the_loop():
    time.sleep(600)

async def ignore_cancelling():
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass

async def end_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(600)

@job(isolation="thread")
def block_a_thread():
    time.sleep(600)

def huge_result():
    return "x" * 50_000_000

def strange_error():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no")
        __repr__ = __str__
    raise Odd("\\ud800")

def ask_for_eternity():
    raise Retry("later", delay=float("inf"))

def odd_progress(context: Context):
    context.progress(2**64 - 1, 2**63)
    context.checkpoint.save(None)

def forget_everything():
    os.environ.clear()
    os.chdir("/")
    sys.path.clear()
    sys.stdout = sys.stderr = None
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
"""

TIMED_OUT = r"^timed out after 1s"
KILLED = r"^timed out after 1s; its worker was killed after the grace of 300ms|of 0\.3s"
EVIL: dict[str, tuple[str, str, str, str]] = {
    # callable: options, the run's state, its attempt's outcome, its reason
    "loop_in_python": ("", "failed", "timed_out", TIMED_OUT),
    "loop_in_c": ("", "failed", "timed_out", KILLED),
    "sleep_long": ("", "failed", "timed_out", TIMED_OUT),
    "exit_hard": ("", "failed", "crashed", "exited with status 1"),
    "exit_soft": ("", "failed", "failed", r"SystemExit.*sys\.exit\(3\)"),
    "segfault": ("", "failed", "crashed", "SIGSEGV"),
    "kill_itself": ("", "failed", "crashed", "SIGKILL"),
    "stop_itself": ("", "failed", "timed_out", KILLED),
    "kill_its_group": ("", "failed", "crashed", "SIGKILL"),
    "recurse": ("", "failed", "failed", "RecursionError"),
    "swallow": ("", "failed", "timed_out", KILLED),
    "close_everything": ("timeout: 5s", "failed", "crashed", "."),
    "leak": ("timeout: 60s, memory_limit: 200MiB", "failed", "crashed", "over its memory limit of 200MiB"),
    "fork_and_hang": ("", "failed", "timed_out", TIMED_OUT),
    "fork_and_return": ("", "succeeded", "succeeded", ""),
    "flood_by_print": ("timeout: 60s", "succeeded", "succeeded", ""),
    "flood_by_write": ("timeout: 60s", "succeeded", "succeeded", ""),
    "flood_by_child": ("timeout: 60s", "succeeded", "succeeded", ""),
    "threads_left": ("", "succeeded", "succeeded", ""),
    "block_the_loop": ("", "failed", "timed_out", KILLED),
    "ignore_cancelling": ("", "failed", "timed_out", KILLED),
    "end_the_loop": ("", "failed", "", "."),
    "block_a_thread": ("", "failed", "timed_out", "its thread can't be stopped"),
    "huge_result": ("timeout: 60s", "succeeded", "succeeded", ""),
    "strange_error": ("", "failed", "failed", "can't be shown"),
    "ask_for_eternity": ("retry: {max_attempts: 2}", "scheduled", "failed", "later"),
    "odd_progress": ("", "succeeded", "succeeded", ""),
    "forget_everything": ("", "succeeded", "succeeded", ""),
}


class Evening:
    """The engine at work, and what came of it."""

    def __init__(self, project: Project, engine: Running, first: datetime, mark: str) -> None:
        self.project = project
        self.engine = engine
        self.fires = [first + timedelta(seconds=number) for number in range(FIRES)]
        self.mark = mark
        self.runs: list[dict[str, Any]] = []

    def settle(self) -> None:
        """Wait until every run has ended."""
        self.engine.wait_for(lambda: self._good_done() and self._evil_done(), 75)
        self.runs = self.project.runs(count=100_000)

    def _good_done(self) -> bool:
        return len(self.project.read("journal").splitlines()) >= GOOD * FIRES

    def _evil_done(self) -> bool:
        runs = self.project.runs(count=100_000)
        pending = [run for run in runs if run["state"] in ("queued", "running")]
        return not pending and {run["job"] for run in runs} >= set(EVIL)

    def of(self, job: str) -> list[dict[str, Any]]:
        return [run for run in self.runs if run["job"] == job]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    project = Project(tmp_path_factory.mktemp("evil"))
    mark = project.environment[MARK] = uuid.uuid4().hex
    project.plugin("good", GOOD_PLUGIN)
    project.plugin("evil", EVIL_PLUGIN)
    first = (datetime.now(UTC) + timedelta(seconds=HEAD_START)).replace(microsecond=0)
    project.write("jobs.yaml", _jobs(first))
    with project.engine() as engine:
        evening = Evening(project, engine, first, mark)
        evening.settle()
        yield evening
        assert engine.terminate() == 0
    assert nobody_left(mark)


def _jobs(first: datetime) -> str:
    """Good jobs fire for `FIRES` seconds; evil ones once each, a few every second, three of them at a time."""
    lines = [
        "version: 1",
        "plugins: [plugins]",
        "workers: {processes: 8}",
        "queues: {evil: {concurrency: 3}}",
        f"defaults: {{timeout: 1s, grace: 300ms, retry: false, log_limit: {LOG_LIMIT}, overlap: allow, catch_up: all}}",
        "jobs:",
    ]
    window = f"start: '{first.isoformat()}', end: '{(first + timedelta(seconds=FIRES - 1)).isoformat()}'"
    lines += [f"  good-{n}: {{call: good.tick, timeout: 60s, cron: EVERY_SECOND, {window}}}" for n in range(GOOD)]
    for name, number in zip(EVIL, count()):
        at = first + timedelta(seconds=number * FIRES // len(EVIL))
        options = f", {EVIL[name][0]}" if EVIL[name][0] else ""
        lines.append(f"  {name}: {{call: evil.{name}, queue: evil, at: '{at.isoformat()}'{options}}}")
    return "\n".join(lines) + "\n"


def _is_good(run: dict[str, Any]) -> bool:
    return str(run["job"]).startswith("good-")


def _lateness(run: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(run["started_at"]) - datetime.fromisoformat(run["fire_time"])


def test_every_good_fire_has_its_run_and_succeeded(evening: Evening) -> None:
    wanted = set(evening.fires)
    for number in range(GOOD):
        runs = evening.of(f"good-{number}")
        assert {datetime.fromisoformat(run["fire_time"]) for run in runs} == wanted
        assert len(runs) == FIRES
        assert {run["state"] for run in runs} == {"succeeded"}
    assert max(map(_lateness, filter(_is_good, evening.runs))) < LATEST


def test_every_good_fire_was_executed_exactly_once(evening: Evening) -> None:
    executed = Counter(evening.project.read("journal").splitlines())
    assert set(executed.values()) == {1}
    assert len(executed) == GOOD * FIRES


@pytest.mark.parametrize("name", EVIL)
def test_an_evil_job_ends_as_declared(evening: Evening, name: str) -> None:
    _, state, outcome, reason = EVIL[name]
    (run,) = evening.of(name)
    assert run["state"] == state
    assert re.search(reason, run["reason"] or "")
    charged = [one.outcome for one in attempts(evening.project, run["id"]) if one.outcome != "released"]
    assert len(charged) == 1
    assert charged[0] == outcome or not outcome


def test_show_says_why_in_words(evening: Evening) -> None:
    (run,) = evening.of("leak")
    shown = evening.project.show(run["id"])
    assert "over its memory limit" in shown["run"]["reason"]
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["crashed"]


@pytest.mark.parametrize("name", [name for name in EVIL if name.startswith("flood")])
def test_a_flood_is_cut_at_the_log_limit(evening: Evening, name: str) -> None:
    (run,) = evening.of(name)
    text = "".join(line.text for _, line in ask(evening.project, queries.list_logs, run["id"]))
    assert 0 < len(text) < LOG_LIMIT + 1000


def test_what_stopped_jobs_had_started_has_ended_and_the_engine_goes_on(evening: Evening) -> None:
    """What a job that succeeded left running may live as long as its worker."""
    assert evening.engine.code is None
    commands = family(evening.mark).values()
    assert not [command for command in commands if "orchestrator" not in command and "sleep 601" not in command]
