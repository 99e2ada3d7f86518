"""Runs and attempts: their states, and the records that the rooms hand to each other."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.core.result_files import ResultFile


class RunState(StrEnum):
    """Where a run is in its life."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the run unless a person retries it."""
        return self not in ACTIVE


ACTIVE = frozenset({RunState.WAITING, RunState.SCHEDULED, RunState.QUEUED, RunState.RUNNING})


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    """Its worker or engine died, or it went over its memory limit."""
    CANCELLED = "cancelled"
    """A person, a deadline or `overlap: replace` stopped it."""
    RELEASED = "released"
    """It was given back uncharged: a shutdown or a neighbour's crash interrupted it."""
    SKIPPED = "skipped"
    """The condition of its step was false; its callable was not called."""


class Cause(StrEnum):
    """What created a run."""

    FIRE = "fire"
    CATCH_UP = "catch_up"
    AFTER = "after"
    START = "start"
    MANUAL = "manual"
    BACKFILL = "backfill"
    """A person asked for fire times of the past."""
    HOOK = "hook"
    """Another job's run came to something that its hooks are for."""
    STEP = "step"
    """It is a step of a workflow."""


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exception as data. `names` are its class's qualified name and its bases', nearest first."""

    type: str
    message: str
    traceback: str = ""
    names: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One request to execute a job, as the store has it."""

    id: int
    job: str
    state: RunState
    cause: Cause
    queue: str
    priority: int
    created_at: datetime
    due_at: datetime
    """When it may start; later than the fire time after jitter or a retry's pause."""
    fire_time: datetime | None = None
    parent_id: int | None = None
    flow_id: int | None = None
    """The run of a workflow that this is a step of."""
    step: str | None = None
    item_index: int | None = None
    """Which item of a `foreach` step this is, from 0."""
    params: dict[str, Any] | None = None
    batch_id: int | None = None
    """The run that the batch is named after in which this one was last executed; its output is there."""
    group_key: str | None = None
    """What it shares its queue's `per_key` limits by."""
    unique_key: str | None = None
    expires_at: datetime | None = None
    """When it is skipped if it hasn't started."""
    attempt: int = 0
    """Grows with every claim and never repeats: the fence. `attempt - uncharged` counts against the policy."""
    uncharged: int = 0
    owner: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    cancel_requested: bool = False
    reason: str | None = None
    """Why it was skipped, cancelled or failed, in words."""
    result: Any = None
    result_files: tuple[ResultFile, ...] | None = None
    """What of the result lies in files, being large: there `result` has null."""
    progress: tuple[int, int | None] | None = None

    @property
    def charged(self) -> int:
        """How many attempts count against `max_attempts`, the running one included."""
        return self.attempt - self.uncharged


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a run, finished."""

    run_id: int
    attempt: int
    number: int
    """What a person calls it: 1 for the first that was charged."""
    outcome: Outcome
    owner: int
    started_at: datetime
    finished_at: datetime
    worker_pid: int | None = None
    error: ErrorInfo | None = None


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of what an attempt printed or logged. `stream` is stdout, stderr, log or engine."""

    run_id: int
    attempt: int
    at: datetime
    stream: str
    text: str
    level: str | None = None
