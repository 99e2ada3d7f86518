"""How the engine starts from the command line, and ends. Imports neither typer nor rich nor pydantic.

The process that compiles the plan is what takes longest, so it is started before anything else is imported here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.signals import EarlySignals, StoppedEarly
from orchestrator.client.place import Place, find_place
from orchestrator.client.planning import Compilation
from orchestrator.core.errors import ShortageError
from orchestrator.core.shortage import lacks_files, limit_in_words

if TYPE_CHECKING:
    from orchestrator.client.compiled import Compiled
    from orchestrator.store.store import Store

FILES_NEEDED = 56
"""Descriptors for the engine itself, a worker of each isolation, and a reload."""


def serve(config: Path | None, database: str | None, log_format: str, *, watch: bool = True) -> int:
    """Run the engine until it is told to stop; gives the exit status. With `watch`, edited files are applied."""
    _require_files()
    place = find_place(config, database)
    signals = EarlySignals()
    try:
        began = time.time_ns()
        with Compilation(place.required_config()) as compilation:
            store = _meanwhile(place)
            compiled = compilation.result()
        return _serve_plan(compiled, place, store, began, log_format, watch=watch, hung_up=lambda: signals.hung_up)
    except StoppedEarly:
        return 0


def _require_files() -> None:
    """It is better to say so now than to begin, and then be unable to start a worker or open the database."""
    if lacks_files(FILES_NEEDED):
        raise ShortageError(
            f"the engine needs {FILES_NEEDED} file descriptors, and fewer are left of the {limit_in_words()}"
        )


def _meanwhile(place: Place) -> Store | None:
    """What another core has time for while the plan is made. A database that isn't there yet is only made for a plan
    that can be used."""
    from orchestrator.store.store import Store

    store = Store(place.url) if place.has_state else None
    import orchestrator.cli.session  # noqa: F401 - it brings the engine along

    if store is None:
        import alembic.command  # noqa: F401 - the tables are to be made at once then
    return store


def _serve_plan(
    compiled: Compiled,
    place: Place,
    store: Store | None,
    began: int,
    log_format: str,
    *,
    watch: bool,
    hung_up: Callable[[], bool],
) -> int:
    import asyncio

    from orchestrator.cli.diagnosis import print_diagnostics, require_plan
    from orchestrator.cli.session import Session
    from orchestrator.store.store import Store

    plan = require_plan(compiled, sys.stderr)
    print_diagnostics(compiled.diagnostics, sys.stderr)
    with Session(compiled, plan, began, log_format, watch=watch) as session:
        asyncio.run(session.run(store or Store(place.url), reload_first=hung_up()))
    return 0
