"""Where exactly does a process die? At a named point of its work, when it passes it for the n-th time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any

POINTS = {
    "commit": ("orchestrator.store.writer", "Writer._commit"),
    "operation": ("orchestrator.store.writer", "_perform"),
    "acknowledgement": ("orchestrator.store.writer", "_settle"),
    "creation": ("orchestrator.engine.scheduler", "create_runs"),
    "rows": ("orchestrator.store.creation", "insert_rows"),
    "claim": ("orchestrator.engine.dispatcher", "claim"),
    "orders": ("orchestrator.executors.local", "LocalExecutor.submit"),
    "frame": ("orchestrator.executors.link", "Link.send"),
    "arrival": ("orchestrator.executors.link", "Link._on_readable"),
    "reports": ("orchestrator.engine.recorder", "Recorder.take"),
    "batch": ("orchestrator.engine.recorder", "write_batch"),
    "recovery": ("orchestrator.engine.recovery", "settle"),
    "heartbeat": ("orchestrator.store.instances", "heartbeat"),
}
"""What is passed: the module, and the function in it. Each point is there twice, before and after."""


def names() -> list[str]:
    """Every failpoint."""
    return [f"{side} {point}" for point in POINTS for side in ("before", "after")]


def arm(name: str, passing: int) -> None:
    """Let this process kill itself at the `passing`-th passing of a failpoint."""
    side, _, point = name.partition(" ")
    module, path = POINTS[point]
    owner: Any = import_module(module)
    *outer, last = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, last, _deadly(getattr(owner, last), passing, before=side == "before"))


def _deadly(function: Callable[..., Any], passing: int, *, before: bool) -> Callable[..., Any]:
    passings = count(1)

    def passed(*arguments: Any, **options: Any) -> Any:
        last = next(passings) >= passing
        if last and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return passed
