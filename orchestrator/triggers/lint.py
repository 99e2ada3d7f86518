"""What is allowed but probably not meant: warnings about a trigger, each with what happens and what to write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec
from orchestrator.triggers.expression import Expression, parse
from orchestrator.triggers.fields import DAY, HOUR, MONTH, WEEKDAY, Field, Hashed, LastDay, NearestWorkday, Span
from orchestrator.triggers.phrases import parse_phrase
from orchestrator.triggers.schedules import build
from orchestrator.triggers.shifts import shift_warnings

_LONGEST_MONTH = {2: 28, 4: 30, 6: 30, 9: 30, 11: 30}
_BUSY = timedelta(milliseconds=100)


def lint(spec: TimeSpec, now: datetime) -> list[str]:
    """Warnings about a trigger that `check` accepts; `now` matters for daylight saving and for what is past."""
    if isinstance(spec, AtSpec):
        past = all(time <= now for time in spec.times)
        return ["every time of `at` is past: it will not fire unless it is caught up"] if past else []
    warnings = [*_over(spec, now)]
    if isinstance(spec, CronSpec):
        expression = parse(spec.expression)
        return [*warnings, *_cron(expression), *shift_warnings(spec, now)]
    return [*warnings, *_every(spec), *shift_warnings(spec, now)]


def _over(spec: CronSpec | EverySpec, now: datetime) -> Iterator[str]:
    if spec.end is None or build(spec).next(now, now) is not None:
        return
    end = spec.end.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    when = "is past" if spec.end <= now else "comes before the next fire"
    yield f"its `end` ({end}) {when}: it will not fire again"


def _every(spec: EverySpec) -> Iterator[str]:
    phrase = parse_phrase(spec.phrase)
    if phrase.weekday and phrase.at is None:
        yield (
            f"`every: {spec.phrase}` gives no time of day: it fires at the time at which the job was first seen; "
            f"write `{phrase.weekday} at 09:00`"
        )
    if phrase.step < _BUSY:
        yield f"`every: {spec.phrase}` fires more than ten times a second: a loop in one long job may serve better"


def _cron(expression: Expression) -> Iterator[str]:
    yield from _crowded(expression)
    yield from _either_day(expression)
    yield from _quartz(expression)
    yield from _short_months(expression)
    for field in expression.fields:
        yield from _uneven(field)


def _crowded(expression: Expression) -> Iterator[str]:
    """`* 2 * * *`: sixty fires where one was meant."""
    second, minute, hour = expression.second, expression.minute, expression.hour
    rest = " ".join(field.text for field in (expression.day, expression.month, expression.weekday))
    if minute.full and not hour.full and not hour.starred and not _is_range(hour):
        count, each = (3600, "second") if second.full else (60, "minute")
        if len(second.terms) == 1 and (second.full or _single(second) is not None):
            yield (
                f"`{expression.text}` fires {count:,} times, every {each}, in hour {hour.text}; "
                f"did you mean `0 {hour.text} {rest}`?"
            )
    elif second.full and not minute.full and not minute.starred and not _is_range(minute):
        yield (
            f"`{expression.text}` fires 60 times, every second, in minute {minute.text}; "
            f"did you mean `{minute.text} {hour.text} {rest}`?"
        )


def _either_day(expression: Expression) -> Iterator[str]:
    if not expression.day_and and not expression.day.full and not expression.weekday.full:
        yield (
            f"`{expression.text}` gives both day-of-month and day-of-week: cron fires when either matches, not only "
            "when both do; set one of them to *"
        )


def _quartz(expression: Expression) -> Iterator[str]:
    digits = any(char.isdigit() for char in expression.weekday.text.partition("#")[0].partition("/")[0])
    if digits and expression.day.text == "?":
        yield (
            f"`{expression.text}` looks like Quartz, which counts Sunday as 1; here Monday is 1 and Sunday 0 or 7: "
            "write names such as MON"
        )


def _short_months(expression: Expression) -> Iterator[str]:
    """`0 0 31 * *` skips five months of the year."""
    if expression.day_and is False and not expression.weekday.full:
        return
    days: list[int] = []
    for term in expression.day.terms:
        if isinstance(term, Span):
            days.extend(term.values(DAY))
        elif isinstance(term, NearestWorkday):
            days.append(term.day)
        elif isinstance(term, LastDay) and term.offset >= 28:
            days.append(term.offset + 1)
        else:
            return
    months = {m for t in expression.month.terms if isinstance(t, Span) for m in t.values(MONTH)}
    skipped = [month for month in sorted(months) if min(days) > _LONGEST_MONTH.get(month, 31)]
    if skipped == [2] and min(days) == 29:
        yield f"`{expression.text}` fires in February in leap years only; for the last day of the month write L"
    elif skipped:
        names = ", ".join(MONTH.names[month - 1].capitalize() for month in skipped)
        yield f"`{expression.text}` never fires in {names}: too short; for the last day of the month write L"


def _uneven(field: Field) -> Iterator[str]:
    """`*/7` minutes: 56, then 0 four minutes later."""
    size = field.kind.wrap - field.kind.low + 1
    for term in field.terms:
        if isinstance(term, Hashed):
            step, whole = term.step or 1, not term.bounded
        elif isinstance(term, Span):
            step, whole = term.step, (term.start, term.end) == (field.kind.low, field.kind.high)
        else:
            continue
        if not whole or step == 1:
            continue
        if step >= size:
            yield f"the {field.kind.name} step of {step} is longer than the field: only {field.kind.low} ever matches"
        elif size % step and field.kind is not MONTH:
            yield _uneven_words(field, step, size)


def _uneven_words(field: Field, step: int, size: int) -> str:
    name = field.kind.name
    if field.kind in (DAY, WEEKDAY):
        unit = "month" if field.kind is DAY else "week"
        return (
            f"{name} `{field.text}` starts again each {unit}, so it isn't every {step} days; write `every: {step} days`"
        )
    left = size % step
    around = "day" if field.kind is HOUR else {"minute": "hour", "second": "minute"}[name]
    return (
        f"{name} `{field.text}` is uneven: the last gap of each {around} is {left} {name}s, not {step}; "
        f"write `every: {step} {name}s` for an even pace"
    )


def _single(field: Field) -> int | None:
    term = field.terms[0]
    return term.start if isinstance(term, Span) and term.start == term.end else None


def _is_range(field: Field) -> bool:
    """Whether it names a stretch of time (`9-17`), where firing all along is likely meant."""
    return any(isinstance(term, Span) and term.start != term.end for term in field.terms)
