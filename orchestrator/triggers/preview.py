"""When would a trigger fire? The next few fire times, for people."""

from __future__ import annotations

from datetime import datetime

from orchestrator.core.triggers import TimeSpec
from orchestrator.triggers.schedules import build


def preview(spec: TimeSpec, after: datetime, count: int, anchor: datetime | None = None) -> list[datetime]:
    """The first `count` fire times later than `after`, in UTC, as if each were served; fewer if the schedule ends."""
    schedule = build(spec)
    anchor = after if anchor is None else anchor
    found: list[datetime] = []
    while len(found) < count:
        fire = schedule.next(after, anchor)
        if fire is None:
            break
        found.append(fire)
        after = anchor = fire
    return found
