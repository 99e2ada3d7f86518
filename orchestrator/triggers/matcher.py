"""Which wall-clock times match a cron expression: cronsim, plus the day forms that it lacks (`L-3`, `15W`, `H`, `?`).

No timezone here: the search runs on naive times, where it is exact, and `cron.py` maps them to instants.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime
from functools import lru_cache
from typing import cast

from cronsim.cronsim import CronSim, CronSimError, SpecItem

from orchestrator.core.errors import TriggerError
from orchestrator.triggers.expression import Expression
from orchestrator.triggers.fields import (
    DAY,
    Field,
    Hashed,
    LastDay,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
    Span,
    Term,
)
from orchestrator.triggers.hashed import resolve

_ANY_TIME = datetime(2000, 1, 1)  # noqa: DTZ001 - naive on purpose
_FORWARD, _BACKWARD = 1, -1
_NONE: frozenset[int] = frozenset()
"""Most expressions have none, and an empty set of each own would cost 200 bytes."""


class Matcher(CronSim):
    """An expression, parsed once. Searches leave it unchanged, so that threads may share it."""

    def __init__(self, expression: Expression, hash_key: str = "") -> None:
        text = " ".join(_cronsim_text(field, hash_key) for field in expression.fields)
        try:
            super().__init__(text, _ANY_TIME)
        except CronSimError:
            # The fields were checked one by one before; what remains is a day that no month of the list has.
            raise TriggerError(
                f"`{expression.text}` can never fire: none of its months has such a day", "check day-of-month and month"
            ) from None
        self.day_and = expression.day_and
        self.before_last = (
            frozenset(t.offset for t in expression.day.terms if isinstance(t, LastDay) and t.offset) or _NONE
        )
        self.nearest = frozenset(t.day for t in expression.day.terms if isinstance(t, NearestWorkday)) or _NONE
        if not any(_known_to_cronsim(term) for term in expression.day.terms):
            self.days = set()
        # Equal sets are one object: ten thousand jobs mostly say the same few things.
        self.seconds, self.minutes, self.hours = (_one(s) for s in (self.seconds, self.minutes, self.hours))
        self.days, self.months, self.weekdays = _one(self.days), _one(self.months), _one_spec(self.weekdays)
        self.parts = []

    def first_after(self, wall: datetime) -> datetime | None:
        """The first match later than `wall`, or None when there's none in fifty years."""
        return self._search(wall, _FORWARD, inclusive=False)

    def first_from(self, wall: datetime) -> datetime | None:
        """The first match at or after `wall`, a whole second."""
        return self._search(wall, _FORWARD, inclusive=True)

    def last_until(self, wall: datetime) -> datetime | None:
        """The last match at or before `wall`."""
        return self._search(wall, _BACKWARD, inclusive=True)

    def last_before(self, wall: datetime) -> datetime | None:
        """The last match before `wall`, a whole second."""
        return self._search(wall, _BACKWARD, inclusive=False)

    def _search(self, wall: datetime, direction: int, *, inclusive: bool) -> datetime | None:
        search = Matcher.__new__(Matcher)
        search.__dict__.update(self.__dict__)
        search.dt = wall.replace(microsecond=0, fold=0)
        search.tick_direction = direction
        search.skip_initial_tick = inclusive
        try:
            return search.__next__()
        except (StopIteration, OverflowError):
            return None

    def match_dom(self, d: date) -> bool:
        if super().match_dom(d):
            return True
        if not self.before_last and not self.nearest:
            return False
        first_weekday, last = calendar.monthrange(d.year, d.month)
        if last - d.day in self.before_last:
            return True
        return any(_nearest_workday(day, first_weekday, last) == d.day for day in self.nearest if day <= last)


def _nearest_workday(day: int, first_weekday: int, last: int) -> int:
    """The workday nearest to `day` in a month of `last` days that starts on `first_weekday` (Monday is 0)."""
    weekday = (first_weekday + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else 3
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def _known_to_cronsim(term: Term) -> bool:
    return not isinstance(term, NearestWorkday) and not (isinstance(term, LastDay) and term.offset)


def _cronsim_text(field: Field, hash_key: str) -> str:
    texts = [_term_text(field, term, hash_key) for term in field.terms if _known_to_cronsim(term)]
    # When nothing is left for cronsim it still needs something it can read; the matcher takes it out again.
    return ",".join(texts) or ("L" if field.kind is DAY else "*")


def _term_text(field: Field, term: Term, hash_key: str) -> str:
    if isinstance(term, LastWorkday):
        return "LW"
    if isinstance(term, LastDay):
        return "L"
    if isinstance(term, NthWeekday):
        return f"{term.weekday}L" if term.nth is None else f"{term.weekday}#{term.nth}"
    span = resolve(term, field.kind, hash_key) if isinstance(term, Hashed) else term
    assert isinstance(span, Span)  # noqa: S101 - the nearest workday was left out above
    if span.star:
        return "*" if span.step == 1 else f"*/{span.step}"
    return ",".join(map(str, span.values(field.kind)))


@lru_cache(maxsize=4096)
def _shared(values: frozenset[SpecItem]) -> frozenset[SpecItem]:
    return values


def _one(values: set[int]) -> set[int]:
    return cast("set[int]", _shared(cast("frozenset[SpecItem]", frozenset(values))))


def _one_spec(values: set[SpecItem]) -> set[SpecItem]:
    return cast("set[SpecItem]", _shared(frozenset(values)))
