"""Which runs would a job have had in a period of the past? Its fire times, and the run of each."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec

from orchestrator.core.plan import Job
from orchestrator.core.runs import Cause
from orchestrator.engine.beats import trigger_key
from orchestrator.engine.newruns import new_run
from orchestrator.store.creation import NewRun
from orchestrator.store.cursors import TriggerKey
from orchestrator.triggers.past import fire_times

BEHIND = 1000
"""By so many levels of priority a backfill stands behind live runs; at the default `aging`, three and a half days."""


def past_fires(job: Job, begin: datetime, end: datetime, cursors: Mapping[TriggerKey, datetime]) -> Iterator[datetime]:
    """The fire times of all the job's schedules in [begin, end), ascending, each instant once; one at a time, however
    many there are. Raises `TriggerError` for an interval that can't be counted back."""
    found = [
        fire_times(trigger.spec, begin, end, cursors.get((job.name, trigger_key(trigger.spec))))
        for trigger in job.triggers
    ]
    return (at for at, _ in groupby(heapq.merge(*found)))


def backfill_run(job: Job, fire_time: datetime, now: datetime) -> NewRun:
    """The run of a fire time that has passed. It is due now, behind everything live, so it has all the time it needs:
    neither a deadline nor an expiry counts for it. And each fire time is wanted, whatever its parameters have in
    common with another's."""
    run = new_run(job, Cause.BACKFILL, now, fire_time=fire_time, delay=now - fire_time)
    apart: dict[str, Any] = {"deadline_at": None, "expires_at": None, "unique_key": None, "unique_until": None}
    return msgspec.structs.replace(run, priority=run.priority - BEHIND, **apart)
