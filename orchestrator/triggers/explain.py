"""What does a trigger say, in words? "At 09:00 on Monday (Europe/Berlin)"."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec
from orchestrator.core.units import format_duration
from orchestrator.triggers.expression import parse
from orchestrator.triggers.phrases import Phrase, parse_phrase
from orchestrator.triggers.wording import cron_in_words, joined
from orchestrator.triggers.zones import zone

_MOST_TIMES = 3


def explain(spec: TimeSpec) -> str:
    """One sentence without a full stop, with the timezone. Raises `TriggerError` when the trigger can't be read."""
    if isinstance(spec, AtSpec):
        return _instants(spec)
    if isinstance(spec, CronSpec):
        expression = parse(spec.expression)
        words = cron_in_words(expression, spec.hash_key)
        if expression.uses_hash and spec.hash_key:
            words += ", as chosen for this job by its name"
        return f"{words} ({spec.timezone}){_bounds(spec)}"
    phrase = parse_phrase(spec.phrase)
    on_wall_clock = phrase.at is not None or phrase.unit in ("days", "weeks")
    return every_in_words(phrase) + (f" ({spec.timezone})" if on_wall_clock else "") + _bounds(spec)


def every_in_words(phrase: Phrase) -> str:
    """`2 days at 10:30` → "Every 2 days at 10:30"."""
    if phrase.exact is not None:
        return f"Every {format_duration(phrase.exact)}, counted from the previous fire"
    words = f"Every {_pace(phrase)}"
    if phrase.at is not None:
        return words + _at(phrase)
    if phrase.weekday is not None:
        return f"{words}, at the time of day at which the job was first seen"
    return f"{words}, counted from the previous fire"


def _pace(phrase: Phrase) -> str:
    unit = phrase.unit if phrase.weekday is None else f"{phrase.weekday.capitalize()}s"
    if phrase.latest is not None:
        return f"{phrase.interval} to {phrase.latest} {unit} (at random)"
    return unit[:-1] if phrase.interval == 1 else f"{phrase.interval} {unit}"


def _at(phrase: Phrase) -> str:
    at = phrase.at
    assert at is not None  # noqa: S101 - the caller looked
    if phrase.unit == "minutes":
        return f" at second {at.second}"
    if phrase.unit == "hours":
        return f" at minute {at.minute}" + (f" and {at.second} seconds" if at.second else "")
    return f" at {at:%H:%M:%S}" if at.second else f" at {at:%H:%M}"


def _bounds(spec: CronSpec | EverySpec) -> str:
    tz = zone(spec.timezone)
    start = f", from {_show(spec.start, tz)}" if spec.start else ""
    return start + (f", until {_show(spec.end, tz)}" if spec.end else "")


def _instants(spec: AtSpec) -> str:
    shown = [_show(time, UTC) for time in spec.times]
    if len(shown) == 1:
        return f"Once, at {shown[0]} (UTC)"
    if len(shown) <= _MOST_TIMES:
        return f"At {joined(shown)} (UTC)"
    return f"At {len(shown)} set times from {shown[0]} to {shown[-1]} (UTC)"


def _show(instant: datetime, tz: tzinfo) -> str:
    local = instant.astimezone(tz)
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")
