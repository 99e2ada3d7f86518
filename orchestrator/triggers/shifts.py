"""What daylight saving does to a trigger within a year: which fire times are missing or repeated, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from orchestrator.core.triggers import CronSpec, EverySpec
from orchestrator.triggers.expression import parse
from orchestrator.triggers.matcher import Matcher
from orchestrator.triggers.phrases import Phrase, parse_phrase
from orchestrator.triggers.zones import Stretch, stretch_at, zone

_YEAR = timedelta(days=366)
_SECOND = timedelta(seconds=1)


def shift_warnings(spec: CronSpec | EverySpec, now: datetime) -> list[str]:
    """One warning for each change of the clocks in the next year that moves, drops or doubles a fire."""
    tz = zone(spec.timezone)
    until = min(now + _YEAR, spec.end) if spec.end else now + _YEAR
    shifts = list(_shifts(tz, _naive(now), _naive(until)))
    times = _set_times(spec) if shifts else None
    if times is None:
        return []
    matcher, fixed = times
    return [text for shift in shifts if (text := _warning(matcher, shift, spec.timezone, fixed=fixed))]


def _set_times(spec: CronSpec | EverySpec) -> tuple[Matcher, bool] | None:
    """The set times of day of a trigger and whether each has exactly one instant; None when it just follows time."""
    text, key = (spec.expression, spec.hash_key) if isinstance(spec, CronSpec) else (_daily(spec.phrase), "")
    expression = parse(text) if text else None
    if expression is None or expression.hour.full:
        return None
    return Matcher(expression, key), expression.fixed


def _daily(text: str) -> str | None:
    """The set time of a phrase, on every day on which it may fall."""
    phrase = parse_phrase(text)
    if phrase.unit not in ("days", "weeks") or phrase.at is None:
        return None
    return Phrase(interval=1, unit=phrase.unit, weekday=phrase.weekday, at=phrase.at).cron


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _shifts(tz: ZoneInfo, begin: datetime, end: datetime) -> Iterator[Stretch]:
    """The stretches that begin, between two instants, with a change of the clocks."""
    stretch = stretch_at(tz, begin)
    while stretch.end < end:
        stretch = stretch_at(tz, stretch.end)
        if stretch.before != stretch.offset:
            yield stretch


def _warning(matcher: Matcher, shift: Stretch, name: str, *, fixed: bool) -> str | None:
    old, new = shift.start + shift.before, shift.start + shift.offset
    low, high = min(old, new), max(old, new)
    match = matcher.last_before(high)
    if match is None or match < low:
        return None
    first = matcher.first_from(low)
    wall = f"{first:%H:%M}" if first else ""
    if new > old:
        effect = f"it fires once, at {new:%H:%M}" if fixed else "it does not fire then"
        return (
            f"on {old:%Y-%m-%d} {wall} does not exist in {name} (clocks go from {old:%H:%M} to {new:%H:%M}): {effect}"
        )
    effect = "it fires the first time only" if fixed else "it fires both times"
    return f"on {old - _SECOND:%Y-%m-%d} {wall} happens twice in {name} (clocks go back to {new:%H:%M}): {effect}"
