"""A bed to try the local executor in: a folder with a plugin, a plan for it, and what was reported."""

from __future__ import annotations

import asyncio
import os
import re
import textwrap
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import kin
from orchestrator.core.clock import SystemClock
from orchestrator.core.plan import Job, Plan, PluginSources, Resource, Secret, Workers
from orchestrator.core.policies import Isolation
from orchestrator.executors.contract import Ended, Notice, Order, Output, Progress, Report, Saved
from orchestrator.executors.local import LocalExecutor

WITHIN = 30.0
FAR = timedelta(minutes=5)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return not Path("/proc/self").exists()


async def until(fact: Callable[[], Any], within: float = WITHIN) -> Any:
    """Wait for a fact, and give it."""
    deadline = time.monotonic() + within
    while not (value := fact()):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)
    return value


class Bed:
    """What a test says and hears. Calls are `work.<function>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[Report] = []
        self.ended: dict[int, Ended] = {}
        self.executor = LocalExecutor(SystemClock(), folder / "results")
        self.resources: dict[str, Resource] = {}
        self.secrets: dict[str, Secret] = {}
        self.vars: dict[str, Any] = {}
        self.workers = Workers(processes=2)
        self.skip: tuple[str, ...] = ()
        self._runs = 0
        self._source = ""

    def plugin(self, source: str) -> None:
        """Write `work.py`."""
        self._source = textwrap.dedent(source)
        self.folder.joinpath("plugins").mkdir(exist_ok=True)
        self.folder.joinpath("plugins/work.py").write_text(self._source)

    def plan(self, **changes: Any) -> Plan:
        """A plan with a job for each function of the plugin."""
        found = re.findall(r"^(async )?def (\w+)", self._source, re.MULTILINE)
        jobs = {
            name: Job(name=name, call=f"work.{name}", isolation=Isolation.ASYNC if is_async else Isolation.PROCESS)
            for is_async, name in found
        }
        settings = {
            "path": str(self.folder / "jobs.yaml"),
            "root": str(self.folder),
            "timezone": "UTC",
            "jobs": jobs,
            "sources": PluginSources(folders=(str(self.folder / "plugins"),), skip=self.skip),
            "workers": self.workers,
            "resources": self.resources,
            "secrets": self.secrets,
            "vars": self.vars,
        }
        return Plan(**{**settings, **changes})

    def play(self, story: Callable[[], Awaitable[None]], *, hurry: bool = True) -> None:
        """Run a test's story with the executor started; afterwards nothing of it may be left."""

        async def run() -> None:
            await self.executor.start(self.plan(), self.heard)
            try:
                await asyncio.wait_for(story(), 90)
            finally:
                await self.stop(0, hurry=hurry)
            assert kin._find(self.executor._mark, frozenset()) == []

        asyncio.run(run())

    async def stop(self, grace: float, *, hurry: bool = False) -> None:
        await self.executor.stop(timedelta(seconds=grace), lambda: hurry)

    def heard(self, reports: list[Report]) -> None:
        self.reports += reports
        for report in reports:
            if isinstance(report, Ended):
                assert report.run_id not in self.ended, "an order ended twice"
                self.ended[report.run_id] = report

    def submit(self, call: str, /, count: int = 1, **changes: Any) -> list[int]:
        """Order attempts of `work.<call>`; gives their run ids."""
        orders = [self.order(call, **changes) for _ in range(count)]
        self.executor.submit(orders)
        return [order.run_id for order in orders]

    def order(self, call: str, /, *, timeout: float | None = 60, grace: float = 5, **changes: Any) -> Order:
        self._runs += 1
        is_async = f"async def {call}(" in self._source
        settings: dict[str, Any] = {
            "run_id": self._runs,
            "attempt": 1,
            "number": 1,
            "job": call,
            "call": f"work.{call}",
            "isolation": Isolation.ASYNC if is_async else Isolation.PROCESS,
            "params": {},
            "cause": "manual",
            "fire_time": None,
            "timezone": "UTC",
            "max_attempts": 3,
            "timeout": None if timeout is None else timedelta(seconds=timeout),
            "grace": timedelta(seconds=grace),
        }
        return Order(**{**settings, **changes})

    async def end_of(self, run_id: int, within: float = WITHIN) -> Ended:
        return await until(lambda: self.ended.get(run_id), within)

    async def run(self, call: str, /, **changes: Any) -> Ended:
        """Order one attempt and wait for its end."""
        return await self.end_of(self.submit(call, **changes)[0])

    async def ends_of(self, run_ids: list[int], within: float = WITHIN) -> list[Ended]:
        await until(lambda: all(run_id in self.ended for run_id in run_ids), within)
        return [self.ended[run_id] for run_id in run_ids]

    def of(self, kind: type, run_id: int) -> list[Any]:
        return [r for r in self.reports if isinstance(r, kind) and getattr(r, "run_id", None) == run_id]

    def text(self, run_id: int, stream: str = "stdout") -> str:
        return "".join(output.text for output in self.of(Output, run_id) if output.stream == stream)

    def progress(self, run_id: int) -> list[Progress]:
        return self.of(Progress, run_id)

    def saved(self, run_id: int) -> list[Any]:
        return [saved.value for saved in self.of(Saved, run_id)]

    def notices(self, event: str) -> list[Notice]:
        return [r for r in self.reports if isinstance(r, Notice) and r.event == event]

    async def written(self, name: str, within: float = WITHIN) -> str:
        """The text of a file in the folder, once it is there and ends with a newline."""
        path = self.folder / name
        await until(lambda: path.exists() and path.read_text().endswith("\n"), within)
        return path.read_text()

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    until = staticmethod(until)
    alive = staticmethod(alive)

    @staticmethod
    def utc(moment: datetime | None) -> datetime:
        assert moment is not None
        assert moment.utcoffset() == timedelta(0)
        return moment


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)
