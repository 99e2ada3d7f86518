"""`orchestrator simulate`: what would a period look like?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer

from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.errors import CommandError
from orchestrator.cli.fire_times import clock_change
from orchestrator.cli.options import ConfigOption, JsonOption
from orchestrator.cli.tables import print_json, print_table
from orchestrator.cli.times import coarse, exact, parse_instant
from orchestrator.client.job_names import named_job
from orchestrator.client.place import find_place
from orchestrator.client.planning import Compilation
from orchestrator.core.errors import UnitError
from orchestrator.core.units import parse_duration

if TYPE_CHECKING:
    from orchestrator.core.plan import Plan
    from orchestrator.engine.simulation import Happening, Scenario, Simulated

LISTED = 50
"""Happenings that are listed unless all are asked for."""
LONGEST = timedelta(days=3660)
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="When it begins, in ISO 8601; in the file's timezone [default: now]."),
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="When it ends [default: a day after its beginning].")
]
JobsOption = Annotated[
    list[str] | None, typer.Option("--job", metavar="JOB", help="Show only this job; all take part. May be repeated.")
]
DurationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--duration", metavar="[JOB=]DURATION", help="How long a run of the job takes, or of any other [default: 1s]."
    ),
]
DownOption = Annotated[
    list[str] | None,
    typer.Option("--down", metavar="TIME/DURATION", help="No engine works from then on for so long. May be repeated."),
]
AllOption = Annotated[bool, typer.Option("--all", help=f"List everything that happens, not only the first {LISTED}.")]


class ClockChange(msgspec.Struct, frozen=True, kw_only=True):
    """A day of the period on which the clocks change."""

    day: str
    timezone: str
    note: str


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What `simulate --json` prints."""

    begin: datetime
    end: datetime
    clock_changes: list[ClockChange]
    result: Simulated
    happenings: list[Happening]
    left_out: int
    """Happenings beyond those listed."""


def simulate(
    *,
    begin: FromOption = None,
    end: ToOption = None,
    job: JobsOption = None,
    duration: DurationOption = None,
    down: DownOption = None,
    every: AllOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Simulate a period.

    Every fire with its overlaps, what is caught up after downtime, and how deep the queues get. Nothing is executed:
    runs take as long as you say, and succeed. Days on which the clocks change are marked.
    """
    with Compilation(find_place(config, None).required_config()) as compilation:
        plan = require_plan(compilation.result(), sys.stderr)
    for name in job or ():
        named_job(plan, name)
    scenario = _scenario(plan, (begin, end), duration or [], down or [])
    found = _simulated(plan, scenario, frozenset(job or ()), sys.maxsize if every else LISTED)
    if as_json:
        print_json(found)
    else:
        _print(plan, found)


def _scenario(plan: Plan, period: tuple[str | None, str | None], durations: list[str], downs: list[str]) -> Scenario:
    from orchestrator.engine.simulation import DEFAULT_DURATION, Scenario

    zone = ZoneInfo(plan.timezone)
    begin = parse_instant(period[0], zone) if period[0] else datetime.now(UTC).replace(microsecond=0)
    end = parse_instant(period[1], zone) if period[1] else begin + timedelta(days=1)
    if not begin < end <= begin + LONGEST:
        raise CommandError("--to must be later than --from, by at most ten years")
    named: dict[str, timedelta] = {}
    otherwise = DEFAULT_DURATION
    for text in durations:
        name, has_name, value = text.rpartition("=")
        if has_name:
            named[named_job(plan, name).name] = _length(value)
        else:
            otherwise = _length(value)
    return Scenario(
        begin=begin, end=end, durations=named, otherwise=otherwise, downtimes=sorted(_downtimes(downs, zone))
    )


def _downtimes(texts: list[str], zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    for text in texts:
        begin, _, length = text.partition("/")
        gone = parse_instant(begin, zone)
        yield gone, gone + _length(length)


def _length(text: str) -> timedelta:
    try:
        length = parse_duration(text)
    except UnitError as error:
        raise CommandError(str(error)) from None
    return length


def _simulated(plan: Plan, scenario: Scenario, shown: frozenset[str], limit: int) -> Simulation:
    from orchestrator.engine.simulation import Simulation as Engine

    happenings: list[Happening] = []
    left_out = 0

    def tell(happening: Happening) -> None:
        nonlocal left_out
        if shown and happening.job not in shown:
            return
        if len(happenings) < limit:
            happenings.append(happening)
        else:
            left_out += 1

    result = Engine(plan, scenario, tell).run()
    if shown:
        result.jobs = {name: figures for name, figures in result.jobs.items() if name in shown}
    return Simulation(
        begin=scenario.begin,
        end=scenario.end,
        clock_changes=list(_clock_changes(plan, scenario, shown)),
        result=result,
        happenings=happenings,
        left_out=left_out,
    )


def _clock_changes(plan: Plan, scenario: Scenario, shown: frozenset[str]) -> Iterator[ClockChange]:
    for name in sorted({job.timezone for job in plan.jobs.values() if not shown or job.name in shown}):
        zone = ZoneInfo(name)
        at = scenario.begin
        while at < scenario.end:
            if note := clock_change(at, zone):
                yield ClockChange(day=f"{at.astimezone(zone):%Y-%m-%d}", timezone=name, note=note)
            at += timedelta(days=1)


def _print(plan: Plan, found: Simulation) -> None:
    zone = ZoneInfo(plan.timezone)
    print(f"from {exact(found.begin, zone)} to {exact(found.end, zone)}")
    for change in found.clock_changes:
        print(f"{change.day}: {change.note} ({change.timezone})")
    print()
    heads = ("JOB", "FIRES", "RUNS", "SKIPPED", "CAUGHT UP", "REPLACED", "LONGEST WAIT", "FIRST", "LAST")
    print_table(heads, [_job_row(plan, name, found) for name in found.result.jobs])
    print()
    rows = [
        [name, str(q.deepest), exact(q.deepest_at, zone) if q.deepest_at else "", str(q.left)]
        for name, q in sorted(found.result.queues.items())
    ]
    print_table(("QUEUE", "DEEPEST", "AT", "LEFT AT THE END"), rows)
    if found.happenings:
        print()
        print_table(("AT", "JOB", "CAUSE", "OUTCOME", "WAITING", "NOTE"), [_row(plan, one) for one in found.happenings])
    if found.left_out:
        print(f"and {found.left_out} more; --all lists them")


def _job_row(plan: Plan, name: str, found: Simulation) -> list[str]:
    figures = found.result.jobs[name]
    zone = ZoneInfo(plan.jobs[name].timezone)
    counts = (figures.fires, figures.runs, figures.skipped, figures.caught_up, figures.replaced)
    ends = [exact(at, zone) if at else "" for at in (figures.first, figures.last)]
    return [name, *map(str, counts), coarse(figures.longest_wait), *ends]


def _row(plan: Plan, happening: Happening) -> list[str]:
    zone = ZoneInfo(plan.jobs[happening.job].timezone)
    at = happening.fire_time or happening.at
    notes = [happening.reason or "", clock_change(at, zone)]
    note = "; ".join(filter(None, notes))
    return [
        exact(at, zone),
        happening.job,
        happening.cause.value,
        happening.outcome,
        str(happening.depth),
        note,
    ]
