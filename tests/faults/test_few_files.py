"""No file descriptors left: told in one message with its mend, outlived by the engine, charged to nobody else."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store
from tests.faults.processes import nobody_left, workers
from tests.faults.storing import attempts, enqueue
from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: 20s
workers: {processes: 1}
defaults: {timeout: 60s, overlap: allow, catch_up: all, retry: {max_attempts: 1}}
jobs:
  tick: {call: work.tick, cron: EVERY_SECOND, retry: {max_attempts: 3, delay: 0s}}
  leak: {call: work.leak}
  leak-thread: {call: work.leak, isolation: thread}
  modest: {call: work.modest}
  modest-thread: {call: work.modest, isolation: thread}
"""
WORK = """\
import os
kept = []

def tick():
    pass

def leak():
    while True:
        kept.append(open(os.devnull))

def modest():
    for file in [open(os.devnull) for _ in range(12)]:
        file.close()
"""
MEND = "ulimit -n"


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def lowest_free(pid: int) -> int:
    """As a limit, it lets a process open nothing more: descriptors are numbers below the limit."""
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def allow(engine: Running, most: int) -> None:
    """Change the limit of a process that works already."""
    hard = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (most, hard))


def told(engine: Running, event: str) -> list[str]:
    return [line for line in list(engine.lines) if f'"{event}"' in line]


def succeeded(project: Project, job: str = "tick") -> int:
    return len(project.runs(job=job, state="succeeded"))


@pytest.mark.parametrize("limit", [8, 16, 24, 40])
def test_too_few_to_begin_with_is_one_message_and_a_status_of_its_own(project: Project, mark: str, limit: int) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); "
    code += "from orchestrator.cli.main import main; main()"
    ended = _run(project, [sys.executable, "-P", "-c", code, "run"])
    assert ended.returncode == 4
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: the engine needs ")
    assert f"of the {limit} that" in line
    assert MEND in line
    assert not project.database.exists()
    assert nobody_left(mark)


def _run(project: Project, command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **project.environment}
    return subprocess.run(
        command, cwd=project.folder, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def test_an_engine_that_has_none_left_goes_on_says_so_and_recovers(at_work: Project, mark: str) -> None:
    """No worker can be started, no connection opened, no plugin read, no other engine asked: all of it waits."""
    with at_work.start("run", "--log-format", "json") as engine:
        engine.wait_for(lambda: succeeded(at_work) > 1)
        ordinary = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)[0]
        allow(engine, lowest_free(engine.pid))
        for pid in workers(mark):
            os.kill(pid, signal.SIGKILL)
        engine.wait_line('"worker.refused".*' + MEND)
        engine.wait_for(lambda: not workers(mark))
        allow(engine, lowest_free(engine.pid))  # what the workers had is free now
        engine.wait_line('"maintenance.delayed".*' + MEND)
        engine.signal(signal.SIGHUP)
        engine.wait_line('"config.delayed"')
        assert engine.code is None
        before = succeeded(at_work)
        allow(engine, ordinary)
        engine.wait_line('"worker.resumed"')
        engine.wait_for(lambda: succeeded(at_work) > before + 2)
        engine.wait_line('"config.applied"')
        assert engine.terminate() == 0
    assert len(told(engine, "worker.refused")) <= 4  # of two isolations, under two limits
    assert engine.error_lines == []
    assert_nothing_is_lost(at_work)
    assert nobody_left(mark)


def assert_nothing_is_lost(project: Project) -> None:
    """Each second has its run, and only what a killed worker had begun was tried twice."""
    runs = project.runs(job="tick")
    seconds = sorted(int(datetime.fromisoformat(run["fire_time"]).timestamp()) for run in runs)
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    assert {run["state"] for run in runs} <= {"succeeded", "queued"}
    store = Store(sqlite_url(project.database), create=False)
    assert store.read(lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"
    store.close()


def test_workers_leave_the_engine_what_it_needs_for_itself(at_work: Project, mark: str) -> None:
    """More workers are declared than there are descriptors for: the engine works with as many as it can have."""
    at_work.write("jobs.yaml", JOBS.replace("processes: 1", "processes: 40").replace("EVERY_SECOND", '"@yearly"'))
    at_work.plugin("work", WORK + "\n    import time\n    time.sleep(0.3)\n")
    with at_work.start("run", "--log-format", "json") as engine:
        engine.wait_line("engine.started")
        allow(engine, 100)
        enqueue(at_work, *["modest"] * 40)
        engine.wait_line('"worker.refused".*' + MEND)
        engine.wait_for(lambda: succeeded(at_work, "modest") == 40)
        assert engine.terminate() == 0
    assert told(engine, "maintenance.delayed") == []
    assert engine.error_lines == []
    assert all(len(attempts(at_work, run["id"])) == 1 for run in at_work.runs(job="modest"))


@pytest.mark.parametrize("suffix", ["", "-thread"])
def test_who_leaks_descriptors_is_charged_and_its_worker_replaced(at_work: Project, mark: str, suffix: str) -> None:
    with at_work.start("run", "--log-format", "json") as engine:
        engine.wait_line("engine.started")
        isolation = Isolation.THREAD if suffix else Isolation.PROCESS
        resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (128, 128))
        for pid in workers(mark):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (128, 128))
        for _ in range(3):
            (leak,) = enqueue(at_work, f"leak{suffix}", isolation=isolation)
            (attempt,) = engine.wait_for(lambda leak=leak: attempts(at_work, leak))
            assert "Too many open files" in attempt.error.message
            modest = enqueue(at_work, *[f"modest{suffix}"] * 3, isolation=isolation)
            engine.wait_for(lambda modest=modest: all(attempts(at_work, run_id) for run_id in modest))
            assert {attempts(at_work, run_id)[0].outcome.value for run_id in modest} == {"succeeded"}
        assert engine.terminate() == 0
    assert engine.error_lines == []
    assert nobody_left(mark)
