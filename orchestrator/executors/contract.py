"""What the engine asks of any executor, and what an executor tells the engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from orchestrator.core.batches import BatchItem, ItemEnd
from orchestrator.core.flows import StepSight
from orchestrator.core.plan import Plan
from orchestrator.core.policies import Isolation
from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import ErrorInfo, Outcome


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that the store has claimed for this engine, to be executed once."""

    run_id: int
    attempt: int
    number: int
    job: str
    call: str
    isolation: Isolation
    params: dict[str, Any]
    cause: str
    fire_time: datetime | None
    timezone: str
    max_attempts: int
    timeout: timedelta | None
    """Measured from the moment the callable starts, not from this order."""
    grace: timedelta
    heartbeat: timedelta | None = None
    """How long it may go without a sign of life."""
    deadline_at: datetime | None = None
    memory_limit: int | None = None
    log_limit: int = 2**20
    checkpoint: Any = None
    items: tuple[BatchItem, ...] = ()
    """The runs of a batch, this one first; empty for a run that is executed by itself."""
    sight: StepSight | None = None
    """What a step of a workflow sees of it."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt's end. `started_at` is None when it never started: then it was given back (RELEASED), or
    cancelled while it waited, or no worker could be started for it (CRASHED)."""

    run_id: int
    attempt: int
    outcome: Outcome
    finished_at: datetime
    started_at: datetime | None = None
    worker_pid: int | None = None
    result: Any = None
    result_file: ResultFile | None = None
    """Where the result is, if it is large: it never comes through here."""
    error: ErrorInfo | None = None
    retry_after: float | None = None
    give_up: bool = False
    reason: str | None = None
    """In words, for ends that no exception explains: a timeout, a kill, a release."""
    items: tuple[ItemEnd, ...] = ()
    """Of a batch: the end of each run. Empty where the whole attempt ended otherwise: then all ended so."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt printed or logged."""

    run_id: int
    attempt: int
    at: datetime
    stream: str
    text: str
    level: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an attempt says it is."""

    run_id: int
    attempt: int
    done: int
    total: int | None


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint to keep for the run's next attempt."""

    run_id: int
    attempt: int
    value: Any


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the workers themselves, for the engine's own log: `event` like `worker.started`."""

    event: str
    level: str = "info"
    fields: dict[str, Any] = {}


Report = Ended | Output | Progress | Saved | Notice


class Executor(Protocol):
    """Executes orders. All methods are called on the engine's event loop."""

    async def start(self, plan: Plan, report: Callable[[list[Report]], None]) -> None:
        """Start warm workers. `report` is called on the loop, in batches, in the order things happened to a run."""

    def capacity(self, isolation: Isolation) -> int:
        """How many more orders it would take now for callables of this isolation."""

    def submit(self, orders: list[Order]) -> None:
        """Execute; each order ends in exactly one `Ended`."""

    def cancel(self, run_id: int, attempt: int, reason: str) -> None:
        """Stop an attempt: ask, wait its grace, kill. It ends CANCELLED (or as it ended before). Unknown: ignored."""

    def apply(self, plan: Plan) -> None:
        """Use another plan from now on, without waiting: who has the old one finishes what it runs and is replaced."""

    async def stop(self, grace: timedelta, hurry: Callable[[], bool]) -> None:
        """Give back what hasn't started, let the rest finish for `grace` (less once `hurry()`), cancel what is left
        and report it RELEASED, close resources, leave no process. All reports are made before this returns."""
