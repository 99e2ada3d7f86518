"""When a cron expression fires in a timezone, daylight saving included.

Fixed-time jobs (neither minute nor hour starts with `*`) have one instant for each matching wall time: the first
showing when a wall time repeats, right after the gap when it is missing. That is Debian's rule, here for six fields
as well. Others follow real time: they fire at each instant at which the wall clock matches.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from orchestrator.triggers.matcher import Matcher
from orchestrator.triggers.zones import instant_of, settled_wall, stretch_at, wall_at

_SECOND = timedelta(seconds=1)


class UtcCron:
    """A cron schedule in UTC, where wall time and real time are one."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    def next(self, after: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002 - see Schedule
        return _aware(self._matcher.first_after(_naive(after)))

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        found = _aware(self._matcher.last_until(_naive(until)))
        return found if found is not None and found > after else None


class FixedCron:
    """A cron schedule at set times of day: each matching wall time has exactly one instant."""

    def __init__(self, matcher: Matcher, tz: ZoneInfo) -> None:
        self._matcher = matcher
        self._tz = tz

    def next(self, after: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        wall = self._matcher.first_after(settled_wall(self._tz, _naive(after)))
        return None if wall is None else _aware(instant_of(self._tz, wall))

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        wall = self._matcher.last_until(settled_wall(self._tz, _naive(until)))
        found = None if wall is None else _aware(instant_of(self._tz, wall))
        return found if found is not None and found > after else None


class WildcardCron:
    """A cron schedule that follows real time: fires at each instant at which the wall clock matches.

    The search walks the stretches of constant offset, within which naive search is exact.
    """

    def __init__(self, matcher: Matcher, tz: ZoneInfo) -> None:
        self._matcher = matcher
        self._tz = tz

    def next(self, after: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        instant = _naive(after)
        stretch = stretch_at(self._tz, instant)
        searched = wall_at(self._tz, instant)  # no match in (searched, match)
        match = self._matcher.first_after(searched)
        while match is not None and match - stretch.offset >= stretch.end:
            stretch = stretch_at(self._tz, stretch.end)
            first = stretch.start + stretch.offset
            if first > match or first <= searched:
                # The clock went forward past the match, or back to times searched already.
                match, searched = self._matcher.first_from(first), first - _SECOND
        return None if match is None else _aware(match - stretch.offset)

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        instant, limit = _naive(until), _naive(after)
        stretch = stretch_at(self._tz, instant)
        searched = wall_at(self._tz, instant)  # no match in (match, searched]
        match = self._matcher.last_until(searched)
        while match is not None and match - stretch.offset < stretch.start:
            if stretch.start <= limit:
                return None
            stretch = stretch_at(self._tz, stretch.start - _SECOND)
            end = stretch.end + stretch.offset
            if match >= end or end > searched:
                match, searched = self._matcher.last_before(end), end
        found = None if match is None else match - stretch.offset
        return _aware(found) if found is not None and found > limit else None


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _aware(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.replace(tzinfo=UTC)
