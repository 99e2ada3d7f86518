"""A plugin of tests: it puts gates around what another plugin's callables do, which stay as they are.

The gates of a callable are `NAME.begun`; `NAME.read-1` when it has read from the database for the first time;
`NAME.commit-1` before its first transaction is committed, `NAME.committed-1` after that, and so on; `NAME.done` when
all that is left is to tell of the end. Where it is for one of many days, NAME is `name-DAY`. Every arrival is noted in
a journal, and who arrives at a gate that is shut waits. `example_gates.Gates` is the test's side.
"""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FOLDER = Path("gates")
_POLL = 0.02


def watch(module: dict[str, Any]) -> None:
    """Put gates into the callables of a plugin, given its globals."""
    for name, value in list(module.items()):
        if hasattr(value, "__orchestrator_job__"):
            module[name] = _gated(name, value)


def _gated(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def gated(**arguments: Any) -> Any:
        item = f"-{arguments['day']}" if "day" in arguments else ""
        _pass(f"{name}{item}.begun")
        result = _at_work(f"{name}{item}", function, arguments)
        _pass(f"{name}{item}.done")
        return result

    return gated


def _at_work(step: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    from sqlalchemy import event

    counts: Counter[str] = Counter()

    def reach(what: str) -> None:
        counts[what] += 1
        _pass(f"{step}.{what}-{counts[what]}")

    def returned(*_: Any) -> None:
        """A connection has come back to the pool: after its commit, or after it has only read."""
        reach("committed" if counts["committed"] < counts["commit"] else "read")

    listeners: tuple[tuple[str, Any], ...] = (("commit", lambda _: reach("commit")), ("checkin", returned))
    for kind, listener in listeners:
        event.listen(arguments["db"], kind, listener)
    try:
        return function(**arguments)
    finally:
        for kind, listener in listeners:
            event.remove(arguments["db"], kind, listener)


def _pass(gate: str) -> None:
    journal = os.open(_FOLDER / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{gate} {os.getpid()}\n".encode())
    os.close(journal)
    while (_FOLDER / gate).exists():
        time.sleep(_POLL)
