"""SIGTERM and Ctrl-C in the middle of work: sent to the engine alone, or to everything at once as supervisors do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from orchestrator.cli.signals import ONE_PRESS
from orchestrator.core.policies import Isolation
from tests.faults.processes import children, family, nobody_left
from tests.faults.storing import attempts, enqueue
from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: {grace}
resources:
  thing: {{use: work.open_thing, close: close}}
jobs:
  tick: {{call: work.tick, every: 1 seconds}}
  work: {{call: work.go, timeout: 120s, retry: {{max_attempts: 3, delay: 0s}}}}
  await: {{call: work.go_async, timeout: 120s}}
  waiting: {{call: work.go, queue: single, timeout: 120s}}
queues:
  single: {{concurrency: 1}}
"""
WORK = """\
import asyncio, pathlib, time
from orchestrator import Context

class Thing:
    def close(self):
        with open("closed", "a") as file:
            file.write("closed\\n")

def open_thing():
    return Thing()

def tick():
    pass

def note(context):
    with open("journal", "a") as file:
        file.write(f"{context.job} {context.run_id} {context.attempt}\\n")

def go(thing, context: Context):
    note(context)
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return context.attempt

async def go_async(context: Context):
    note(context)
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.02)
    return context.attempt
"""


def project_with(project: Project, grace: str) -> Project:
    project.write("jobs.yaml", JOBS.format(grace=grace))
    project.plugin("work", WORK)
    return project


def begin(project: Project, engine: Running, *jobs: str) -> None:
    """Trigger jobs, and wait until their callables run."""
    for job in jobs:
        enqueue(project, job, isolation=Isolation.ASYNC if job == "await" else Isolation.PROCESS)
    engine.wait_for(lambda: len(project.read("journal").splitlines()) == len(jobs))


def to_the_engine(_project: Project, engine: Running, _mark: str) -> None:
    engine.signal(signal.SIGTERM)


