"""When does a job fire next? All its triggers together, counted from what the engine has served so far."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

from orchestrator.core.plan import Job

Cursors = Mapping[tuple[str, str], datetime]
"""The fire time up to which each (job, trigger) is served."""
_DAY = timedelta(days=1)


def job_fires(job: Job, cursors: Cursors, now: datetime, count: int) -> list[datetime]:
    """The next fire times of a job, in UTC, each instant once; a job that is switched off has them all the same."""
    from orchestrator.engine.beats import trigger_key
    from orchestrator.triggers.preview import preview

    found = [
        preview(trigger.spec, now, count, cursors.get((job.name, trigger_key(trigger.spec))))
        for trigger in job.triggers
    ]
    return list(dict.fromkeys(heapq.merge(*found)))[:count]


def clock_change(at: datetime, zone: tzinfo) -> str:
    """What happens to the clocks of a timezone on the day of `at`; empty on nearly every day."""
    midnight = at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    before, after = midnight.utcoffset(), (midnight + _DAY).utcoffset()
    if before is None or after is None or before == after:
        return ""
    minutes = round((after - before).total_seconds() / 60)
    return f"clocks go {'forward' if minutes > 0 else 'back'} {abs(minutes)} min that day"


def schedule_in_words(job: Job) -> list[str]:
    """Everything that makes a job run, one sentence each."""
    from orchestrator.triggers.explain import explain

    words = [explain(trigger.spec) for trigger in job.triggers]
    words += [f"After {trigger.job} ({trigger.on.value})" for trigger in job.after]
    return words + ["When the engine starts"] * job.on_start
