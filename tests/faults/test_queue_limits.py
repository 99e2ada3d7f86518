"""Limits of a queue hold across engines, kills and restarts: the real command line, real processes."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime

from orchestrator.core.runs import Cause
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
workers: {processes: 6}
defaults: {timeout: 60s, retry: {max_attempts: 9, delay: 0s}}
queues:
  api: {rate_limit: 7/1h}
  shared: {concurrency: 4, per_key: {by: "{{ params.tenant }}", concurrency: 1}}
jobs:
  call: {call: work.call, queue: api}
  share: {call: work.share, queue: shared}
"""
WORK = """\
import os, time

def note(line):
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{line}\\n".encode())
    os.close(journal)

def call():
    note("call")

def share(tenant: str):
    # Whoever finds the file of its tenant there is not alone.
    try:
        os.close(os.open(f"busy-{tenant}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        note(f"collision {tenant}")
    note(f"share {tenant}")
    time.sleep(0.02)
    os.unlink(f"busy-{tenant}")
"""


def add(project: Project, job: str, queue: str, *keys: str) -> None:
    now = datetime.now(UTC)
    store = Store(f"sqlite:///{project.database}")
    fields = {"job": job, "cause": Cause.MANUAL, "created_at": now, "due_at": now, "queue": queue}
    new = [NewRun(**fields, group_key=key or None, params={"tenant": key} if key else None) for key in keys]  # type: ignore[arg-type]
    store.write(create_runs, new)
    store.close()


def lines(project: Project, start: str) -> list[str]:
    return [line for line in project.read("journal").splitlines() if line.startswith(start)]


def test_a_rate_holds_for_two_engines_and_after_one_is_killed_and_started_again(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    add(project, "call", "api", *[""] * 30)
    with project.engine() as first:
        with project.engine() as second:
            first.wait_for(lambda: len(project.runs(state="succeeded")) == 7)
            shown = project.cli("queue", "show", "api", "--json").ok().json
            assert shown["rate"]["used"] == 7
            assert shown["rate"]["next_start"] is not None
            second.signal(signal.SIGKILL)
            second.wait()
        with project.engine() as third:
            project.cli("trigger", "call").ok()
            add(project, "share", "shared", "x")  # a sign that the engines claim
            third.wait_for(lambda: lines(project, "share"))
            assert third.terminate() == 0
        assert first.terminate() == 0
    assert Counter(run["state"] for run in project.runs(job="call")) == {"succeeded": 7, "queued": 24}
    assert lines(project, "call") == ["call"] * 7


def test_keys_take_turns_and_are_never_at_work_twice_with_two_engines(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    add(project, "share", "shared", *["a"] * 60, *["b"] * 12, *["c"] * 12)
    with project.engine() as first, project.engine() as second:
        first.wait_for(lambda: len(project.runs(job="share", state="succeeded")) == 84)
        assert first.terminate() == 0
        assert second.terminate() == 0
    assert lines(project, "collision") == []
    shared = Counter(line.split()[1] for line in lines(project, "share"))
    assert shared == {"a": 60, "b": 12, "c": 12}
