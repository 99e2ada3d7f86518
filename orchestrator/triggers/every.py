"""When an `every:` phrase fires, without drift: all fires are counted from the anchor, never from "now".

Seconds, minutes and hours are real time; days and weeks follow the wall clock of the timezone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from orchestrator.triggers.hashed import stable_number
from orchestrator.triggers.phrases import WEEKDAYS, Phrase
from orchestrator.triggers.zones import instant_of, wall_at

_WALL_UNITS = ("days", "weeks")
_DAY, _MILLISECOND = timedelta(days=1), timedelta(milliseconds=1)
_RESTART_AFTER = 256
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as in zones.py

Series = Callable[[int], datetime]
"""The k-th fire counted from an anchor, naive UTC; grows with k."""


class Stepped:
    """Fires at a fixed interval from the anchor, the first time one interval after it; or at a set time of every
    n-th day or hour, the anchor's own day or hour being the first."""

    def __init__(self, phrase: Phrase, tz: ZoneInfo, start: datetime | None = None) -> None:
        self._phrase = phrase
        self._tz = tz
        self._start = start

    def next(self, after: datetime, anchor: datetime) -> datetime | None:
        floor, fires = self._from(anchor)
        try:
            k = _newest(fires, self._phrase.step, max(floor, _naive(after)))
            return fires(k + 1).replace(tzinfo=UTC)
        except OverflowError:
            return None

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:
        floor, fires = self._from(anchor)
        found = fires(_newest(fires, self._phrase.step, _naive(until)))
        return found.replace(tzinfo=UTC) if found > max(floor, _naive(after)) else None

    def between(self, begin: datetime, end: datetime, anchor: datetime) -> Iterator[datetime]:
        """The fires in [begin, end), ascending; unlike `next` this counts backwards from the anchor, too."""
        _, fires = self._from(anchor)
        limit = _naive(end)
        for k in count(_newest(fires, self._phrase.step, _naive(begin) - timedelta.resolution) + 1):
            if (fire := fires(k)) >= limit:
                return
            yield fire.replace(tzinfo=UTC)

    def _from(self, anchor: datetime) -> tuple[datetime, Series]:
        """What fires must be later than, and the fires. An anchor before `start` counts from `start`, which fires."""
        if self._start is not None and anchor <= self._start:
            base = _naive(self._start)
            return base - timedelta.resolution, fires_of(self._phrase, self._tz, base)
        base = _naive(anchor)
        return base, fires_of(self._phrase, self._tz, base)


class Random:
    """`5 to 10 minutes`: each pause is drawn from the job's name and the previous fire, so that engines agree.

    A long way from the anchor the chain restarts at a point that depends on the asked time alone, so that no call
    walks through a month of fires.
    """

    def __init__(self, phrase: Phrase, tz: ZoneInfo, key: str, start: datetime | None = None) -> None:
        self._phrase = phrase
        self._tz = tz
        self._key = key
        self._start = start
        self._block = timedelta(**{phrase.unit: phrase.latest or phrase.interval}) * _RESTART_AFTER

    def next(self, after: datetime, anchor: datetime) -> datetime | None:
        limit = _naive(after)
        try:
            fire = self._first(limit, anchor)
            while fire <= limit:
                fire = self._follow(fire)
        except OverflowError:
            return None
        return fire.replace(tzinfo=UTC)

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:
        limit = _naive(until)
        found, fire = None, self._first(limit, anchor)
        while fire <= limit:
            found, fire = fire, self._follow(fire)
        return found.replace(tzinfo=UTC) if found is not None and found > _naive(after) else None

    def _first(self, limit: datetime, anchor: datetime) -> datetime:
        """Where the walk towards `limit` starts: a fire."""
        if self._start is not None and anchor < self._start:
            first = _naive(self._start)
        else:
            first = self._follow(_naive(anchor))
        if limit - first <= 2 * self._block:
            return first
        return self._follow(limit - (limit - _EPOCH) % self._block - self._block)

    def _follow(self, previous: datetime) -> datetime:
        phrase = self._phrase
        draw = stable_number(self._key, previous.isoformat(timespec="microseconds"))
        low, high = phrase.interval, phrase.latest or phrase.interval
        if phrase.at is None and phrase.weekday is None:
            unit = timedelta(**{phrase.unit: 1}) // _MILLISECOND
            return previous + (low * unit + draw % ((high - low) * unit + 1)) * _MILLISECOND
        drawn = Phrase(interval=low + draw % (high - low + 1), unit=phrase.unit, weekday=phrase.weekday, at=phrase.at)
        fires = fires_of(drawn, self._tz, previous)
        return next(fire for fire in map(fires, range(4)) if fire > previous)


def fires_of(phrase: Phrase, tz: ZoneInfo, anchor: datetime) -> Series:
    """The fires of a phrase counted from `anchor`; number 0 is the anchor, or the set time of its day or hour."""
    step = phrase.step
    if phrase.unit in _WALL_UNITS:
        return _on_days(phrase, tz, anchor, step)
    if phrase.at is None:
        return lambda k: anchor + k * step
    if phrase.unit == "hours":
        return _hourly(phrase.at, tz, anchor, step)
    base = anchor.replace(second=phrase.at.second, microsecond=0)
    return lambda k: base + k * step


def _on_days(phrase: Phrase, tz: ZoneInfo, anchor: datetime, step: timedelta) -> Series:
    wall = _on_day(tz, anchor, phrase.at) if phrase.at else wall_at(tz, anchor)
    days = (WEEKDAYS.index(phrase.weekday) - wall.weekday()) % 7 if phrase.weekday else 0
    first = wall + timedelta(days=days)
    if phrase.at or days:
        return lambda k: instant_of(tz, first + k * step)
    return lambda k: instant_of(tz, first + k * step) if k else anchor


def _on_day(tz: ZoneInfo, anchor: datetime, at: time) -> datetime:
    """The wall time `at` on the anchor's day; of the day before, if that one's gap put it off past midnight."""
    wall = datetime.combine(wall_at(tz, anchor).date(), at)
    return wall - _DAY if instant_of(tz, wall - _DAY) == anchor else wall


def _hourly(at: time, tz: ZoneInfo, anchor: datetime, step: timedelta) -> Series:
    """Every so many real hours, at a minute of the wall clock even where clocks change by half an hour."""
    wall = wall_at(tz, anchor)
    base = anchor + (datetime.combine(wall.date(), time(wall.hour, at.minute, at.second)) - wall.replace(fold=0))

    def fire(k: int) -> datetime:
        instant = base + k * step
        shown = wall_at(tz, instant)
        return instant + timedelta(minutes=at.minute - shown.minute, seconds=at.second - shown.second)

    return fire


def _newest(fires: Series, step: timedelta, until: datetime) -> int:
    """The greatest k with fires(k) <= until, found from the distance: the series is never far from regular."""
    k = (until - fires(0)) // step
    while fires(k) > until:
        k -= 1
    while fires(k + 1) <= until:
        k += 1
    return k


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
