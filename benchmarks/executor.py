"""How many no-op attempts a second does the local executor alone manage? `python benchmarks/executor.py [seconds]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from orchestrator.core.clock import SystemClock
from orchestrator.core.plan import Job, Plan, PluginSources, Workers
from orchestrator.core.policies import Isolation
from orchestrator.executors.contract import Ended, Order, Report
from orchestrator.executors.local import LocalExecutor

PLUGIN = """
def nothing():
    pass

async def nothing_async():
    pass
"""
CALLS = {
    Isolation.PROCESS: "noop.nothing",
    Isolation.THREAD: "noop.nothing",
    Isolation.ASYNC: "noop.nothing_async",
}


def order(number: int, isolation: Isolation) -> Order:
    return Order(
        run_id=number,
        attempt=1,
        number=1,
        job=isolation.value,
        call=CALLS[isolation],
        isolation=isolation,
        params={},
        cause="manual",
        fire_time=None,
        timezone="UTC",
        max_attempts=1,
        timeout=timedelta(seconds=30),
        grace=timedelta(seconds=5),
    )


class Bench:
    """Keeps an executor fed as an engine would: what has room is filled whenever results arrive."""

    def __init__(self, isolation: Isolation, root: str) -> None:
        self.isolation = isolation
        job = Job(name=isolation.value, call=CALLS[isolation], isolation=isolation)
        self.plan = Plan(
            path=f"{root}/jobs.yaml",
            root=root,
            timezone="UTC",
            jobs={job.name: job},
            sources=PluginSources(folders=(root,)),
            workers=Workers(processes=2),
        )
        self.executor = LocalExecutor(SystemClock(), Path(root, "results"))
        self.ended = 0
        self.submitted = 0
        self.feeding = True
        self.first = asyncio.Event()

    def report(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report, Ended):
                if report.outcome not in ("succeeded", "released"):
                    print(report)
                self.ended += 1
                self.first.set()
        self.feed()

    def feed(self) -> None:
        room = self.executor.capacity(self.isolation) if self.feeding else 0
        if room:
            self.executor.submit([order(self.submitted + i, self.isolation) for i in range(room)])
            self.submitted += room

    async def run(self, seconds: float) -> None:
        began = time.perf_counter()
        await self.executor.start(self.plan, self.report)
        self.feed()
        await self.first.wait()
        print(f"{self.isolation.value:8} first result after {1000 * (time.perf_counter() - began):.0f} ms", end="; ")
        await asyncio.sleep(0.5)
        ended, since = self.ended, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (self.ended - ended) / (time.perf_counter() - since)
        self.feeding = False
        began = time.perf_counter()
        await self.executor.stop(timedelta(seconds=5), lambda: False)
        print(f"{rate:,.0f} attempts/s; stopped in {1000 * (time.perf_counter() - began):.0f} ms")
        assert self.ended == self.submitted, (self.ended, self.submitted)


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    chosen = [Isolation(name) for name in sys.argv[2:]] or list(Isolation)
    with tempfile.TemporaryDirectory() as root:
        Path(root, "noop.py").write_text(PLUGIN)  # noqa: ASYNC240
        for isolation in chosen:
            await Bench(isolation, root).run(seconds)


if __name__ == "__main__":
    asyncio.run(main())
