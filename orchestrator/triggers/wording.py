"""What a cron expression says, in words: the clock part ("At 09:00") and the calendar part ("on Monday")."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from orchestrator.triggers.expression import Expression
from orchestrator.triggers.fields import (
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

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MOST_TIMES = 6
_MOST_LISTED = 4


def cron_in_words(expression: Expression, hash_key: str = "") -> str:
    """`0 9 * * 1` → "At 09:00 on Monday". `H` is resolved when the job's name is known."""
    fields = [_resolved(field, hash_key) for field in expression.fields]
    clock, at_times = _clock(*fields[:3])
    calendar = _calendar(*fields[3:], both=expression.day_and)
    words = f"{clock} {calendar}" if calendar else f"{clock} every day" if at_times else clock
    return words[0].upper() + words[1:]


def _resolved(field: Field, hash_key: str) -> Field:
    if not hash_key:
        return field
    terms = tuple(resolve(t, field.kind, hash_key) if isinstance(t, Hashed) else t for t in field.terms)
    return Field(field.kind, field.text, terms)


def joined(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 22nd."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


# --- the clock


def _clock(second: Field, minute: Field, hour: Field) -> tuple[str, bool]:
    """The words, and whether they are set times of day (which then happen "every day")."""
    times = _times(second, minute, hour)
    if times:
        return f"at {joined(times)}", True
    on_zero = _singles(second) == [0]
    if hour.full and minute.full:
        return ("every minute" if on_zero else _of_each(second, "of every minute")), False
    if hour.full and on_zero:
        whole = _singles(minute) == [0]
        return ("at the start of every hour" if whole else _of_each(minute, "of every hour")), False
    if on_zero and _singles(minute) == [0]:
        return _part(hour), False
    parts = [] if on_zero else [_part(second)]
    if not minute.full or on_zero:
        parts.append(_part(minute))
    return " ".join([*_linked(parts), _hours(hour, window=minute.starred or minute.full)]), False


def _linked(parts: list[str]) -> list[str]:
    """`every 10 seconds`, `every minute from 0 through 5` → the second becomes "of every minute…"."""
    first, rest = parts[0], parts[1:]
    return [
        first,
        *(f"of {part}" if part.startswith("every ") and first.startswith("every ") else part for part in rest),
    ]


def _times(second: Field, minute: Field, hour: Field) -> list[str]:
    """`09:00`, when the fields name a few set times."""
    lists = [_singles(hour), _singles(minute), _singles(second)]
    if not all(lists) or len(lists[0]) * len(lists[1]) * len(lists[2]) > _MOST_TIMES:
        return []
    seconds = lists[2] != [0]
    return [f"{h:02}:{m:02}" + (f":{s:02}" if seconds else "") for h, m, s in product(*lists)]


def _of_each(field: Field, of: str) -> str:
    words = _part(field)
    return f"{words} {of}" if words.startswith("at ") or " from " in words else words


def _part(field: Field) -> str:
    """`every 5 minutes`, `at minutes 5 and 10`, `every minute from 10 through 20`."""
    singles = _singles(field)
    name = field.kind.name
    if singles:
        return f"at {name}{'s' if len(singles) > 1 else ''} {joined([str(s) for s in singles])}"
    words = joined([_clock_term(field, term) for term in field.terms])
    return words if words.startswith("every ") else f"at {words}"


def _clock_term(field: Field, term: Term) -> str:
    name = field.kind.name
    if isinstance(term, Hashed):
        if term.step:
            return f"every {term.step} {name}s, offset by the job's name"
        return f"a{'n' if name == 'hour' else ''} {name} in {term.low} to {term.high} that the job's name chooses"
    assert isinstance(term, Span)  # noqa: S101 - the other terms are of the day fields
    every = f"every {name}" if term.step == 1 else f"every {term.step} {name}s"
    if term.star or (term.start, term.end) == (field.kind.low, field.kind.high):
        return every
    if term.start == term.end:
        return f"{name} {term.start}"
    return f"{every} from {term.start} through {term.end}"


def _hours(hour: Field, *, window: bool) -> str:
    """`from 09:00 through 17:59` for what goes on all that time, `past hour 8` for what doesn't."""
    if hour.full:
        return "of every hour"
    term = hour.terms[0]
    if len(hour.terms) == 1 and isinstance(term, Span) and term.step == 1 and (window or term.start != term.end):
        return f"from {term.start:02}:00 through {term.end:02}:59"
    singles = _singles(hour)
    if singles:
        return f"past hour{'s' if len(singles) > 1 else ''} {joined([str(s) for s in singles])}"
    return f"past {_part(hour).removeprefix('at ')}"


# --- the calendar


def _calendar(day: Field, month: Field, weekday: Field, *, both: bool) -> str:
    days = "" if day.full else joined([_day_term(term) for term in day.terms])
    weekdays = "" if weekday.full else joined([_weekday_term(term) for term in weekday.terms])
    if days and weekdays:
        words = f"on {days} if it is {weekdays}" if both else f"on {days} or on {weekdays}"
    else:
        words = f"on {days or weekdays}" if days or weekdays else ""
    if month.full:
        return words
    months = joined([_month_term(term, month) for term in month.terms])
    return f"{words or 'every day'} in {months}"


def _day_term(term: Term) -> str:
    if isinstance(term, LastWorkday):
        return "the last workday (Monday to Friday) of the month"
    if isinstance(term, LastDay):
        return (
            f"the day {_count(term.offset, 'day')} before the month's last" if term.offset else "the month's last day"
        )
    if isinstance(term, NearestWorkday):
        return f"the workday (Monday to Friday) nearest to the {ordinal(term.day)}"
    if isinstance(term, Hashed):
        return f"a day in {term.low} to {term.high} that the job's name chooses"
    assert isinstance(term, Span)  # noqa: S101
    if term.start == term.end:
        return f"the {ordinal(term.start)}"
    if term.step > 1:
        return f"every {ordinal(term.step)} day from the {ordinal(term.start)} through the {ordinal(term.end)}"
    return f"the {ordinal(term.start)} through the {ordinal(term.end)}"


def _weekday_term(term: Term) -> str:
    if isinstance(term, NthWeekday):
        return f"the {'last' if term.nth is None else ordinal(term.nth)} {_WEEKDAYS[term.weekday]} of the month"
    if isinstance(term, Hashed):
        return "a weekday that the job's name chooses"
    assert isinstance(term, Span)  # noqa: S101
    return _named(term, _WEEKDAYS, 0, 6)


def _month_term(term: Term, field: Field) -> str:
    if isinstance(term, Hashed):
        return "a month that the job's name chooses"
    assert isinstance(term, Span)  # noqa: S101
    return _named(term, _MONTHS, 1, field.kind.high)


def _named(term: Span, names: Sequence[str], first: int, last: int) -> str:
    if term.start == term.end:
        return names[term.start - first]
    if term.step == 1:
        return f"{names[term.start - first]} through {names[term.end - first]}"
    end = last if term.end > last else term.end
    if term.start <= end:
        return joined([names[value - first] for value in range(term.start, end + 1, term.step)])
    return f"every {ordinal(term.step)} from {names[term.start - first]} through {names[term.end - first]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _singles(field: Field) -> list[int]:
    """The numbers, if the field is a plain list of them (or a range of two)."""
    found: set[int] = set()
    for term in field.terms:
        if not isinstance(term, Span) or term.star:
            return []
        values = term.values(field.kind)
        if len(values) > (2 if term.step == 1 else _MOST_LISTED):
            return []
        found.update(values)
    return sorted(found)
