"""Which triggers fire together: equal schedules share one beat, so a wake-up costs by what is due, not by jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from orchestrator.core.plan import Job, Plan
from orchestrator.core.triggers import EverySpec, TimeSpec, TimeTrigger
from orchestrator.store.cursors import TriggerKey
from orchestrator.triggers.schedules import Schedule, build


class Member:
    """A trigger of a job, as part of a beat."""

    __slots__ = ("cursor", "jitter", "job", "key")

    def __init__(self, job: Job, key: str, jitter: timedelta, cursor: datetime) -> None:
        self.job = job
        self.key = key
        self.jitter = jitter
        self.cursor = cursor
        """Fire times up to here are dealt with."""


class Beat:
    """A schedule and the triggers that share it. `next` is None once it will never fire again."""

    __slots__ = ("anchor", "members", "next", "schedule")

    def __init__(self, schedule: Schedule, anchor: datetime) -> None:
        self.schedule = schedule
        self.anchor = anchor
        self.members: list[Member] = []
        self.next: datetime | None = None

    def after(self, fire_time: datetime) -> datetime | None:
        """The first fire time later than one that was served."""
        return self.schedule.next(fire_time, fire_time)


def trigger_key(spec: TimeSpec) -> str:
    """What identifies a trigger within its job: a changed schedule is another trigger."""
    return hashlib.blake2b(msgspec.msgpack.encode(spec), digest_size=8).hexdigest()


def time_triggers(plan: Plan) -> Iterable[tuple[Job, TimeTrigger, str]]:
    """Every time trigger of the enabled jobs, with its key."""
    keys: dict[TimeSpec, str] = {}
    for job in plan.jobs.values():
        if job.enabled:
            for trigger in job.triggers:
                key = keys.get(trigger.spec)
                if key is None:
                    key = keys[trigger.spec] = trigger_key(trigger.spec)
                yield job, trigger, key


def gather(plan: Plan, cursors: Mapping[TriggerKey, datetime]) -> list[Beat]:
    """The plan's beats, not yet started: each member's cursor may lie in the past."""
    beats: dict[tuple[TimeSpec, datetime | None], Beat] = {}
    for job, trigger, key in time_triggers(plan):
        cursor = cursors[job.name, key]
        # An interval counts from its own last fire; everything else fires for all at the same instants.
        shared = (trigger.spec, cursor if isinstance(trigger.spec, EverySpec) else None)
        beat = beats.get(shared)
        if beat is None:
            beat = beats[shared] = Beat(build(trigger.spec), cursor)
        beat.members.append(Member(job, key, trigger.jitter, cursor))
    return list(beats.values())
