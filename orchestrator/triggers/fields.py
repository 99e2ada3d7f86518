"""How one field of a cron expression is read: `1-5`, `*/10`, `MON#2`, `L-3`, `15W`, `H(0-29)/10`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from orchestrator.core.errors import TriggerError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_STEP = re.compile("[0-9]{1,4}")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True, slots=True)
class Kind:
    """A field's name, the numbers it takes, and the highest ones that a wrapped range and `H` use."""

    name: str
    low: int
    high: int
    wrap: int
    hashed: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values, for people."""
        names = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.low}-{self.high}{names}"


SECOND = Kind("second", 0, 59, 59, 59)
MINUTE = Kind("minute", 0, 59, 59, 59)
HOUR = Kind("hour", 0, 23, 23, 23)
DAY = Kind("day-of-month", 1, 31, 31, 28)
"""`H` stops at 28, as in Jenkins, so that it exists in every month."""
MONTH = Kind("month", 1, 12, 12, 12, _MONTHS)
WEEKDAY = Kind("day-of-week", 0, 7, 6, 6, _WEEKDAYS)
KINDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class Span:
    """`*`, `5`, `1-5`, `*/10`, `5/15`. `end` < `start` wraps round: FRI-MON, 22-2."""

    start: int
    end: int
    step: int = 1
    star: bool = False

    def values(self, kind: Kind) -> tuple[int, ...]:
        """Every number it names, in the order of the clock."""
        if self.start <= self.end:
            return tuple(range(self.start, self.end + 1, self.step))
        start = self.start if self.start <= kind.wrap else kind.low
        turn = (*range(start, kind.wrap + 1), *range(kind.low, self.end + 1))
        return turn[:: self.step] if start > self.end else tuple(range(start, self.end + 1, self.step))


@dataclass(frozen=True, slots=True)
class Hashed:
    """`H`, `H/15`, `H(0-29)`, `H(0-29)/10`: a number that the job's name chooses. `bounded`: a range was given."""

    low: int
    high: int
    step: int | None
    bounded: bool


@dataclass(frozen=True, slots=True)
class LastDay:
    """`L`, or `L-3`: that many days before the month's last."""

    offset: int = 0


@dataclass(frozen=True, slots=True)
class LastWorkday:
    """`LW`: the last Monday to Friday of the month."""


@dataclass(frozen=True, slots=True)
class NearestWorkday:
    """`15W`: the Monday to Friday nearest to that day, in the same month."""

    day: int


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`MON#2`, the second Monday of the month; `5L`, the last Friday (`nth` is None)."""

    weekday: int
    nth: int | None


Term = Span | Hashed | LastDay | LastWorkday | NearestWorkday | NthWeekday


@dataclass(frozen=True, slots=True)
class Field:
    """One field as written (upper case) and as understood."""

    kind: Kind
    text: str
    terms: tuple[Term, ...]

    @property
    def starred(self) -> bool:
        """Whether it starts with `*`, which is what Debian's cron looks at."""
        return self.text.startswith(("*", "?"))

    @property
    def full(self) -> bool:
        """Whether it allows every value."""
        spans = [term for term in self.terms if isinstance(term, Span)]
        found = {value for span in spans for value in span.values(self.kind)}
        return len(spans) == len(self.terms) and found >= set(range(self.kind.low, self.kind.wrap + 1))


@lru_cache(maxsize=4096)
def parse_field(kind: Kind, text: str) -> Field:
    """Read one field. Raises `TriggerError` naming the field, the bad item and what is allowed."""
    upper = text.upper()
    if upper == "?" and kind in (DAY, WEEKDAY):
        return Field(kind, upper, (Span(kind.low, kind.high, star=True),))
    # H(0-29) holds no comma, so a plain split is enough.
    return Field(kind, upper, tuple(_term(kind, item, text) for item in upper.split(",")))


