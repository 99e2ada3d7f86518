"""How the engine starts from the command line, hears signals, and ends. Imports neither typer nor rich nor pydantic.

The process that compiles the plan is what takes longest, so it is started before anything else is imported here.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.place import Place, find_place
from orchestrator.cli.planning import Compilation

if TYPE_CHECKING:
    from orchestrator.cli.compiled import Compiled
    from orchestrator.cli.event_printer import EventPrinter
    from orchestrator.core.plan import Plan
    from orchestrator.engine.engine import Engine
    from orchestrator.engine.events import Event
    from orchestrator.store.store import Store

Say = Callable[["Event"], None]


class _StoppedEarly(BaseException):
    """A signal came before there was an engine to stop."""


def serve(config: Path | None, database: str | None, log_format: str) -> int:
    """Run the engine until it is told to stop; gives the exit status."""
    place = find_place(config, database)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_early)
    try:
        with Compilation(place.required_config()) as compilation:
            store = _open_store(place)  # meanwhile, on another core, the plan is made
            compiled = compilation.result()
        return _serve_plan(compiled, store, log_format)
    except _StoppedEarly:
        return 0


def _stop_early(_number: int, _frame: object) -> None:
    raise _StoppedEarly


def _open_store(place: Place) -> Store:
    from orchestrator.store.store import Store

    store = Store(place.url)
    import orchestrator.engine.engine
    import orchestrator.executors.local  # noqa: F401

    return store


def _serve_plan(compiled: Compiled, store: Store, log_format: str) -> int:
    import asyncio
    from zoneinfo import ZoneInfo

    from orchestrator.cli.diagnosis import print_diagnostics, require_plan
    from orchestrator.cli.event_lines import formatter
    from orchestrator.cli.event_printer import EventPrinter

    plan = require_plan(compiled, sys.stderr)
    print_diagnostics(compiled.diagnostics, sys.stderr)
    form = formatter(log_format, ZoneInfo(plan.timezone), max(map(len, plan.jobs), default=0))
    with EventPrinter(sys.stdout, form) as printer:
        asyncio.run(_run(plan, store, printer, with_banner=log_format == "text"))
    return 0


async def _run(plan: Plan, store: Store, printer: EventPrinter, *, with_banner: bool) -> None:
    from orchestrator.cli.banner import banner
    from orchestrator.core.clock import SystemClock
    from orchestrator.engine.engine import Engine
    from orchestrator.executors.local import LocalExecutor

    def say(event: Event) -> None:
        if with_banner and event.name == "engine.started":
            printer.put(banner(plan, str(store.database.path), engine.next_fires, event.at))
        else:
            printer.put(event)

    clock = SystemClock()
    engine = Engine(plan, store, LocalExecutor(clock), clock=clock, emit=say)
    _heed_signals(engine, say, clock.now)
    try:
        await engine.run()
    finally:
        await store.aclose()


def _heed_signals(engine: Engine, say: Say, now: Callable[[], datetime]) -> None:
    import asyncio

    from orchestrator.engine.events import Event

    asked: list[str] = []

    def stop(name: str) -> None:
        asked.append(name)
        if len(asked) == 1:
            engine.stop()
        else:
            say(Event(name="engine.hurrying", at=now(), fields={"signal": name}))
            engine.hurry()

    def hang_up() -> None:
        note = "reading jobs.yaml again while running is not possible yet: restart to apply a change"
        say(Event(name="signal.ignored", at=now(), level="warning", fields={"signal": "SIGHUP", "note": note}))

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
