"""Short attempts wait in line at a worker; each is executed exactly once all the same."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from orchestrator.core.plan import Workers
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome

JOURNAL = """
    import os, time
    fd = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def mark(n: int, seconds: float = 0):
        os.write(fd, b"%d\\n" % n)
        if seconds:
            time.sleep(seconds)
    def other(n: int = 0, seconds: float = 0):
        time.sleep(seconds)
"""


def test_thousands_of_quick_and_some_slow_attempts_are_each_executed_once(bed: Any) -> None:
    bed.workers = Workers(processes=3)
    bed.plugin(JOURNAL)
    rng = random.Random(7)
    slow = set(rng.sample(range(5000), 25))

    async def story() -> None:
        orders = [bed.order("mark", params={"n": n, "seconds": 0.12 if n in slow else 0}) for n in range(5000)]
        bed.executor.submit(orders)
        ended = await bed.ends_of([order.run_id for order in orders], 60)
        done = Counter(e.outcome for e in ended)
        released = [o.params["n"] for o in orders if bed.ended[o.run_id].outcome is Outcome.RELEASED]
        assert set(done) <= {Outcome.SUCCEEDED, Outcome.RELEASED}
        journal = Counter(map(int, bed.lines("journal")))
        assert set(journal.values()) == {1}
        assert sorted([*journal, *released]) == list(range(5000))

    bed.play(story)


def test_those_behind_an_unexpectedly_long_attempt_do_not_wait_for_it(bed: Any) -> None:
    bed.workers = Workers(processes=1)
    bed.plugin(JOURNAL)

    async def story() -> None:
        for n in range(60):
            await bed.run("mark", params={"n": n})
        assert bed.executor.capacity(Isolation.PROCESS) > 20
        bed.workers = Workers(processes=2)
        bed.executor.apply(bed.plan())
        await bed.until(lambda: len(bed.notices("worker.ready")) >= 3)
        for n in range(60, 90):
            await bed.run("mark", params={"n": n})
        long = bed.submit("mark", params={"n": 1000, "seconds": 30})[0]
        quick = [bed.submit("mark", params={"n": n})[0] for n in range(2000, 2040)]
        began = time.monotonic()
        assert {e.outcome for e in await bed.ends_of(quick)} == {Outcome.SUCCEEDED}
        assert time.monotonic() - began < 20
        assert long not in bed.ended
        await bed.until(lambda: "1000" in bed.lines("journal"))
        assert len(bed.lines("journal")) == 90 + 1 + 40

    bed.play(story)


def test_long_attempts_are_not_hoarded(bed: Any) -> None:
    bed.workers = Workers(processes=2)
    bed.plugin(JOURNAL)

    async def story() -> None:
        assert bed.executor.capacity(Isolation.PROCESS) == 2
        await bed.ends_of(bed.submit("other", count=2, params={"seconds": 0.2}))
        assert bed.executor.capacity(Isolation.PROCESS) == 2
        bed.submit("other", params={"seconds": 30})
        assert bed.executor.capacity(Isolation.PROCESS) == 1

    bed.play(story)


def test_what_was_taken_on_in_vain_is_given_back(bed: Any) -> None:
    bed.workers = Workers(processes=1)
    bed.plugin(JOURNAL)

    async def story() -> None:
        for n in range(30):
            await bed.run("mark", params={"n": n})
        long = bed.submit("mark", params={"n": 100, "seconds": 30})
        waiting = [bed.submit("mark", params={"n": 200 + n})[0] for n in range(20)]
        for ended in await bed.ends_of(waiting):
            assert (ended.outcome, ended.started_at) == (Outcome.RELEASED, None)
        assert bed.executor.capacity(Isolation.PROCESS) == 0
        assert not set(long) & set(bed.ended)
        assert len(bed.lines("journal")) == 31

    bed.play(story)


def test_workers_grow_on_demand_up_to_the_limit(bed: Any) -> None:
    bed.workers = Workers(processes=4)
    bed.plugin(JOURNAL)

    async def story() -> None:
        ended = await bed.ends_of(bed.submit("other", count=4, params={"seconds": 1.5}))
        assert len({e.worker_pid for e in ended}) == 4
        assert len(bed.notices("worker.started")) == 4

    bed.play(story)
