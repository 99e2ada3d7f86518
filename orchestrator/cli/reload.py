"""`orchestrator reload`: have the engines read their configuration again, and say what came of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.engines import has_process, is_here, named
from orchestrator.cli.errors import CommandError
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption
from orchestrator.client.place import find_place

if TYPE_CHECKING:
    from orchestrator.store.instances import Instance
    from orchestrator.store.store import Store

REFUSED = 2
_LOOK_EVERY = 0.05
TimeoutOption = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for an engine to say what came of it.")
]


def reload(timeout: TimeoutOption = 60.0, config: ConfigOption = None, db: DbOption = None) -> None:
    """Apply the configuration as it is now.

    Every engine of this machine reads its files again. Exit status 0 when it is applied, 2 when it is refused: then
    the engine goes on with what it had.
    """
    from orchestrator.store import instances

    with opened_store(find_place(config, db)) as store:
        engines = store.read(instances.living)
        asked = [engine for engine in engines if _ask(engine)]
        for engine in engines:
            if not is_here(engine):
                print(f"{named(engine)} can't be reached from here: reload it there", file=sys.stderr)
        if not asked:
            raise NoEngineError("no engine is running here", "`orchestrator run` starts one, with the present files")
        ends = [_outcome(store, engine, timeout) for engine in asked]
    if any(ends):
        raise typer.Exit(max(ends))


class NoEngineError(CommandError):
    """There is nobody to ask."""

    exit_code = 1


def _ask(engine: Instance) -> bool:
    """Send the signal. The engine's socket proves that the process of that number is still the engine."""
    if not has_process(engine):
        return False
    try:
        os.kill(engine.pid, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError:
        hint = "use the account that it runs under"
        raise NoEngineError(f"{named(engine)} belongs to another user", hint) from None
    return True


def _outcome(store: Store, before: Instance, timeout: float) -> int:
    """Wait for the engine to note what came of it, tell, and give the exit status."""
    from orchestrator.store import instances

    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        now = {engine.id: engine for engine in store.read(instances.living)}.get(before.id)
        if now is None or not has_process(now):
            print(f"{named(before)} has stopped", file=sys.stderr)
            return 1
        if now.config_at > before.config_at:
            return _tell(now)
        time.sleep(_LOOK_EVERY)
    print(f"{named(before)} has not answered in {timeout:g}s; `orchestrator status` tells later", file=sys.stderr)
    return 1


def _tell(engine: Instance) -> int:
    if engine.config_error is None:
        print(f"{named(engine)} uses {engine.plan_path} as it is now")
        return 0
    print(f"{named(engine)} goes on as it was: {engine.config_error}", file=sys.stderr)
    return REFUSED
