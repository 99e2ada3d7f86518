"""From what a job says of its schedules to triggers: read, checked, and warned about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from orchestrator.config.instants import parse_instant
from orchestrator.config.model_job import KINDS, JobShape, TriggerShape
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec, TimeTrigger
from orchestrator.triggers.lint import lint
from orchestrator.triggers.phrases import parse_phrase
from orchestrator.triggers.validate import check, normalise_cron
from orchestrator.triggers.zones import zone

_LONGEST = 1_000
Steps = tuple[str | int, ...]
_Verdict = tuple[TriggerError | None, list[str]]


class Schedules:
    """Reads the schedules of many jobs; equal ones are checked once."""

    def __init__(self, timezone: str, now: datetime, report: Report) -> None:
        self._timezone = timezone
        self._now = now
        self._report = report
        self._verdicts: dict[TimeSpec, _Verdict] = {}

    def timezone(self, job: Entry[JobShape]) -> str:
        """The job's own timezone, or the file's."""
        return self._zone(job, job.value, (), self._timezone)

    def triggers(self, job: Entry[JobShape], timezone: str) -> tuple[TimeTrigger, ...]:
        """All triggers of a job that are sound; the others are reported."""
        found = list(self._of(job, job.value, (), timezone, {}))
        outer = self._bounds(job, job.value, (), timezone)
        for index, trigger in enumerate(job.value.triggers or ()):
            steps = ("triggers", index)
            found += self._of(job, trigger, steps, self._zone(job, trigger, steps, timezone), outer)
        return tuple(found)

    def _of(
        self, job: Entry[Any], shape: JobShape | TriggerShape, steps: Steps, timezone: str, outer: dict[str, datetime]
    ) -> Iterator[TimeTrigger]:
        bounds = {**outer, **self._bounds(job, shape, steps, timezone)}
        if "start" in bounds and "end" in bounds and bounds["end"] <= bounds["start"]:
            at = job.at(*steps, "end") if "end" in shape.model_fields_set else job.at("end")
            self._report.error("bad-instant", "`end` is not after `start`", at, "swap them, or correct the year")
            return
        jitter = shape.jitter or job.value.jitter or timedelta(0)
        instants: list[datetime] = []
        for kind in KINDS:
            for index, text in enumerate(getattr(shape, kind) or ()):
                place = (*steps, kind, index)
                try:
                    spec = _spec(job.name, kind, text, timezone, bounds)
                except TriggerError as error:
                    self._report.error(f"bad-{kind}", str(error), job.at(*place), error.hint)
                    continue
                if isinstance(spec, AtSpec):
                    instants += spec.times
                elif self._sound(job, kind, spec, place):
                    yield TimeTrigger(spec=spec, jitter=jitter)
        if instants:
            spec = AtSpec(times=tuple(sorted(set(instants))))
            if self._sound(job, "at", spec, (*steps, "at")):
                yield TimeTrigger(spec=spec, jitter=jitter)

    def _sound(self, job: Entry[Any], kind: str, spec: TimeSpec, place: Steps) -> bool:
        if spec not in self._verdicts:
            self._verdicts[spec] = self._verdict(spec)
        error, warnings = self._verdicts[spec]
        if error is not None:
            self._report.error(f"bad-{kind}", str(error), job.at(*place), error.hint)
        for warning in warnings:
            self._report.warning("odd-schedule", warning, job.at(*place))
        return error is None

    def _verdict(self, spec: TimeSpec) -> _Verdict:
        try:
            check(spec, self._now)
            return None, lint(spec, self._now)
        except TriggerError as error:
            return error, []

    def _zone(self, job: Entry[Any], shape: JobShape | TriggerShape, steps: Steps, default: str) -> str:
        if "timezone" not in shape.model_fields_set:
            return default
        try:
            zone(shape.timezone)
        except TriggerError as error:
            self._report.error("bad-timezone", str(error), job.at(*steps, "timezone"), error.hint)
            return default
        return shape.timezone

    def _bounds(
        self, job: Entry[Any], shape: JobShape | TriggerShape, steps: Steps, timezone: str
    ) -> dict[str, datetime]:
        bounds: dict[str, datetime] = {}
        for name in ("start", "end"):
            if name in shape.model_fields_set:
                try:
                    bounds[name] = parse_instant(getattr(shape, name), timezone)
                except TriggerError as error:
                    self._report.error("bad-instant", str(error), job.at(*steps, name), error.hint)
        return bounds


def _spec(job: str, kind: str, text: str, timezone: str, bounds: dict[str, datetime]) -> TimeSpec:
    if len(text) > _LONGEST:
        raise TriggerError(f"`{text[:30]}…` has {len(text):,} characters; {_LONGEST:,} are the most")
    if kind == "cron":
        expression, key = normalise_cron(text, job)
        return CronSpec(expression=expression, timezone=timezone, hash_key=key, **bounds)
    if kind == "every":
        key = job if parse_phrase(text).latest is not None else ""
        return EverySpec(phrase=text, timezone=timezone, hash_key=key, **bounds)
    instant = parse_instant(text, timezone)
    start, end = bounds.get("start"), bounds.get("end")
    if (start is not None and instant < start) or (end is not None and instant >= end):
        raise TriggerError(f"`{text}` is not between `start` and `end`: it never fires", "move the one or the others")
    return AtSpec(times=(instant,))
