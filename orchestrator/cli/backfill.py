"""`orchestrator backfill`: the runs that a job's schedule would have had in a period of the past, each once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer

from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.errors import CommandError
from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JobArgument, JsonOption
from orchestrator.cli.tables import Cell, print_json, print_table
from orchestrator.cli.times import exact, parse_instant
from orchestrator.cli.wishing import NO_ENGINE
from orchestrator.client.job_names import usable_job
from orchestrator.client.place import Place, find_place
from orchestrator.client.planning import Compilation
from orchestrator.core.plan import Job
from orchestrator.core.runs import RunState
from orchestrator.core.units import format_duration

if TYPE_CHECKING:
    from orchestrator.store.backfills import Filled
    from orchestrator.store.store import Store

AT_ONCE = 200
"""Runs in one transaction: engines write between two of them."""
MANY = 10_000
"""Fire times beyond this many are asked about."""
LISTED = 50
FromOption = Annotated[
    str, typer.Option("--from", metavar="TIME", help="The first fire time, in ISO 8601; in the job's timezone.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Only fire times before this [default: now].")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
ParallelOption = Annotated[
    int | None,
    typer.Option(
        "--max-parallel", metavar="N", min=1, max=10**6, help="At most so many of the job's backfill runs at once."
    ),
]
SkippedOption = Annotated[
    bool, typer.Option("--replace-skipped", help="Also run fire times that were recorded as skipped.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help=f"Don't ask about more than {MANY:,} fire times.")]
AllOption = Annotated[bool, typer.Option("--all", help=f"List every fire time, not only the first {LISTED}.")]


class FireLine(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a fire time: `create` a run, `replace` a skipped one, or `keep` the run that it has."""

    fire_time: datetime
    action: str
    run_id: int | None
    state: RunState | None
    """Of the run that it had already."""


class BackfillReport(msgspec.Struct, kw_only=True):
    """What `backfill --json` prints."""

    job: str
    begin: datetime
    end: datetime
    dry_run: bool
    created: int = 0
    replaced: int = 0
    kept: int = 0
    skipped: int = 0
    """Of those kept, how many were skipped when they fired."""
    fires: list[FireLine] = []
    left_out: int = 0
    """Fire times beyond those listed."""


