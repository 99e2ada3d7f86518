"""Which schedule belongs to a spec, and what can be asked of any schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec
from orchestrator.triggers.cron import FixedCron, UtcCron, WildcardCron
from orchestrator.triggers.every import Random, Stepped
from orchestrator.triggers.expression import parse
from orchestrator.triggers.matcher import Matcher
from orchestrator.triggers.onetime import Instants
from orchestrator.triggers.phrases import parse_phrase
from orchestrator.triggers.zones import zone


class Schedule(Protocol):
    """A rule that says when to fire. Immutable: threads may share it.

    Instants go in aware, in any zone, and come out in UTC. `anchor` is the last fire time served, or when the trigger
    was first seen if none was: what `every` counts from; cron and `at` ignore it.
    """

    def next(self, after: datetime, anchor: datetime) -> datetime | None:
        """The first fire time strictly later than `after`; None when there's none (for cron: within fifty years)."""

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:
        """The newest fire time in (after, until], found without walking through all of them."""


class Bounded:
    """A schedule within `start` and `end`, both included."""

    def __init__(self, inner: Schedule, start: datetime | None, end: datetime | None) -> None:
        self._inner = inner
        self._floor = start - timedelta.resolution if start else None
        self._end = end

    def next(self, after: datetime, anchor: datetime) -> datetime | None:
        found = self._inner.next(max(after, self._floor) if self._floor else after, anchor)
        return None if found is None or (self._end and found > self._end) else found

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:
        after = max(after, self._floor) if self._floor else after
        until = min(until, self._end) if self._end else until
        return self._inner.last(after, until, anchor) if after < until else None


@lru_cache(maxsize=16_384)
def build(spec: TimeSpec) -> Schedule:
    """The schedule of a spec; equal specs share one. Raises `TriggerError` when it can't be read."""
    if isinstance(spec, AtSpec):
        return Instants(spec.times)
    start, end = _utc(spec.start, "start"), _utc(spec.end, "end")
    schedule = _cron(spec) if isinstance(spec, CronSpec) else _every(spec, start)
    return Bounded(schedule, start, end) if start or end else schedule


def _cron(spec: CronSpec) -> Schedule:
    tz = zone(spec.timezone)
    expression = parse(spec.expression)
    matcher = Matcher(expression, spec.hash_key)
    if spec.timezone in ("UTC", "Etc/UTC"):
        return UtcCron(matcher)
    return FixedCron(matcher, tz) if expression.fixed else WildcardCron(matcher, tz)


def _every(spec: EverySpec, start: datetime | None) -> Schedule:
    phrase, tz = parse_phrase(spec.phrase), zone(spec.timezone)
    if phrase.cron is not None:
        return _cron(CronSpec(expression=phrase.cron, timezone=spec.timezone))
    if phrase.latest is not None:
        return Random(phrase, tz, spec.hash_key, start)
    return Stepped(phrase, tz, start)


def _utc(instant: datetime | None, name: str) -> datetime | None:
    if instant is not None and instant.tzinfo is None:
        raise TriggerError(f"`{name}` has no timezone: {instant}", "write it with an offset, as in 2026-01-31T09:00Z")
    return instant.astimezone(UTC) if instant else None