def to_every_process(_project: Project, engine: Running, mark: str) -> None:
    """As systemd's KillMode=control-group does, and a container that forwards to all."""
    for pid in [engine.pid, *(pid for pid in family(mark) if pid != engine.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def to_workers_first(_project: Project, engine: Running, mark: str) -> None:
    for pid in [*(pid for pid in family(mark) if pid != engine.pid), engine.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def interrupts_for_all(_project: Project, engine: Running, mark: str) -> None:
    for pid in [*(pid for pid in family(mark) if pid != engine.pid), engine.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)


def assert_nothing_left(project: Project, mark: str) -> None:
    assert nobody_left(mark)
    assert list((project.folder / "var").glob("*.sock")) == []
    with sqlite3.connect(project.database) as database:
        for table, left in (("instances", "stopped_at IS NULL"), ("runs", "state = 'running' OR owner IS NOT NULL")):
            assert database.execute(f"SELECT count(*) FROM {table} WHERE {left}").fetchone() == (0,)


@pytest.mark.parametrize("send", [to_the_engine, to_workers_first])
def test_what_runs_may_finish_and_nothing_new_begins(
    project: Project, mark: str, send: Callable[[Project, Running, str], None]
) -> None:
    project_with(project, "60s")
    with project.engine() as engine:
        begin(project, engine, "work", "await")
        send(project, engine, mark)
        engine.wait_line("stopping")
        asked = len(project.runs())
        enqueue(project, "work")
        project.write("go", "")
        assert engine.wait() == 0
        fires = [run for run in project.runs() if run["job"] == "tick"]
    states = {run["job"]: run["state"] for run in reversed(project.runs()) if run["cause"] == "manual"}
    assert states == {"work": "queued", "await": "succeeded"}
    assert [run["state"] for run in project.runs(job="work")] == ["queued", "succeeded"]
    assert len(project.runs()) == asked + 1
    assert {run["state"] for run in fires} <= {"succeeded", "queued"}
    assert project.read("closed")
    assert_nothing_left(project, mark)


@pytest.mark.parametrize("send", [to_every_process, interrupts_for_all])
def test_what_does_not_finish_is_given_back_uncharged_and_done_at_the_next_start(
    project: Project, mark: str, send: Callable[[Project, Running, str], None]
) -> None:
    project_with(project, "200ms")
    with project.engine() as engine:
        begin(project, engine, "work", "await")
        send(project, engine, mark)
        assert engine.wait() == 0
    assert {run["job"]: run["state"] for run in project.runs() if run["cause"] == "manual"} == {
        "work": "queued",
        "await": "queued",
    }
    assert project.read("closed")
    assert_nothing_left(project, mark)
    project.write("go", "")
    with project.engine() as engine:
        engine.wait_for(lambda: len(project.runs(job="work", state="succeeded")) == 1)
        engine.wait_for(lambda: len(project.runs(job="await", state="succeeded")) == 1)
        assert engine.terminate() == 0
    for job in ("work", "await"):
        (run,) = project.runs(job=job)
        told = [(attempt.outcome.value, attempt.number) for attempt in attempts(project, run["id"])]
        assert told == [("released", 1), ("succeeded", 1)]
        assert run["result"] == 1
    assert_nothing_left(project, mark)


def test_a_second_signal_hurries_and_still_leaves_nothing(project: Project, mark: str) -> None:
    project_with(project, "600s")
    with project.engine() as engine:
        begin(project, engine, "work", "await")
        to_every_process(project, engine, mark)
        engine.wait_line("stopping")
        time.sleep(ONE_PRESS + 0.1)  # what follows at once is the same wish, come twice
        to_every_process(project, engine, mark)
        assert engine.wait() == 0
    assert {run["state"] for run in project.runs() if run["cause"] == "manual"} == {"queued"}
    assert_nothing_left(project, mark)


def test_a_storm_of_signals_changes_nothing(project: Project, mark: str) -> None:
    project_with(project, "600s")
    with project.engine() as engine:
        begin(project, engine, "work")
        until = time.monotonic() + 20
        while engine.code is None and time.monotonic() < until:
            engine.signal(signal.SIGTERM)
            engine.signal(signal.SIGINT)
            time.sleep(0.002)
        assert engine.wait() == 0
    assert engine.error_lines == []
    assert_nothing_left(project, mark)


def test_ctrl_c_reaches_the_whole_foreground_group(project: Project, mark: str) -> None:
    project_with(project, "60s")
    command = [sys.executable, "-P", "-m", "orchestrator", "run"]
    environment = {**os.environ, **project.environment}
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        process_group=0,
    ) as process:
        engine = Running(("run",), process)
        engine.wait_line("Ctrl-C")
        begin(project, engine, "work")
        os.killpg(process.pid, signal.SIGINT)
        engine.wait_line("stopping")
        project.write("go", "")
        assert engine.wait() == 0
    assert [run["state"] for run in project.runs(job="work")] == ["succeeded"]
    assert engine.error_lines == []
    assert_nothing_left(project, mark)


def test_a_resource_that_hangs_on_closing_does_not_keep_the_engine(project: Project, mark: str) -> None:
    project_with(project, "60s")
    project.plugin("work", WORK.replace("    def close(self):\n", "    def close(self):\n        time.sleep(600)\n"))
    project.write("go", "")
    with project.engine() as engine:
        begin(project, engine, "work")
        engine.wait_for(lambda: project.runs(job="work", state="succeeded"))
        assert engine.terminate() == 0
    assert_nothing_left(project, mark)


def test_an_early_end_leaves_no_process_that_still_reads_plugins(project: Project, mark: str) -> None:
    project_with(project, "60s")
    project.plugin("slow", "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(600)")
    with project.start("run") as engine:
        engine.wait_for((project.folder / "importing").exists)
        assert children(engine.pid)
        assert engine.terminate() == 0
    assert nobody_left(mark)
