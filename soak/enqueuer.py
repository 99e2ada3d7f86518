"""Who asks for work: a process of its own, killed like the others, that notes each run once it is told "accepted"."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from orchestrator.core.clock import SystemClock
from orchestrator.core.plan import Plan
from orchestrator.core.runs import Cause
from orchestrator.engine.newruns import new_run
from orchestrator.store import instances, queries
from orchestrator.store.creation import create_runs
from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store
from orchestrator.store.wake import wake
from soak.project import Project
from soak.wrapping import prepare

MOST_WAITING = 5_000
"""Unfinished runs beyond which nothing more is asked for: the drain at the end has to be short."""
SPECIAL = ("once", "once-async", "narrow", "killer", "thread-killer", "edited")
SPECIAL_SHARE = 0.3


async def enqueue(project: Project, rate: float, *, seed: int, limit: int | None = None) -> None:
    """Create `rate` runs a second in batches, for ever or until there are `limit`."""
    plan, drawn = project.plan(), random.Random(seed)
    journal = os.open(project.acknowledged, os.O_WRONLY | os.O_APPEND)
    store = Store(sqlite_url(project.database))
    store.start_writer(lambda _: None)
    created, next_at = 0, time.monotonic()
    while limit is None or created < limit:
        size = drawn.choice((1, 5, 20, 60, 200))
        size = size if limit is None else min(size, limit - created)
        made = await _create(store, plan, drawn, size, journal)
        created += made
        # What a lock or a full disk held up is made up for, but no more than a second of it.
        next_at = max(next_at + made / rate, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, next_at - time.monotonic()))
        while sum((await store.read_soon(queries.count_active)).values()) > MOST_WAITING:  # noqa: ASYNC110 - other processes work it off
            await asyncio.sleep(0.2)
    await store.aclose()


async def _create(store: Store, plan: Plan, drawn: random.Random, size: int, journal: int) -> int:
    now = SystemClock().now()
    names = [name for name in plan.jobs if name.startswith("bulk-")]
    if drawn.random() < SPECIAL_SHARE:
        names, size = list(SPECIAL), min(size, 10)
    new = [new_run(plan.jobs[drawn.choice(names)], Cause.MANUAL, now) for _ in range(size)]
    made = await store.submit(create_runs, new)
    os.write(journal, (" ".join(str(one.id) for one in made) + "\n").encode())
    wake(await store.read_soon(instances.living))
    return size


def main() -> None:
    """`python -m soak.enqueuer FOLDER SEED RATE OPTIONS`."""
    folder, seed, rate, options = sys.argv[1:]
    prepare(options)
    asyncio.run(enqueue(Project(Path(folder), int(seed)), float(rate), seed=int(seed)))


if __name__ == "__main__":
    main()
