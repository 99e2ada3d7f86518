"""A long job whose engine is killed again and again: it goes on where it was, and everyone can see how far it is."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.faults.processes import nobody_left
from tests.project import Project, Running

COUNT, SIZE, STUCK = 200, 10, 70
JOBS = """\
version: 1
plugins: [plugins]
defaults: {timeout: none, retry: {max_attempts: 3, delay: 0s}}
jobs:
  chunks: {call: work.chunks, heartbeat: 1m}
  chunks-async: {call: work.chunks_async, heartbeat: 1m}
  sleeper: {call: work.sleeper}
  silent: {call: work.silent, heartbeat: 300ms, grace: 100ms}
"""
WORK = f"""\
import asyncio, os, time
from orchestrator import Context

def note(context, *words):
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, " ".join(map(str, (context.attempt, *words))).encode() + b"\\n")
    os.close(journal)

def chunks(context: Context):
    for chunk in context.chunked(range({COUNT}), {SIZE}):
        note(context, *chunk)
        if chunk[0] == {STUCK} * context.attempt and context.attempt < 3:
            time.sleep(3600)
    return "done"

async def chunks_async(context: Context):
    async for chunk in context.achunked(range({COUNT}), {SIZE}):
        note(context, *chunk)
        if chunk[0] == {STUCK} * context.attempt and context.attempt < 3:
            await asyncio.sleep(3600)
    return "done"

def sleeper(context: Context):
    context.sleep(3600 if context.attempt == 1 else 7200)

def silent(context: Context):
    if context.attempt == 1:
        sum(range(10**13))
    return "the second time"
"""


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def kill(engine: Running, mark: str) -> None:
    engine.signal(signal.SIGKILL)
    engine.wait()
    assert nobody_left(mark)


@pytest.mark.parametrize("job", ["chunks", "chunks-async"])
def test_each_chunk_is_done_in_order_however_often_the_engine_is_killed(at_work: Project, mark: str, job: str) -> None:
    at_work.cli("trigger", job).ok()
    for attempt in (1, 2):
        with at_work.engine() as engine:
            run = engine.wait_for(lambda attempt=attempt: _so_far(at_work, attempt * STUCK))
            (listed,) = at_work.cli("runs", "--json").ok().json
            assert (listed["state"], listed["progress"]) == ("running", [attempt * STUCK, COUNT])
            assert f"running, {attempt * STUCK} of {COUNT} (" in at_work.cli("show", str(run["id"])).ok().out
            kill(engine, mark)
    with at_work.engine() as engine:
        engine.wait_for(lambda: at_work.runs(state="succeeded"))
    chunks = [line.split() for line in at_work.read("journal").splitlines()]
    begun = {attempt: [int(first) for number, first, *_ in chunks if number == attempt] for attempt in "123"}
    assert begun == {
        "1": [*range(0, STUCK + 1, SIZE)],
        "2": [*range(STUCK, 2 * STUCK + 1, SIZE)],
        "3": [*range(2 * STUCK, COUNT, SIZE)],
    }


def _so_far(project: Project, done: int) -> dict[str, object] | None:
    running = project.runs(state="running")
    return running[0] if running and running[0]["progress"] and running[0]["progress"][0] == done else None


def test_a_sleep_goes_on_by_the_clock_after_a_kill(at_work: Project, mark: str) -> None:
    """The second attempt asks for two hours at the same line of code, but less than one is left."""
    at_work.cli("trigger", "sleeper").ok()
    kept = []
    for _ in (1, 2):
        with at_work.engine() as engine:
            kept.append(engine.wait_for(lambda: _stored_after(at_work, kept)))
            kill(engine, mark)
    assert kept[0][1] == kept[1][1]


def _stored_after(
    project: Project, kept: list[tuple[object, dict[str, float]]]
) -> tuple[object, dict[str, float]] | None:
    """When a checkpoint was saved that isn't the last one known, and the ends of sleeps in it."""
    with closing(sqlite3.connect(project.database)) as connection:
        row = connection.execute("SELECT saved_at, value FROM checkpoints").fetchone()
    if row is None or (kept and kept[-1][0] == row[0]):
        return None
    return row[0], json.loads(row[1])["$orchestrator"][1]


def test_a_silent_attempt_is_recorded_as_crashed_and_tried_again(at_work: Project, mark: str) -> None:
    at_work.cli("trigger", "silent").ok()
    with at_work.engine() as engine:
        run = engine.wait_for(lambda: at_work.runs(state="succeeded"))[0]
        shown = at_work.show(run["id"])
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["crashed", "succeeded"]
    assert shown["attempts"][0]["error"]["message"].startswith("no heartbeat for 300ms")
    assert shown["run"]["result"] == "the second time"
