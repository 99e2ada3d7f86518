"""How a timezone's wall clock and real time relate: stretches of constant offset, and the gaps and overlaps between.

Inside this room instants are naive datetimes in UTC and wall times naive datetimes of the zone; the schedules put
`tzinfo` on at the border.
"""

from __future__ import annotations

import difflib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.core.errors import TriggerError

_SECOND = timedelta(seconds=1)
_PROBE = timedelta(hours=12)
_HOST_ZONES = {"", "local", "localtime", "system"}
_ABBREVIATIONS = {
    "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "CST": "America/Chicago", "CDT": "America/Chicago",
    "EDT": "America/New_York", "MDT": "America/Denver", "BST": "Europe/London", "CEST": "Europe/Berlin",
    "EEST": "Europe/Athens", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "AEST": "Australia/Sydney",
}  # fmt: skip


class Stretch(NamedTuple):
    """A time of constant offset within one UTC year: [start, end) in UTC, and the offset just before it."""

    start: datetime
    end: datetime
    before: timedelta
    offset: timedelta


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone `name`. Raises `TriggerError` with the closest known name.

    The host's own zone is refused: a schedule must mean the same on every machine.
    """
    if name.strip().lower() in _HOST_ZONES:
        raise TriggerError(
            f"timezone {name!r} depends on the machine", "name an IANA zone such as Europe/Berlin, or UTC"
        )
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise TriggerError(f"unknown timezone {name!r}", _suggestion(name)) from None


def _suggestion(name: str) -> str:
    if name.upper() in _ABBREVIATIONS:
        return f"abbreviations are ambiguous; did you mean {_ABBREVIATIONS[name.upper()]}?"
    known = {key.lower(): key for key in available_timezones()}
    cities = {key.rpartition("/")[2]: key for key in known if "/" in key}
    wanted = name.strip().lower().replace(" ", "_")
    close = difflib.get_close_matches(wanted, known, 1, 0.7)
    if not close:
        close = [cities[city] for city in difflib.get_close_matches(wanted.rpartition("/")[2], cities, 1, 0.8)]
    return f"did you mean {known[close[0]]}?" if close else "use an IANA name such as Europe/Berlin, or UTC"


def offset_at(tz: ZoneInfo, instant: datetime) -> timedelta:
    """The zone's offset at an instant."""
    offset = tz.fromutc(instant.replace(tzinfo=tz)).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one for a datetime
    return offset


@lru_cache(maxsize=8192)
def stretches(tz: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    """The stretches of one UTC year. `zoneinfo` doesn't tell its transitions, so they are found by bisection."""
    start, stop = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 - naive UTC, see above
    before = offset_at(tz, start - _SECOND)
    found: list[Stretch] = []
    at, offset = start, offset_at(tz, start)
    probe = start
    while probe < stop:
        probe = min(probe + _PROBE, stop)
        if probe < stop and offset_at(tz, probe) != offset:
            shift = _first_change(tz, probe - _PROBE, probe, offset)
            found.append(Stretch(at, shift, before, offset))
            at, before, offset = shift, offset, offset_at(tz, shift)
            probe = shift
    # A change in the last half day of the year, after the last probe.
    if offset_at(tz, stop - _SECOND) != offset:
        shift = _first_change(tz, max(at, stop - _PROBE), stop - _SECOND, offset)
        found.append(Stretch(at, shift, before, offset))
        at, before, offset = shift, offset, offset_at(tz, shift)
    return (*found, Stretch(at, stop, before, offset))


def _first_change(tz: ZoneInfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    """The second at which the offset stops being `offset`, known to be in (low, high]."""
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        low, high = (middle, high) if offset_at(tz, middle) == offset else (low, middle)
    return high


def stretch_at(tz: ZoneInfo, instant: datetime) -> Stretch:
    """The stretch that holds an instant."""
    for stretch in stretches(tz, instant.year):
        if instant < stretch.end:
            return stretch
    raise AssertionError(instant)


def shift_before(tz: ZoneInfo, instant: datetime) -> Stretch:
    """The latest stretch that began with a change of offset at or before `instant`, which must be known to exist."""
    stretch = stretch_at(tz, instant)
    while stretch.before == stretch.offset:
        stretch = stretch_at(tz, stretch.start - _SECOND)
    return stretch


def wall_at(tz: ZoneInfo, instant: datetime) -> datetime:
    """The wall time at an instant, with `fold=1` when it shows for the second time."""
    return tz.fromutc(instant.replace(tzinfo=tz)).replace(tzinfo=None)


def instant_of(tz: ZoneInfo, wall: datetime) -> datetime:
    """When the wall clock shows `wall`: the first time if twice, right after the gap if never. Grows with `wall`."""
    offset = wall.replace(tzinfo=tz, fold=0).utcoffset()
    assert offset is not None  # noqa: S101
    instant = wall.replace(fold=0) - offset
    if offset_at(tz, instant) == offset:
        return instant
    return shift_before(tz, instant).start


def settled_wall(tz: ZoneInfo, instant: datetime) -> datetime:
    """The wall time up to which every fixed time has had its instant by now.

    That is the wall clock itself, except while an hour repeats: then all of the hour is done already.
    """
    wall = wall_at(tz, instant)
    if not wall.fold:
        return wall
    shift = shift_before(tz, instant)
    return shift.start + shift.before - _SECOND
