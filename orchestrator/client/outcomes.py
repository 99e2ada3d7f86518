"""What asking for a run and waiting for it comes to: ids, runs, results, and the errors that stand for other ends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.core.errors import OrchestratorError, ResultFileError
from orchestrator.core.result_files import whole
from orchestrator.core.runs import ErrorInfo, Run
from orchestrator.core.units import parse_duration

__all__ = [
    "Enqueued",
    "ResultFileError",
    "RunFailedError",
    "Timeout",
    "WaitTimeoutError",
    "completed",
    "result_of",
    "seconds_of",
    "until_finished",
]

FIRST_LOOK = 0.005
LAST_LOOK = 0.05
"""Seconds between looks at a run that is waited for: soon at first, as most runs are short."""

Timeout = float | str | timedelta | None
"""Seconds, a duration like `30s`, or None for as long as it takes."""


class Enqueued(msgspec.Struct, frozen=True):
    """The run that was asked for. `duplicate`: it had been there, with the same key, and nothing was created."""

    id: int
    duplicate: bool = False


class RunFailedError(OrchestratorError):
    """A run whose result was asked for ended without one. `error` is the exception of its last attempt, if any."""

    def __init__(self, run: Run, error: ErrorInfo | None) -> None:
        super().__init__(f"run {run.id} of {run.job} {run.state.value}: {run.reason or 'no reason is known'}")
        self.run = run
        self.error = error


class WaitTimeoutError(OrchestratorError, TimeoutError):
    """The run is not finished yet; it goes on."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"run {run.id} of {run.job} is still {run.state.value}")
        self.run = run


def seconds_of(timeout: Timeout) -> float | None:
    """A timeout in seconds. Raises `UnitError`."""
    if isinstance(timeout, str):
        timeout = parse_duration(timeout)
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


def until_finished(
    look: Callable[[], Run], timeout: Timeout, clock: Callable[[], float]
) -> Generator[float, None, Run]:
    """Look at a run until it is finished; between looks it gives how many seconds to sleep. Raises
    `WaitTimeoutError`."""
    seconds = seconds_of(timeout)
    deadline = None if seconds is None else clock() + seconds
    for pause in _pauses():
        run = look()
        if run.state.finished:
            return run
        left = None if deadline is None else deadline - clock()
        if left is not None and left <= 0:
            raise WaitTimeoutError(run)
        yield pause if left is None else min(pause, left)
    raise AssertionError("pauses never end")


def _pauses() -> Iterator[float]:
    pause = FIRST_LOOK
    while True:
        yield pause
        pause = min(LAST_LOOK, pause * 1.5)


def completed(run: Run, folder: Path) -> Run:
    """The run with its whole result, from files as far as it is large. Raises `ResultFileError`."""
    if not run.result_files:
        return run
    return msgspec.structs.replace(run, result=whole(run.result, run.result_files, folder))


def result_of(run: Run, error: Callable[[], ErrorInfo | None]) -> Any:
    """What the callable gave. Raises `RunFailedError` for a run that didn't succeed."""
    if run.state.value != "succeeded":
        raise RunFailedError(run, error())
    return run.result
