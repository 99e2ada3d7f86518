"""`orchestrator queue list` and `show`: how deep is it, what holds it back?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.queue_reports import QueueReport, known_plan, report_queues, with_keys
from orchestrator.cli.tables import Cell, print_fields, print_json, print_table
from orchestrator.cli.times import coarse, exact, relative
from orchestrator.client.place import Place, find_place
from orchestrator.core.runs import RunState

QueueArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a queue.")]
_STATES = (RunState.RUNNING, RunState.QUEUED, RunState.SCHEDULED, RunState.WAITING)


def list_queues(*, as_json: JsonOption = False, config: ConfigOption = None, db: DbOption = None) -> None:
    """List the queues with what waits in them."""
    now = datetime.now(UTC)
    reports = all_reports(find_place(config, db), now)
    if as_json:
        print_json(reports)
        return
    headings = ("QUEUE", *(state.upper() for state in _STATES), "OLDEST", "RATE", "NOTE")
    print_table(headings, [_row(report, now) for report in reports])


def show_queue(
    name: QueueArgument, *, as_json: JsonOption = False, config: ConfigOption = None, db: DbOption = None
) -> None:
    """Show a queue with its limits and, if it has keys, those of which most waits."""
    place, now = find_place(config, db), datetime.now(UTC)
    report = named_report(all_reports(place, now), name)
    if report.per_key is not None and place.has_state:
        with opened_store(place) as store:
            report = store.read(with_keys, report)
    if as_json:
        print_json(report)
    else:
        _print(report, now)


def all_reports(place: Place, now: datetime) -> list[QueueReport]:
    """What there is to know of every queue."""
    plan = known_plan(place)
    with opened_store(place, create=plan is not None) as store:
        return store.read(report_queues, plan.queues if plan is not None else {}, now)


def named_report(reports: list[QueueReport], name: str) -> QueueReport:
    """The report of that queue. Raises `CommandError`."""
    by_name = {report.name: report for report in reports}
    if name not in by_name:
        import difflib

        close = difflib.get_close_matches(name, sorted(by_name), n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else "`orchestrator queue list` lists them"
        raise CommandError(f"there is no queue {name!r}", hint)
    return by_name[name]


def _row(report: QueueReport, now: datetime) -> list[Cell]:
    counts = [str(report.runs.get(state, 0)) for state in _STATES]
    oldest = relative(report.oldest_due, now) if report.oldest_due else ""
    note: Cell = ""
    if report.paused_since is not None:
        note = (f"paused for {coarse(now - report.paused_since)}", "yellow")
    elif not report.declared:
        note = ("not in jobs.yaml", "dim")
    return [report.name, *counts, oldest, _rate(report), note]


def _rate(report: QueueReport) -> str:
    return "" if report.rate is None else f"{report.rate.used} of {report.rate.limit}"


def _print(report: QueueReport, now: datetime) -> None:
    counts = ", ".join(f"{report.runs[state]} {state.value}" for state in _STATES if report.runs.get(state))
    fields = [("queue", report.name), ("runs", counts or "none")]
    if report.paused_since is not None:
        fields.append(("paused", f"since {exact(report.paused_since)} ({relative(report.paused_since, now)})"))
    if report.oldest_due is not None:
        fields.append(("oldest", f"due {relative(report.oldest_due, now)}"))
    if not report.declared:
        fields.append(("note", "jobs.yaml has no such queue, or can't be read"))
    if report.order is not None:
        fields.append(("order", report.order.value))
    if report.concurrency is not None:
        fields.append(("concurrency", str(report.concurrency)))
    if report.rate is not None:
        waits = (
            f", the next start is possible {relative(report.rate.next_start, now)}" if report.rate.next_start else ""
        )
        fields.append(("rate limit", f"{report.rate.limit}: {report.rate.used} used{waits}"))
    fields += _key_fields(report)
    print_fields(fields)
    if report.keys:
        print()
        print_table(("KEY", "QUEUED", "RUNNING"), [[one.key, str(one.queued), str(one.running)] for one in report.keys])


def _key_fields(report: QueueReport) -> list[tuple[str, str]]:
    per_key = report.per_key
    if per_key is None:
        return []
    limits = [
        f"{per_key.concurrency} at once" if per_key.concurrency is not None else "",
        f"{per_key.rate_limit}" if per_key.rate_limit is not None else "",
    ]
    return [("each key", ", ".join([per_key.by, *filter(None, limits)]))]
