"""What becomes of fire times that passed while nothing could serve them? The job's `catch_up` answers."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from orchestrator.core.policies import CatchUp
from orchestrator.core.runs import Cause
from orchestrator.engine.beats import Beat, Member
from orchestrator.engine.newruns import new_run, random_delay
from orchestrator.store.creation import NewRun

MAX_CATCH_UP = 10_000
"""Runs that one `catch_up: all` creates at most; the other fires are summed up in one skipped row."""
COUNT_TO = 100
"""Missed fires are counted exactly up to here: it is for a message only, and a month of seconds has 2.6 million."""


class Missed(msgspec.Struct, frozen=True):
    """Fire times that passed unserved: the oldest, the newest, and how many (`more`: at least so many)."""

    oldest: datetime
    newest: datetime
    count: int
    more: bool


def look_back(beat: Beat, cursor: datetime, now: datetime) -> Missed | None:
    """The fires in (cursor, now], found without walking through all of them."""
    oldest = beat.schedule.next(cursor, cursor)
    if oldest is None or oldest > now:
        return None
    newest = beat.schedule.last(cursor, now, cursor) or oldest
    count = 1
    at: datetime | None = oldest
    while count < COUNT_TO and at is not None and at < newest:
        at = beat.schedule.next(at, at)
        count += 1
    return Missed(oldest, newest, count, at is not None and at < newest)


def serve_missed(beat: Beat, member: Member, missed: Missed, now: datetime, spread: timedelta) -> list[NewRun]:
    """The runs and the skipped record for missed fires, oldest first.

    Catch-up runs are put off by up to `spread`, so that a thousand jobs don't all start at once after a restart.
    """
    wanted = _wanted(beat, member, missed, now)
    runs = [
        new_run(member.job, Cause.CATCH_UP, now, fire_time=fire, delay=now - fire + random_delay(spread))
        for fire in wanted
    ]
    if missed.more or missed.count > len(wanted):
        runs.insert(0, _skipped(member, missed, len(wanted), now))
    return runs


def _wanted(beat: Beat, member: Member, missed: Missed, now: datetime) -> list[datetime]:
    """The fires that become runs, oldest first."""
    policy = member.job.catch_up
    window_start = now - member.job.catch_up_window
    if policy is CatchUp.SKIP or missed.newest < window_start:
        return []
    if policy is CatchUp.LAST:
        return [missed.newest]
    # The window includes its own start, and `next` is strictly later than what it is given.
    at: datetime | None = max(member.cursor, window_start - timedelta(microseconds=1))
    anchor = member.cursor
    fires: list[datetime] = []
    while at is not None and len(fires) < MAX_CATCH_UP:
        at = beat.schedule.next(at, anchor)
        if at is None or at > missed.newest:
            break
        fires.append(at)
        anchor = at
    return fires


def _skipped(member: Member, missed: Missed, served: int, now: datetime) -> NewRun:
    """One row that says which fires didn't become work, and why. It stands at the oldest fire that wasn't wanted."""
    count = missed.count - (0 if missed.more else served)
    many = f"{count}{'+' if missed.more else ''} fire times from {missed.oldest:%Y-%m-%d %H:%M:%S} UTC on"
    what = f"the fire time {missed.oldest:%Y-%m-%d %H:%M:%S} UTC" if count == 1 else many
    policy = member.job.catch_up.value
    reason = f"{what} passed while nothing could serve {'it' if count == 1 else 'them'} (catch_up: {policy})"
    return new_run(member.job, Cause.CATCH_UP, now, fire_time=missed.oldest, skip_reason=reason)
