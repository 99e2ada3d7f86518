"""kill -9 at any instant, of the engine or of a worker: what the history and the callables' own journal then say."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import pytest

from orchestrator.core.policies import Isolation
from tests.faults.processes import children, eventually, family, nobody_left, workers
from tests.faults.storing import attempts, enqueue, outcomes
from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: 20s
workers: {processes: 3}
defaults: {timeout: 60s, retry: {max_attempts: 20, delay: 0s}}
jobs:
  again: {call: work.step}
  again-async: {call: work.step_async}
  again-thread: {call: work.step, isolation: thread}
  once: {call: work.step, at_most_once: true}
  long: {call: work.long}
  spawn: {call: work.spawn}
  pay: {call: work.long, at_most_once: true, on_failure: again}
"""
WORK = """\
import asyncio, os, subprocess, time
from orchestrator import Context

def note(context, what):
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{what} {context.run_id} {os.getpid()}\\n".encode())
    os.close(journal)

def step(context: Context):
    note(context, "began")
    time.sleep(0.02)
    note(context, "did")

async def step_async(context: Context):
    note(context, "began")
    await asyncio.sleep(0.02)
    note(context, "did")

def long(context: Context):
    note(context, "began")
    if context.attempt == 1:
        time.sleep(600)
    note(context, "did")

def spawn(context: Context):
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    note(context, "began")
    if context.attempt == 1:
        sum(range(10**13))
    note(context, "did")
"""
BATCH = 40


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def journal(project: Project, what: str) -> list[list[int]]:
    """Run and process of each line that says so."""
    lines = [line.split() for line in project.read("journal").splitlines()]
    return [[int(number) for number in rest] for word, *rest in lines if word == what]


def kill(engine: Running, mark: str) -> None:
    """End the engine as the kernel would; its workers end without it."""
    engine.signal(signal.SIGKILL)
    engine.wait()
    assert nobody_left(mark)


def all_ended(project: Project) -> bool:
    return all(run["state"] in ("succeeded", "failed") for run in project.runs())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_engine_loses_nothing(at_work: Project, mark: str, seed: int) -> None:
    instants = random.Random(seed)
    with at_work.engine() as engine:
        enqueue(at_work, *["again"] * BATCH, *["once"] * BATCH)
        enqueue(at_work, *["again-async"] * BATCH, isolation=Isolation.ASYNC)
        enqueue(at_work, *["again-thread"] * BATCH, isolation=Isolation.THREAD)
        engine.wait_for(lambda: len(journal(at_work, "began")) > instants.randrange(BATCH))
        time.sleep(instants.random() * 0.1)  # the instant of the kill, not a wait for a fact
        kill(engine, mark)
    with at_work.engine() as engine:
        time.sleep(instants.random() * 0.2)
        kill(engine, mark)
    with at_work.engine() as engine:
        engine.wait_for(lambda: all_ended(at_work))
        assert engine.terminate() == 0
    assert nobody_left(mark)
    _check_history(at_work)


def _check_history(project: Project) -> None:
    began, did = (Counter(run_id for run_id, _ in journal(project, what)) for what in ("began", "did"))
    runs = project.runs()
    assert len(runs) == 4 * BATCH
    for run in runs:
        ended = outcomes(project, run["id"])
        if run["job"] == "once":
            assert began[run["id"]] <= 1
            assert ended in (["succeeded"], ["crashed"])
            assert run["state"] == ("succeeded" if ended == ["succeeded"] else "failed")
            assert run["state"] == "succeeded" or "at_most_once" in run["reason"]
        else:
            assert run["state"] == "succeeded"
            assert did[run["id"]] >= 1
            assert ended == ["crashed"] * (len(ended) - 1) + ["succeeded"]
            assert began[run["id"]] <= len(ended)


def test_one_run_in_the_foreground_leaves_what_a_killed_engine_left_to_who_knows_its_job(
    at_work: Project, mark: str
) -> None:
    with at_work.engine() as engine:
        (paid,) = enqueue(at_work, "pay")
        engine.wait_for(lambda: journal(at_work, "began"))
        kill(engine, mark)
    at_work.cli("run", "--once", "again").ok()
    assert at_work.show(paid)["run"]["state"] == "running"
    with at_work.engine() as engine:
        engine.wait_for(lambda: len(at_work.runs(job="again", state="succeeded")) == 2)
    assert at_work.show(paid)["run"]["state"] == "failed"
    assert [run_id for run_id, _ in journal(at_work, "began")].count(paid) == 1


def test_a_callable_that_was_interrupted_by_a_killed_engine_runs_again_within_seconds(
    at_work: Project, mark: str
) -> None:
    with at_work.engine() as engine:
        (run_id,) = enqueue(at_work, "long")
        engine.wait_for(lambda: journal(at_work, "began"))
        kill(engine, mark)
    with at_work.engine() as engine:
        engine.wait_line("engine.lost")
        engine.wait_for(lambda: at_work.runs(state="succeeded"))
    first, second = attempts(at_work, run_id)
    assert (first.outcome.value, first.number, second.outcome.value, second.number) == ("crashed", 1, "succeeded", 2)
    assert list((at_work.folder / "var").glob("*.sock")) == []


def test_a_killed_engine_takes_along_what_its_callables_started(at_work: Project, mark: str) -> None:
    with at_work.engine() as engine:
        enqueue(at_work, "spawn")
        engine.wait_for(lambda: journal(at_work, "began"))
        engine.wait_for(lambda: any("sleep 600" in command for command in family(mark).values()))
        kill(engine, mark)


def test_an_engine_killed_together_with_its_guard_leaves_no_idle_worker(at_work: Project, mark: str) -> None:
    with at_work.engine() as engine:
        engine.wait_for(lambda: workers(mark))
        others = [pid for pid in children(engine.pid) if pid not in workers(mark)]
        for pid in [engine.pid, *others]:
            os.kill(pid, signal.SIGKILL)
        engine.wait()
    assert nobody_left(mark)


@pytest.mark.parametrize("isolation", ["process", "thread", "async"])
def test_a_killed_worker_costs_only_its_own_attempt(at_work: Project, mark: str, isolation: str) -> None:
    job = {"process": "again", "thread": "again-thread", "async": "again-async"}[isolation]
    with at_work.engine() as engine:
        enqueue(at_work, *[job] * BATCH, isolation=Isolation(isolation))
        for wanted in (5, 15, 25):
            engine.wait_for(lambda wanted=wanted: len(journal(at_work, "began")) >= wanted)
            busy = {pid for _, pid in journal(at_work, "began")[-1:]}
            for pid in busy & set(workers(mark)):
                os.kill(pid, signal.SIGKILL)
        engine.wait_for(lambda: all_ended(at_work))
        assert engine.terminate() == 0
    assert {run["state"] for run in at_work.runs()} == {"succeeded"}
    ended = [outcomes(at_work, run["id"]) for run in at_work.runs()]
    assert sum(attempts.count("crashed") for attempts in ended) <= 3 if isolation == "process" else True
    assert all(attempts[-1] == "succeeded" and attempts.count("succeeded") == 1 for attempts in ended)


def test_workers_killed_again_and_again_are_replaced(at_work: Project, mark: str) -> None:
    with at_work.engine() as engine:
        for _ in range(4):
            for pid in eventually(lambda: workers(mark)):
                os.kill(pid, signal.SIGKILL)
        enqueue(at_work, *["again"] * 5)
        engine.wait_for(lambda: len(at_work.runs(state="succeeded")) == 5)
        assert engine.terminate() == 0
    assert nobody_left(mark)