def _term(kind: Kind, item: str, text: str) -> Term:
    if not item:
        _refuse(kind, text, "has an empty item", "remove the stray comma")
    if item == "?":
        _refuse(kind, text, "uses ?", "? stands alone in the day-of-month or the day-of-week field; elsewhere write *")
    special = _hashed(kind, item) or _day_special(kind, item) or _weekday_special(kind, item)
    return special or _span(kind, item)


def _hashed(kind: Kind, item: str) -> Hashed | None:
    match = re.fullmatch(r"H(?:\(([0-9]+)-([0-9]+)\))?(?:/([0-9]+))?", item)
    if match is None:
        return None
    low = _number(kind, match[1], item) if match[1] else kind.low
    high = _number(kind, match[2], item) if match[2] else kind.hashed
    if low > high:
        _refuse(kind, item, "has its range backwards", f"write H({high}-{low})")
    return Hashed(low, high, _step(kind, match[3], item) if match[3] else None, match[1] is not None)


def _day_special(kind: Kind, item: str) -> Term | None:
    if kind is not DAY:
        return None
    if item in ("LW", "WL"):
        return LastWorkday()
    if match := re.fullmatch(r"L(?:-([0-9]{1,4}))?", item):
        offset = int(match[1] or 0)
        if offset > 30:
            _refuse(kind, item, "goes back more than 30 days", "write L-1 to L-30")
        return LastDay(offset)
    if match := re.fullmatch(r"([0-9]+)W", item):
        return NearestWorkday(_number(kind, match[1], item))
    return None


def _weekday_special(kind: Kind, item: str) -> NthWeekday | None:
    if kind is not WEEKDAY:
        return None
    if item == "L":
        _refuse(kind, item, "needs a weekday", "5L or FRIL is the last Friday; for the last day use L as day-of-month")
    if "#" in item:
        name, _, nth = item.partition("#")
        if nth not in ("1", "2", "3", "4", "5"):
            _refuse(
                kind, item, f"asks for weekday number {nth or '?'} of a month", "MON#1 to MON#5, or 1L for the last"
            )
        return NthWeekday(_number(kind, name, item), int(nth))
    if item.endswith("L"):
        return NthWeekday(_number(kind, item[:-1], item), None)
    return None


def _span(kind: Kind, item: str) -> Span:
    base, slash, step_text = item.partition("/")
    step = _step(kind, step_text, item) if slash else 1
    if base == "*":
        return Span(kind.low, kind.high, step, star=True)
    first, dash, second = base.partition("-")
    start = _number(kind, first, item)
    if dash:
        return Span(start, _number(kind, second, item), step)
    return Span(start, kind.high if slash else start, step)


def _step(kind: Kind, text: str, item: str) -> int:
    if not _STEP.fullmatch(text) or int(text) == 0:
        _refuse(kind, item, f"has the step {text!r}", "a step is a whole number from 1, as in */5")
    return int(text)


def _number(kind: Kind, text: str, item: str) -> int:
    if text in kind.names:
        return kind.names.index(text) + (1 if kind is MONTH else 0)
    if not (text.isascii() and text.isdigit()):
        _refuse(kind, item, f"can't be read: {text!r}" if text else "can't be read", _spelling(kind, text))
    if len(text) > 4 or not kind.low <= int(text) <= kind.high:
        _refuse(kind, item, f"is out of range: {text}", f"{kind.name} is {kind.allowed}")
    return int(text)


def _spelling(kind: Kind, text: str) -> str:
    """What to write instead of a word that is no number and no known name."""
    known = kind.names or _MONTHS + _WEEKDAYS
    close = [name for name in known if text[:3] == name] or difflib.get_close_matches(text[:4], known, 1, 0.5)
    if close and kind.names:
        return f"did you mean {close[0]}? {kind.name} is {kind.allowed}"
    if close and len(text) >= 3:
        return f"{kind.name} is {kind.allowed}; {close[0]} belongs in another field: are the fields in order?"
    return f"{kind.name} is {kind.allowed}"


def _refuse(kind: Kind, item: str, what: str, hint: str) -> NoReturn:
    raise TriggerError(f"The {kind.name} field `{item}` {what}; allowed: {kind.allowed}", hint)
