"""A process that is killed at any moment has lost nothing that it had acknowledged, and the database is whole."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from orchestrator.core.runs import RunState
from orchestrator.store import endings, instances, queries
from orchestrator.store.database import sqlite_url
from orchestrator.store.queries import RunFilter
from orchestrator.store.store import Store

KILLS = 20
WORKER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Attempt, Cause, LogLine, Outcome, RunState
from orchestrator.store import batches, claims, creation, instances
from orchestrator.store.output import SavedValue
from orchestrator.store.store import Store

now = datetime(2026, 3, 2, 12, tzinfo=UTC)

def say(word, ids):
    sys.stdout.write("".join(f"{word} {one}\\n" for one in ids))
    sys.stdout.flush()

async def create(store, lane):
    while True:
        new = creation.NewRun(job=lane, cause=Cause.MANUAL, created_at=now, due_at=now, params={"text": "x" * 300})
        say("created", [one.id for one in await store.submit(creation.create_runs, [new] * 7)])

def ending(run, owner):
    record = Attempt(run_id=run.id, attempt=run.attempt, number=1, outcome=Outcome.SUCCEEDED, owner=owner,
                     started_at=now, finished_at=now)
    return batches.Ending(run_id=run.id, attempt=run.attempt, state=RunState.SUCCEEDED, record=record, result=run.id)

async def execute(store, owner):
    request = claims.ClaimRequest(owner=owner, now=now, capacity={Isolation.PROCESS: 20}, queues=["default"],
                                  queue_limits={}, job_limits={})
    while True:
        held = (await store.submit(claims.claim, request)).runs
        say("claimed", [run.id for run in held])
        logs = [LogLine(run_id=run.id, attempt=run.attempt, at=now, stream="stdout", text="hello") for run in held]
        saved = [SavedValue(run_id=run.id, attempt=run.attempt, value=1) for run in held]
        await store.submit(batches.write_batch, batches.Batch(owner=owner, logs=logs, saved=saved), now)
        say("heard", [run.id for run in held])
        batch = batches.Batch(owner=owner, endings=[ending(run, owner) for run in held[:15]])
        say("succeeded", list((await store.submit(batches.write_batch, batch, now)).states))

async def main():
    store = Store(sys.argv[1])
    store.start_writer(lambda message: print("trouble", message, flush=True))
    owner = await store.submit(instances.register, host="here", pid=1, plan_path="jobs.yaml", wake_path=None,
                               now=now, lease_until=now + timedelta(seconds=30))
    say("registered", [owner])
    await asyncio.gather(create(store, "a"), create(store, "b"), execute(store, owner))

asyncio.run(main())
"""


class Witness:
    """What the killed processes had acknowledged, and whether the database agrees."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: dict[str, set[int]] = {"registered": set(), "created": set(), "claimed": set(), "heard": set()}
        self.told["succeeded"] = set()

    def watch(self, lines: int) -> None:
        """Let a process work until it has acknowledged so much, kill it, and hear what it still had to say."""
        command = [sys.executable, "-c", WORKER, sqlite_url(self.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in islice(process.stdout, lines):
                self.hear(line)
            process.send_signal(signal.SIGKILL)
            for line in process.stdout:
                self.hear(line)
        assert process.returncode == -signal.SIGKILL

    def hear(self, line: str) -> None:
        if line.endswith("\n"):  # what the kill cut off is not an acknowledgement
            word, _, number = line.partition(" ")
            self.told[word].add(int(number))

    def compare(self) -> None:
        connection = sqlite3.connect(self.path)
        kept = {
            "registered": "SELECT id FROM instances",
            "created": "SELECT id FROM runs",
            "claimed": "SELECT id FROM runs WHERE attempt > 0",
            "heard": "SELECT run_id FROM logs",
            "succeeded": "SELECT id FROM runs WHERE state = 'succeeded' AND result = CAST(id AS TEXT)",
        }
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for word, query in kept.items():
            missing = self.told[word] - {number for (number,) in connection.execute(query)}
            assert not missing, f"{word} and lost: {sorted(missing)[:10]}"
        ended = set(connection.execute("SELECT id FROM runs WHERE state = 'succeeded'"))
        assert ended == set(connection.execute("SELECT run_id FROM attempts"))
        connection.close()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    path = tmp_path / "orchestrator.db"
    Store(sqlite_url(path)).close()
    return Witness(path)


def test_what_was_acknowledged_before_a_kill_is_there_after_it(witness: Witness) -> None:
    moments = random.Random(20260302)
    for _ in range(KILLS):
        witness.watch(moments.choice([1, 2, 20, 100, 400, 1000]) + moments.randrange(40))
        witness.compare()
    assert min(len(told) for told in witness.told.values()) >= KILLS


def test_what_a_killed_process_held_is_found_and_goes_back_to_the_line(witness: Witness) -> None:
    witness.watch(500)
    store = Store(sqlite_url(witness.path))
    (owner,) = witness.told["registered"]
    now = store.read(queries.get_run, 1).created_at
    store.write(instances.retire, owner, now)
    assert store.read(instances.orphan_owners) == [owner]
    held = store.read(queries.running_of, [owner], 10_000)
    ends = [endings.Ending(run_id=run.id, attempt=run.attempt, state=RunState.QUEUED, record=None) for run in held]
    assert len(store.write(endings.settle, owner, ends, now).states) == len(held)
    states = {run.state for run in store.read(queries.list_runs, RunFilter(limit=100_000))}
    assert RunState.RUNNING not in states
    store.close()
