"""`orchestrator explain`: what does a schedule mean?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.fire_times import clock_change
from orchestrator.cli.options import JsonOption
from orchestrator.cli.tables import print_json, print_table
from orchestrator.cli.times import exact, relative
from orchestrator.core.errors import TriggerError

if TYPE_CHECKING:
    from orchestrator.core.triggers import TimeSpec

ScheduleArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCHEDULE",
        help="A cron expression, an alias like @daily, one of NestJS's names, or a phrase of `every:`; in quotes.",
    ),
]
TimezoneOption = Annotated[str, typer.Option("--timezone", "-z", metavar="ZONE", help="An IANA timezone.")]
FireCountOption = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=0, max=10_000, help="How many fire times.")
]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as `explain --json` prints it."""

    words: str
    timezone: str
    warnings: list[str]
    next_fires: list[datetime]


def explain(
    schedule: ScheduleArgument,
    *,
    timezone: TimezoneOption = "UTC",
    count: FireCountOption = 5,
    as_json: JsonOption = False,
) -> None:
    """Say a schedule in words.

    With warnings and the next fire times. Needs no configuration.
    """
    now = datetime.now(UTC)
    try:
        told = _explained(_read(schedule, timezone, now), timezone, now, count)
    except TriggerError as error:
        raise CommandError(str(error), error.hint) from None
    if as_json:
        print_json(told)
        return
    print(told.words)
    for warning in told.warnings:
        print(f"warning: {warning}")
    if told.next_fires:
        from orchestrator.triggers.zones import zone

        tz = zone(timezone)
        print()
        rows = [[exact(at, tz), relative(at, now), clock_change(at, tz)] for at in told.next_fires]
        print_table(("FIRES", "IN", "NOTE"), rows)


def _explained(spec: TimeSpec, timezone: str, now: datetime, count: int) -> Explanation:
    from orchestrator.triggers.explain import explain as in_words
    from orchestrator.triggers.lint import lint
    from orchestrator.triggers.preview import preview

    return Explanation(
        words=in_words(spec),
        timezone=timezone,
        warnings=lint(spec, now),
        next_fires=preview(spec, now, count),
    )


def _read(text: str, timezone: str, now: datetime) -> TimeSpec:
    """The schedule, as cron if it can be and else as a phrase. Raises `TriggerError`, as what it looks like."""
    from orchestrator.core.triggers import CronSpec, EverySpec
    from orchestrator.triggers.validate import check, normalise_cron

    phrase = text.strip().removeprefix("every ").removeprefix("every: ")
    looks_like_phrase = phrase != text.strip() or not _looks_like_cron(text)
    try:
        expression, hash_key = normalise_cron(text, "")
        spec: TimeSpec = CronSpec(expression=expression, timezone=timezone, hash_key=hash_key)
    except TriggerError:
        if not looks_like_phrase:
            raise
        spec = EverySpec(phrase=phrase, timezone=timezone)
    check(spec, now)
    return spec


def _looks_like_cron(text: str) -> bool:
    return text.startswith(("@", "*", "CronExpression")) or len(text.split()) > 4 or text.isupper()
