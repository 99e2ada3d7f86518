"""Is this trigger right? Reads what users write, and refuses what can't be read or can never fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec
from orchestrator.triggers.expression import parse
from orchestrator.triggers.schedules import build


def normalise_cron(text: str, job_name: str) -> tuple[str, str]:
    """What goes into a `CronSpec`: the expression with aliases and NestJS's names replaced, and the hash key.

    `text` is 5 or 6 fields, `@daily`, `EVERY_30_SECONDS` or `CronExpression.EVERY_30_SECONDS`. The key is the job's
    name when the expression uses `H`, else empty, so that equal schedules of different jobs stay equal.
    """
    expression = parse(text)
    return expression.text, job_name if expression.uses_hash else ""


def check(spec: TimeSpec, now: datetime) -> None:
    """Raise `TriggerError` when the trigger can't be read or can never fire.

    A trigger whose time is over (an `at` in the past, an `end` before the next fire) is no error, or a job's last
    fire would make its file invalid; `lint` warns about it.
    """
    if isinstance(spec, AtSpec):
        _check_times(spec)
        return
    schedule = build(spec)
    if spec.start and spec.end and spec.end < spec.start:
        raise TriggerError(
            f"`end` ({_show(spec.end)}) is before `start` ({_show(spec.start)})", "swap them, or correct the year"
        )
    begin = spec.start - timedelta.resolution if spec.start else now
    first = build(_endless(spec)).next(begin, begin)
    if first is None:
        raise TriggerError(f"`{_text(spec)}` can never fire: no such day in fifty years", "check day and month")
    if spec.start and schedule.next(begin, begin) is None:
        raise TriggerError(
            f"`{_text(spec)}` never fires between `start` ({_show(spec.start)}) and `end`",
            f"its first fire would be {_show(first)}; move `end` past it",
        )


def _check_times(spec: AtSpec) -> None:
    if not spec.times:
        raise TriggerError("`at` names no time", "write one or several instants, such as 2026-01-31T09:00Z")
    for time in spec.times:
        if time.tzinfo is None:
            raise TriggerError(f"`at` has a time without a timezone: {time}", "add an offset: 2026-01-31T09:00Z")
    for earlier, later in zip(spec.times, spec.times[1:], strict=False):
        if later <= earlier:
            raise TriggerError(
                f"`at` isn't ascending: {_show(later)} comes after {_show(earlier)}", "sort the times, each once"
            )


def _endless(spec: CronSpec | EverySpec) -> CronSpec | EverySpec:
    if isinstance(spec, CronSpec):
        return CronSpec(expression=spec.expression, timezone=spec.timezone, hash_key=spec.hash_key, start=spec.start)
    return EverySpec(phrase=spec.phrase, timezone=spec.timezone, hash_key=spec.hash_key, start=spec.start)


def _text(spec: CronSpec | EverySpec) -> str:
    return spec.expression if isinstance(spec, CronSpec) else f"every: {spec.phrase}"


def _show(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
