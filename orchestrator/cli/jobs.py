"""`orchestrator jobs` and `orchestrator next`: what is there, and when does it fire?"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer

from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.fire_times import clock_change, job_fires, schedule_in_words
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, JobArgument, JsonOption
from orchestrator.cli.run_views import state_cell
from orchestrator.cli.tables import Cell, print_json, print_table
from orchestrator.cli.times import exact, relative
from orchestrator.client.job_names import named_job
from orchestrator.client.place import Place, find_place
from orchestrator.client.planning import Compilation
from orchestrator.core.plan import Job, Plan
from orchestrator.core.runs import Run

if TYPE_CHECKING:
    from sqlalchemy import Connection

FireCountOption = Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=10_000, help="How many.")]


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """A job as `jobs --json` prints it."""

    name: str
    call: str
    description: str
    schedule: list[str]
    """In words, one sentence for each trigger."""
    next_fire: datetime | None
    timezone: str
    queue: str
    enabled: bool
    paused_at: datetime | None
    unusable: str | None
    last_run: Run | None
    steps: list[str]
    """Of a workflow, in order."""


class FireReport(msgspec.Struct, frozen=True, kw_only=True):
    """A fire time as `next --json` prints it."""

    at: datetime
    local: str
    note: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What the store adds to a plan; nothing, before anything was ever run."""

    cursors: Mapping[tuple[str, str], datetime] = {}
    paused: Mapping[str, datetime] = {}
    last_runs: Mapping[str, Run] = {}


def jobs(*, as_json: JsonOption = False, config: ConfigOption = None, db: DbOption = None) -> None:
    """List the jobs.

    With their schedules in words, when each fires next in its timezone, and how its last run ended.
    """
    plan, history = _read(find_place(config, db))
    now = datetime.now(UTC)
    reports = [_report(job, history, now) for job in plan.declared]
    if as_json:
        print_json(reports)
    elif reports:
        print_table(("JOB", "WHAT", "SCHEDULE", "NEXT", "LAST RUN"), [_row(report, now) for report in reports])
    else:
        print(f"{plan.path} declares no jobs")


def next_fires(
    job: JobArgument,
    *,
    count: FireCountOption = 10,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """List a job's next fire times.

    In the job's timezone; days on which the clocks change are marked.
    """
    plan, history = _read(find_place(config, db))
    wanted = named_job(plan, job)
    now = datetime.now(UTC)
    zone = ZoneInfo(wanted.timezone)
    fires = [
        FireReport(at=at, local=exact(at, zone), note=clock_change(at, zone))
        for at in job_fires(wanted, history.cursors, now, count)
    ]
    if as_json:
        print_json(fires)
        return
    for why in _why_not(wanted, history):
        print(f"note: {why}", file=sys.stderr)
    if fires:
        print_table(("FIRES", "IN", "NOTE"), [[fire.local, relative(fire.at, now), fire.note] for fire in fires])
    else:
        words = "; ".join(schedule_in_words(wanted)) or f"only by `orchestrator trigger {job}`"
        print(f"{job} has no fire times ahead; it runs: {words}")


def _read(place: Place) -> tuple[Plan, History]:
    with Compilation(place.required_config()) as compilation:
        if not place.has_state:
            return require_plan(compilation.result(), sys.stderr), History()
        with opened_store(place) as store:
            plan = require_plan(compilation.result(), sys.stderr)
            return plan, store.read(_history, [job.name for job in plan.declared])


def _history(connection: Connection, names: list[str]) -> History:
    from orchestrator.store import queries

    return History(
        cursors=queries.read_cursors(connection),
        paused=queries.paused_jobs(connection),
        last_runs=queries.last_runs(connection, names),
    )


def _report(job: Job, history: History, now: datetime) -> JobReport:
    fires = job_fires(job, history.cursors, now, 1) if job.enabled else []
    return JobReport(
        name=job.name,
        call=job.call,
        description=job.description,
        schedule=schedule_in_words(job),
        next_fire=fires[0] if fires else None,
        timezone=job.timezone,
        queue=job.queue,
        enabled=job.enabled,
        paused_at=history.paused.get(job.name),
        unusable=job.unusable,
        last_run=history.last_runs.get(job.name),
        steps=[step.name for step in job.steps],
    )


def _row(report: JobReport, now: datetime) -> list[Cell]:
    return [
        report.name,
        report.description or report.call or f"workflow: {', '.join(report.steps)}",
        "\n".join(report.schedule) or ("by trigger only", "dim"),
        _next(report, now),
        _last(report.last_run, now),
    ]


def _next(report: JobReport, now: datetime) -> Cell:
    if report.unusable is not None:
        return f"unusable: {report.unusable}", "red"
    if not report.enabled:
        return "disabled", "dim"
    at = report.next_fire
    shown = f"{exact(at, ZoneInfo(report.timezone))} ({relative(at, now)})" if at else ""
    if report.paused_at is not None:
        return f"paused {relative(report.paused_at, now)}", "yellow"
    return shown


def _last(run: Run | None, now: datetime) -> Cell:
    if run is None:
        return "never", "dim"
    cell = state_cell(run)
    text, style = (cell, "") if isinstance(cell, str) else cell
    text = f"{text} {relative(run.finished_at or run.started_at or run.created_at, now)}"
    return (text, style) if style else text


def _why_not(job: Job, history: History) -> list[str]:
    reasons = []
    if not job.enabled:
        reasons.append(f"{job.name} is disabled (enabled: false): nothing fires")
    if job.unusable is not None:
        reasons.append(f"{job.name} is unusable: {job.unusable}")
    if job.name in history.paused:
        reasons.append(f"{job.name} is paused: its fires are recorded as skipped")
    return reasons
