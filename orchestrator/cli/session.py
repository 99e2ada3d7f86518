"""Who is told what while an engine works? The console its events, the supervisor its state, and the engine the signals
and the edits of its configuration."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from orchestrator.cli.banner import banner
from orchestrator.cli.diagnosis import diagnostics_text
from orchestrator.cli.event_lines import formatter
from orchestrator.cli.event_printer import EventPrinter
from orchestrator.cli.reloading import Reloader
from orchestrator.cli.signals import StopSignals, disregard, on_signal
from orchestrator.cli.supervisor import Supervisor
from orchestrator.client.compiled import Compiled
from orchestrator.core.clock import SystemClock
from orchestrator.core.plan import Plan
from orchestrator.engine.engine import Engine
from orchestrator.engine.events import Event
from orchestrator.executors.local import LocalExecutor

if TYPE_CHECKING:
    from orchestrator.store.store import Store


class Session:
    """One engine's working life on the command line. As a context it prints what is left at the end."""

    def __init__(self, compiled: Compiled, plan: Plan, began: int, log_format: str, *, watch: bool) -> None:
        """`began` is when the compilation did; the diagnostics of `compiled` have been printed."""
        self._compiled = compiled
        self._plan = plan
        self._began = began
        self._log_format = log_format
        self._watch = watch
        self._told = diagnostics_text(compiled.diagnostics, sys.stderr)
        self._supervisor = Supervisor.from_environment()
        self._format = self._new_format(plan)
        self._out = EventPrinter(sys.stdout, lambda event: self._format(event))  # noqa: PLW0108 - it is replaced
        self._err = EventPrinter(sys.stderr, str)

    def __enter__(self) -> Self:
        self._out.__enter__()
        self._err.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._err.__exit__()
        self._out.__exit__()

    async def run(self, store: Store, *, reload_first: bool = False) -> None:
        """Work until a signal stops it."""
        self._store = store
        self._started = asyncio.Event()
        clock = SystemClock()
        executor = LocalExecutor(clock, store.database.results)
        self._engine = Engine(self._plan, store, executor, clock=clock, emit=self._say)
        reloader = Reloader(
            self._engine,
            self._compiled,
            self._plan,
            self._began,
            emit=self._say,
            audience=self,
            watch=self._watch,
        )
        if reload_first:
            reloader.ask()
        self._reloading = asyncio.create_task(self._once_started(reloader.run))
        living = asyncio.create_task(self._once_started(lambda: self._supervisor.keep_alive(store)))
        StopSignals(self._stop, self._hurry).heed()
        on_signal(signal.SIGHUP, reloader.ask)
        try:
            await self._engine.run()
        finally:
            self._reloading.cancel()
            living.cancel()
            await asyncio.gather(self._reloading, living, return_exceptions=True)
            await store.aclose()
            disregard()

    # As the audience of reloads.

    def reloading(self) -> None:
        """The configuration is being read again."""
        self._supervisor.reloading()

    def reloaded(self, plan: Plan, *, refused: str | None) -> None:
        """It has been read, and this plan is the one in use."""
        if (plan.timezone, _widest(plan)) != (self._plan.timezone, _widest(self._plan)):
            self._format = self._new_format(plan)
        self._plan = plan
        note = f"; the edited configuration is refused: {refused}" if refused else ""
        self._supervisor.ready(_status(plan) + note)

    def mistakes(self, compiled: Compiled) -> None:
        """Print diagnostics, unless they are those that were printed last. A paused terminal holds up nothing."""
        text = diagnostics_text(compiled.diagnostics, sys.stderr)
        if text and text != self._told:
            self._err.put(text)
        self._told = text

    def _say(self, event: Event) -> None:
        if event.name == "engine.started":
            self._started.set()
            self._supervisor.ready(_status(self._plan))
            if self._log_format == "text":
                path = str(self._store.database.path)
                self._out.put(banner(self._plan, path, self._engine.next_fires, event.at))
                return
        self._out.put(event)

    def _stop(self) -> None:
        self._reloading.cancel()
        self._supervisor.stopping("finishing what runs")
        self._engine.stop()

    def _hurry(self, name: str) -> None:
        self._supervisor.stopping("interrupting what runs")
        self._say(Event(name="engine.hurrying", at=datetime.now(UTC), fields={"signal": name}))
        self._engine.hurry()

    async def _once_started(self, work: Callable[[], Awaitable[None]]) -> None:
        """Something beside the engine. Should it fail for a reason that nobody foresaw, the engine goes on."""
        await self._started.wait()
        try:
            await work()
        except Exception as error:  # noqa: BLE001
            fields = {"error": f"{type(error).__name__}: {error}", "note": "restart to have it again"}
            self._say(Event(name="engine.impaired", at=datetime.now(UTC), level="error", fields=fields))

    def _new_format(self, plan: Plan) -> Callable[[Event], str]:
        return formatter(self._log_format, ZoneInfo(plan.timezone), _widest(plan))


def _widest(plan: Plan) -> int:
    return max(map(len, plan.jobs), default=0)


def _status(plan: Plan) -> str:
    return f"{len(plan.declared)} jobs from {plan.path}"
