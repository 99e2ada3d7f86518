"""`orchestrator status`: does it work, and what is there to do? Fit for a container's health check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from orchestrator.cli.engines import is_well, named
from orchestrator.cli.fire_times import job_fires
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.run_views import ending, first_line
from orchestrator.cli.tables import Cell, print_fields, print_json, print_table
from orchestrator.cli.times import coarse, exact, relative
from orchestrator.client.place import Place, find_place
from orchestrator.core.errors import UnitError
from orchestrator.core.runs import Run, RunState
from orchestrator.core.units import parse_duration

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from orchestrator.core.plan import Plan
    from orchestrator.store.instances import Instance
    from orchestrator.store.lateness import OpenAlert

UNHEALTHY = 1
_COLUMNS = (RunState.RUNNING, RunState.QUEUED, RunState.SCHEDULED, RunState.WAITING)


def _duration(text: str | timedelta) -> timedelta:
    try:
        return text if isinstance(text, timedelta) else parse_duration(text)
    except UnitError as error:
        raise typer.BadParameter(str(error)) from None


MaxWaitOption = Annotated[
    timedelta,
    typer.Option(
        metavar="DURATION", parser=_duration, help="Unhealthy, once a run that is due has waited longer than this."
    ),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Leave out the next fire, for which jobs.yaml has to be read.")
]


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """An engine as `status --json` prints it. Durations are in seconds."""

    id: int
    host: str
    pid: int
    well: bool
    uptime: float
    heartbeat_age: float
    config: str
    config_at: datetime
    config_error: str | None


class NextFire(msgspec.Struct, frozen=True, kw_only=True):
    """What fires first, and when."""

    job: str
    at: datetime


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that `status --json` prints."""

    healthy: bool
    problems: list[str]
    at: datetime
    engines: list[EngineReport]
    queues: dict[str, dict[RunState, int]]
    """Unfinished runs by queue and state."""
    paused_queues: dict[str, datetime]
    """Those that are held back, and since when."""
    oldest_due: Run | None
    """The run that has been due for longest and has not started; not of a paused job or queue."""
    next_fire: NextFire | None
    last_failure: Run | None
    dead_letters: int
    late: list[OpenAlert]
    """What is late by the jobs' `sla`. That is the jobs' trouble, not the orchestrator's: it stays healthy."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says, all of the same moment."""

    engines: list[Instance] = []
    active: dict[tuple[str, RunState], int] = {}
    oldest_due: Run | None = None
    last_failure: Run | None = None
    dead: int = 0
    late: list[OpenAlert] = []
    cursors: Mapping[tuple[str, str], datetime] = {}
    paused: Mapping[str, datetime] = {}
    paused_queues: Mapping[str, datetime] = {}