def backfill(
    job: JobArgument,
    *,
    begin: FromOption,
    end: ToOption = None,
    dry_run: DryRunOption = False,
    max_parallel: ParallelOption = None,
    replace_skipped: SkippedOption = False,
    yes: YesOption = False,
    every: AllOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Create the runs of fire times that have passed.

    Those that have a run already keep it, so it may be repeated, also after it was interrupted. The runs stand behind
    live ones, whatever their priority.
    """
    place = find_place(config, db)
    with Compilation(place.required_config()) as compilation:
        plan = require_plan(compilation.result(), sys.stderr)
    wanted = usable_job(plan, job)
    now = datetime.now(UTC)
    report = _report(wanted, begin, end, now, dry_run=dry_run)
    work = _Work(wanted, report, sys.maxsize if every else LISTED, now)
    if dry_run and not place.has_state:
        work.look(None, {}, replace_skipped=replace_skipped)
    else:
        _in_store(place, work, max_parallel=max_parallel, replace_skipped=replace_skipped, yes=yes)
    if as_json:
        print_json(report)
    else:
        _print(report, wanted)


def _report(job: Job, begin: str, end: str | None, now: datetime, *, dry_run: bool) -> BackfillReport:
    if not job.triggers:
        raise CommandError(f"{job.name} has no schedule", f"`orchestrator trigger {job.name}` runs it")
    zone = ZoneInfo(job.timezone)
    first, last = parse_instant(begin, zone), parse_instant(end, zone) if end else now
    if last > now:
        raise CommandError("--to is in the future", "fire times that are still to come are the engine's")
    if first >= last:
        raise CommandError("--to must be later than --from")
    if first < now - job.retention.age:
        age = format_duration(job.retention.age)
        print(f"note: history older than {age} is forgotten: what ran before that has no run any more", file=sys.stderr)
    return BackfillReport(job=job.name, begin=first, end=last, dry_run=dry_run)


def _in_store(place: Place, work: _Work, *, max_parallel: int | None, replace_skipped: bool, yes: bool) -> None:
    from orchestrator.store import queries

    with opened_store(place, create=True) as store:
        cursors = store.read(queries.read_cursors)
        if work.report.dry_run:
            work.look(store, cursors, replace_skipped=replace_skipped)
            return
        if not yes:
            _ask(work, cursors)
        work.fill(store, cursors, max_parallel=max_parallel, replace_skipped=replace_skipped)
        if not wake_engines(store, work.now) and work.report.created + work.report.replaced:
            print(NO_ENGINE.replace("it waits", "they wait"), file=sys.stderr)


def _ask(work: _Work, cursors: Mapping[tuple[str, str], datetime]) -> None:
    if sum(1 for _ in islice(work.fires(cursors), MANY + 1)) <= MANY:
        return
    question = f"{work.job.name} has more than {MANY:,} fire times between --from and --to"
    if not sys.stdin.isatty():
        raise CommandError(question, "--yes creates their runs all the same; --dry-run --json counts them")
    typer.confirm(f"{question}. Create their runs?", abort=True, err=True)


class _Work:
    """A period of a job, walked through in batches: no more of it is in memory than is listed."""

    def __init__(self, job: Job, report: BackfillReport, listed: int, now: datetime) -> None:
        self.job = job
        self.report = report
        self.now = now
        self._listed = listed

    def fires(self, cursors: Mapping[tuple[str, str], datetime]) -> Iterator[datetime]:
        from orchestrator.engine.backfill import past_fires

        return past_fires(self.job, self.report.begin, self.report.end, cursors)

    def look(self, store: Store | None, cursors: Mapping[tuple[str, str], datetime], *, replace_skipped: bool) -> None:
        """Note what would become of each fire time."""
        from orchestrator.store.backfills import Filled, rows_of

        for some in _batches(self.fires(cursors)):
            rows = store.read(rows_of, self.job.name, some) if store is not None else {}
            self._note(
                Filled(
                    fire_time=at,
                    run_id=0,
                    before=(row := rows.get(at)),
                    replaced=replace_skipped and row is not None and row.state is RunState.SKIPPED,
                )
                for at in some
            )

    def fill(
        self,
        store: Store,
        cursors: Mapping[tuple[str, str], datetime],
        *,
        max_parallel: int | None,
        replace_skipped: bool,
    ) -> None:
        """Create what is missing, a batch after the other; each is on disk before the next begins."""
        from orchestrator.engine.backfill import backfill_run
        from orchestrator.store.backfills import fill

        for some in _batches(self.fires(cursors)):
            new = [backfill_run(self.job, at, self.now) for at in some]
            self._note(store.write(fill, new, replace_skipped=replace_skipped, max_parallel=max_parallel))

    def _note(self, filled: Sequence[Filled] | Iterator[Filled]) -> None:
        report = self.report
        for one in filled:
            line = _line(one, dry_run=report.dry_run)
            report.created += line.action == "create"
            report.replaced += line.action == "replace"
            report.kept += line.action == "keep"
            report.skipped += line.action == "keep" and line.state is RunState.SKIPPED
            if len(report.fires) < self._listed:
                report.fires.append(line)
            else:
                report.left_out += 1


def _batches(fires: Iterator[datetime]) -> Iterator[tuple[datetime, ...]]:
    return iter(lambda: tuple(islice(fires, AT_ONCE)), ())


def _line(filled: Filled, *, dry_run: bool) -> FireLine:
    if filled.before is None:
        return FireLine(
            fire_time=filled.fire_time, action="create", run_id=None if dry_run else filled.run_id, state=None
        )
    action = "replace" if filled.replaced else "keep"
    return FireLine(fire_time=filled.fire_time, action=action, run_id=filled.before.run_id, state=filled.before.state)


def _print(report: BackfillReport, job: Job) -> None:
    if report.fires:
        zone = ZoneInfo(job.timezone)
        print_table(("FIRE TIME", "WHAT", "RUN"), [_row(line, zone, dry_run=report.dry_run) for line in report.fires])
    if report.left_out:
        print(f"and {report.left_out:,} more: --all lists them")
    would = "would be " if report.dry_run else ""
    print(f"{_runs(report.created + report.replaced)} of {job.name} {would}created; {report.kept:,} had one already")
    if report.skipped:
        print(f"{report.skipped:,} of these had been skipped: --replace-skipped runs them, too")


def _row(line: FireLine, zone: ZoneInfo, *, dry_run: bool) -> list[Cell]:
    done = {"create": "to create" if dry_run else "created", "replace": "skipped before, runs now"}
    what = done.get(line.action) or f"has a run: {line.state}"
    return [exact(line.fire_time, zone), what, str(line.run_id or "")]


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"
