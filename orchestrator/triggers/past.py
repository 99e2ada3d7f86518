"""Which fire times does a trigger have in a period of the past? All of them, whether or not anything served them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import EverySpec, TimeSpec
from orchestrator.triggers.every import Stepped
from orchestrator.triggers.phrases import parse_phrase
from orchestrator.triggers.schedules import build
from orchestrator.triggers.zones import zone


def fire_times(spec: TimeSpec, begin: datetime, end: datetime, cursor: datetime | None) -> Iterator[datetime]:
    """The fire times in [begin, end), ascending, in UTC.

    An interval has no fire times of its own: it counts from the `cursor`, the fire time up to which the trigger has
    been served, backwards as well as forwards. Raises `TriggerError` for one whose past can't be told.
    """
    if isinstance(spec, EverySpec) and parse_phrase(spec.phrase).cron is None:
        return _interval(spec, begin, end, cursor)
    return _scheduled(spec, begin, end)


def _scheduled(spec: TimeSpec, begin: datetime, end: datetime) -> Iterator[datetime]:
    schedule = build(spec)
    at = schedule.next(begin - timedelta.resolution, begin)
    while at is not None and at < end:
        yield at
        at = schedule.next(at, at)


def _interval(spec: EverySpec, begin: datetime, end: datetime, cursor: datetime | None) -> Iterator[datetime]:
    phrase = parse_phrase(spec.phrase)
    if phrase.latest is not None:
        raise TriggerError(
            f"`every: {spec.phrase}` has no fire times of the past: each is drawn from the one before it",
            "run the job by hand, or give it a schedule that can be told",
        )
    if cursor is None:
        raise TriggerError(
            f"`every: {spec.phrase}` counts from the moment at which an engine first sees it, and none has",
            "start the engine once, or use `cron`",
        )
    first = max(begin, spec.start) if spec.start else begin
    last = min(end, spec.end + timedelta.resolution) if spec.end else end
    return Stepped(phrase, zone(spec.timezone), spec.start).between(first, last, cursor) if first < last else iter(())