def status(
    *,
    max_wait: MaxWaitOption = "5m",  # type: ignore[assignment]  # typer parses it
    quick: QuickOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Say whether jobs are being run.

    Exit status 0 when an engine lives, uses the configuration as it is, and nothing that is due waits too long;
    otherwise 1, with the reasons.
    """
    place = find_place(config, db)
    found = _gathered(place)
    report = _report(found, None if quick else _next_fire(place, found), max_wait, datetime.now(UTC))
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not report.healthy:
        raise typer.Exit(UNHEALTHY)


def _gathered(place: Place) -> Findings:
    if not place.has_state:
        return Findings()
    with opened_store(place) as store:
        return store.read(_gather, datetime.now(UTC))


def _gather(connection: Connection, now: datetime) -> Findings:
    from orchestrator.store import dead, health, instances, lateness, pauses, queries

    return Findings(
        engines=instances.living(connection),
        active=queries.count_active(connection),
        oldest_due=health.oldest_due(connection, now),
        last_failure=health.last_failure(connection),
        dead=sum(dead.count_dead(connection).values()),
        late=lateness.open_alerts(connection),
        cursors=queries.read_cursors(connection),
        paused=queries.paused_jobs(connection),
        paused_queues=pauses.paused_queues(connection),
    )


def _next_fire(place: Place, found: Findings) -> NextFire | None:
    """The next fire, by jobs.yaml as it is now; none if that can't be read: `orchestrator validate` says why."""
    if not place.config.is_file():
        return None
    from orchestrator.client.compile import load_project

    plan = load_project(place.config, inspect=False).plan
    return None if plan is None else _first(plan, found)


def _first(plan: Plan, found: Findings) -> NextFire | None:
    now = datetime.now(UTC)
    jobs = [job for job in plan.declared if job.enabled and job.name not in found.paused]
    fires = [(at, job.name) for job in jobs for at in job_fires(job, found.cursors, now, 1)]
    return NextFire(job=min(fires)[1], at=min(fires)[0]) if fires else None


def _report(found: Findings, next_fire: NextFire | None, max_wait: timedelta, now: datetime) -> StatusReport:
    problems = _problems(found, max_wait, now)
    queues: dict[str, dict[RunState, int]] = {}
    for (queue, state), count in sorted(found.active.items()):
        queues.setdefault(queue, {})[state] = count
    return StatusReport(
        healthy=not problems,
        problems=problems,
        at=now,
        engines=[_engine(engine, now) for engine in found.engines],
        queues=queues,
        paused_queues=dict(found.paused_queues),
        oldest_due=found.oldest_due,
        next_fire=next_fire,
        last_failure=found.last_failure,
        dead_letters=found.dead,
        late=found.late,
    )


def _problems(found: Findings, max_wait: timedelta, now: datetime) -> list[str]:
    problems = []
    well = [engine for engine in found.engines if is_well(engine, now)]
    if not well:
        problems.append("no engine is running" if not found.engines else "no engine is alive")
    problems += [
        f"{named(engine)} goes on with its earlier configuration: {engine.config_error}"
        for engine in well
        if engine.config_error is not None
    ]
    run = found.oldest_due
    if run is not None and now - run.due_at > max_wait:
        problems.append(f"run {run.id} of {run.job} has been due for {coarse(now - run.due_at)}")
    return problems


def _engine(engine: Instance, now: datetime) -> EngineReport:
    return EngineReport(
        id=engine.id,
        host=engine.host,
        pid=engine.pid,
        well=is_well(engine, now),
        uptime=(now - engine.started_at).total_seconds(),
        heartbeat_age=(now - engine.heartbeat_at).total_seconds(),
        config=engine.plan_path,
        config_at=engine.config_at,
        config_error=engine.config_error,
    )


def _print(report: StatusReport) -> None:
    now = report.at
    fields = [("status", "healthy" if report.healthy else "unhealthy:\n" + "\n".join(report.problems))]
    if report.next_fire is not None:
        at = report.next_fire.at
        fields.append(("next fire", f"{report.next_fire.job}, {exact(at)} ({relative(at, now)})"))
    if run := report.oldest_due:
        fields.append(("oldest due", f"run {run.id} of {run.job}, due {relative(run.due_at, now)}"))
    if run := report.last_failure:
        when = f" ({relative(run.finished_at, now)})" if run.finished_at else ""
        fields.append(("last failure", first_line(ending(run, now)) + when))
    if report.late:
        fields.append(("late", "\n".join(_late_words(alert, now) for alert in report.late)))
    for name, since in report.paused_queues.items():
        fields.append((f"queue {name}", f"paused since {exact(since)} ({relative(since, now)})"))
    letters = f"{report.dead_letters}: `orchestrator dead list`" if report.dead_letters else "none"
    print_fields([*fields, ("dead letters", letters)])
    if report.engines:
        print()
        print_table(("ENGINE", "PID", "HOST", "UP", "HEARTBEAT", "NOTE"), [_engine_row(one) for one in report.engines])
    if report.queues:
        print()
        rows = [[queue, *(str(counts.get(state, 0)) for state in _COLUMNS)] for queue, counts in report.queues.items()]
        print_table(("QUEUE", *(state.upper() for state in _COLUMNS)), rows)


def _late_words(alert: OpenAlert, now: datetime) -> str:
    what = f"run {alert.run_id} of {alert.job}" if alert.run_id else alert.job
    return f"{what} ({alert.kind.value}), known {relative(alert.at, now)}"


def _engine_row(engine: EngineReport) -> list[Cell]:
    note: Cell = ""
    if not engine.well:
        note = ("its process is gone, or it hangs", "red")
    elif engine.config_error is not None:
        note = ("its configuration was edited, and refused", "yellow")
    up, heartbeat = (coarse(timedelta(seconds=seconds)) for seconds in (engine.uptime, engine.heartbeat_age))
    return [str(engine.id), str(engine.pid), engine.host, up, f"{heartbeat} ago", note]
