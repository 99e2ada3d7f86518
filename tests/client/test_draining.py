"""Thousands of runs from four processes at once, while two engines work them off: each once, the urgent before others.

`ORCHESTRATOR_FULL=1` makes it ten thousand.
"""

from __future__ import annotations

import heapq
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.project import Project

ASKERS = 4
RUNS = 10_000 if os.environ.get("ORCHESTRATOR_FULL") else 1_000
JOBS = """\
version: 1
plugins: [plugins]
queues: {line: {}}
workers: {async_limit: 10}
jobs:
  note: {call: work.note, queue: line}
"""
WORK = """\
import asyncio, os
from orchestrator import Context

journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def note(context: Context):
    os.write(journal, f"{context.run_id}\\n".encode())
    await asyncio.sleep(0.02)  # so that one engine alone would need seconds, and the other gets its share
"""
ASKER = """
import random, sys
from orchestrator import Client
seed, count = int(sys.argv[1]), int(sys.argv[2])
drawn = random.Random(seed)
with Client("jobs.yaml", check=False) as client:
    client.prepare([{"job": "note"}])
    print("ready", flush=True)
    sys.stdin.readline()
    left = count
    while left:
        size = min(left, drawn.choice((1, 1, 5, 50, 200)))
        wanted = [{"job": "note", "priority": drawn.randrange(10)} for _ in range(size)]
        asked = [client.enqueue(**wanted[0])] if size == 1 else client.enqueue_many(wanted)
        print(*(one.id for one in asked), flush=True)
        left -= size
"""
LOG = """
CREATE TABLE line (at INTEGER PRIMARY KEY, run INTEGER, rank INTEGER, owner INTEGER, claimed INTEGER);
CREATE TRIGGER line_in AFTER INSERT ON runs
BEGIN INSERT INTO line (run, rank) VALUES (new.id, new.rank); END;
CREATE TRIGGER line_out AFTER UPDATE OF state ON runs WHEN new.state = 'running'
BEGIN INSERT INTO line (run, rank, owner, claimed) VALUES (new.id, new.rank, new.owner, new.started_at); END;
"""
"""What enters and leaves the line, in the order of the database's transactions: no clock has a say in it."""


@pytest.mark.timeout(900)
def test_each_is_executed_once_and_none_before_a_more_urgent_one_that_waits(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    with project.engine() as first:
        _log_the_line(project)
        with project.engine() as second:
            asked = _ask(project)
            first.wait_for(lambda: len(project.read("journal").split()) >= RUNS, deadline=800)
            assert [first.terminate(), second.terminate()] == [0, 0]
    assert len(asked) == len(set(asked)) == RUNS
    assert Counter(project.read("journal").split()) == Counter(map(str, asked))
    assert Counter(run["state"] for run in project.runs(count=2 * RUNS)) == {"succeeded": RUNS}
    _check_order(project)


def _log_the_line(project: Project) -> None:
    connection = sqlite3.connect(project.database, timeout=30)
    connection.executescript(LOG)
    connection.close()


def _ask(project: Project) -> list[int]:
    """Four processes that begin at the same moment; gives the ids that they were told."""
    askers = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", ASKER, str(seed), str(RUNS // ASKERS)],
            cwd=project.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(ASKERS)
    ]
    for asker in askers:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin is not None
        asker.stdin.write("go\n")
        asker.stdin.flush()
    told = [asker.communicate()[0] for asker in askers]
    assert [asker.returncode for asker in askers] == [0] * ASKERS
    return [int(number) for text in told for number in text.split()]


def _check_order(project: Project) -> None:
    """Whoever was claimed together went before everybody who was in the line by then, and stayed there."""
    waiting: list[tuple[int, int]] = []
    gone: set[int] = set()
    owners = set()
    overtaken = 0
    for (owner, _), group in groupby(_line(project), key=lambda row: row[2:]):
        entries = [(rank, run) for run, rank, *_ in group]
        if owner is None:
            for entry in entries:
                heapq.heappush(waiting, entry)
            continue
        owners.add(owner)
        gone.update(run for _, run in entries)
        while waiting and waiting[0][1] in gone:
            heapq.heappop(waiting)
        overtaken += len(waiting)
        assert not waiting or max(entries) < waiting[0]
    assert len(gone) == RUNS
    assert len(owners) == 2, "one engine did it all"
    assert overtaken, "there never was a line"


def _line(project: Project) -> Iterator[tuple[int, int, int | None, int | None]]:
    connection = sqlite3.connect(project.database)
    yield from connection.execute("SELECT run, rank, owner, claimed FROM line ORDER BY at")
    connection.close()
