"""What a job does about what its runs come to: hooks, the people to tell, and when a run counts as late."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec

DELIVERY = "notify/"
"""The hidden job `notify/ops` sends what is to be told to the notifier `ops`."""
DELIVER_CALL = "orchestrator.worker.delivering:deliver"
EVENT = "event"
"""The parameter in which a hook's job gets to know what happened."""
EVENT_NAMES = (EVENT, "events", "count")
"""What a message's template starts from: the first event, all of them, and how many there are."""


class HookKind(StrEnum):
    """What happened, and so which of a job's hooks are fired."""

    SUCCESS = "success"
    FAILURE = "failure"
    """A run ended as failed, whatever the reason."""
    RETRY = "retry"
    """An attempt failed, and another one follows."""
    DEAD = "dead"
    """A run failed and had used up all its attempts."""
    LATE = "late"
    """A run didn't start or finish in time, or the job hasn't succeeded for too long."""
    RECOVERY = "recovery"
    """The first success after a failure, or after being late."""


class Hook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done: a run of a job, with parameters over the job's own, or a message. Exactly one of both."""

    job: str | None = None
    notify: str | None = None
    params: dict[str, Any] = {}


class Sla(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job is late; measured from the moment at which a run was due."""

    start_within: timedelta | None = None
    finish_within: timedelta | None = None
    success_every: timedelta | None = None


class Notifier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How messages to a target are put together. Where they go is known to its delivery job alone."""

    name: str
    size: int = 100
    """A message tells of so many events at most; when there are so many it is sent at once."""
    wait: timedelta = timedelta(minutes=1)
    """For how long a message waits for more to tell."""
    throttle: timedelta | None = None
    """Between two messages about the same thing of the same job; what happens meanwhile is summed up in the second."""

    @property
    def delivery(self) -> str:
        """The hidden job that sends its messages."""
        return DELIVERY + self.name


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as hook jobs and messages get to know it. Instants are ISO 8601 in UTC, durations seconds."""

    kind: str
    """A `HookKind`, or what else there is to tell."""
    job: str
    at: str
    run_id: int | None = None
    """None: no single run is concerned."""
    attempt: int | None = None
    state: str | None = None
    reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    fire_time: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    duration: float | None = None
