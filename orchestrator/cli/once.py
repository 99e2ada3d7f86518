"""How `orchestrator run --once` executes a run in the foreground: output as it comes, the outcome as exit status."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.following import LOOK_EVERY, Follower, OutputPrinter, exit_status
from orchestrator.cli.opening import opened_store
from orchestrator.cli.params import check_params
from orchestrator.cli.signals import StopSignals, disregard
from orchestrator.client.job_names import usable_job
from orchestrator.client.place import find_place
from orchestrator.client.planning import Compilation

if TYPE_CHECKING:
    from orchestrator.cli.event_lines import Format
    from orchestrator.core.plan import Plan
    from orchestrator.core.runs import Run
    from orchestrator.engine.events import Event
    from orchestrator.store.store import Store

INTERRUPTED = 130


def _already_hurried(_signal: str) -> None:
    """The first signal interrupts; a second one must not disturb how that ends."""


def run_once_here(
    config: Path | None,
    database: str | None,
    which: str | Callable[[Plan], str],
    params: dict[str, Any],
    log_format: str,
    *,
    check: bool = True,
) -> int:
    """Create a run of a job, execute it in this process with its retries, and give its exit status."""
    from orchestrator.cli.event_lines import formatter

    place = find_place(config, database)
    with Compilation(place.required_config()) as compilation:
        plan = require_plan(compilation.result(), sys.stderr)
    job_name = which if isinstance(which, str) else which(plan)
    job = usable_job(plan, job_name)
    if params and check:
        check_params(plan, job, params)
    with opened_store(place, create=True) as store:
        form = formatter(log_format, ZoneInfo(plan.timezone), len(job_name), sys.stderr)
        try:
            return exit_status(asyncio.run(_Foreground(plan, store, form).execute(job_name, params)))
        except asyncio.CancelledError:
            return INTERRUPTED


class _Foreground:
    """One run between the engine that executes it and the person who watches."""

    def __init__(self, plan: Plan, store: Store, form: Format) -> None:
        self._plan = plan
        self._store = store
        self._format = form
        self._run_id: int | None = None

    async def execute(self, job_name: str, params: dict[str, Any]) -> Run:
        from orchestrator.core.clock import SystemClock
        from orchestrator.engine.once import run_once
        from orchestrator.executors.local import LocalExecutor

        clock = SystemClock()
        executor = LocalExecutor(clock, self._store.database.results)
        running = asyncio.create_task(
            run_once(self._plan, self._store, executor, job_name, params, clock=clock, emit=self._tell)
        )
        StopSignals(running.cancel, _already_hurried).heed()
        try:
            await self._show_output(running)
            return await running
        finally:
            await self._store.aclose()
            disregard()

    def _tell(self, event: Event) -> None:
        if event.name == "run.created":
            self._run_id = event.fields["run_id"]
        elif not event.name.startswith("engine.") and (line := self._format(event)):
            print(line, file=sys.stderr, flush=True)

    async def _show_output(self, running: asyncio.Task[Run]) -> None:
        printer = OutputPrinter(ZoneInfo(self._plan.timezone))
        follower: Follower | None = None
        done = False
        while not done:
            done = bool((await asyncio.wait([running], timeout=LOOK_EVERY))[0])
            if follower is None and self._run_id is not None:
                follower = Follower(self._store, self._run_id)
            if follower is not None:
                _, pieces = await asyncio.to_thread(follower.look)
                for piece in pieces:
                    printer.show(piece)
        printer.finish()
