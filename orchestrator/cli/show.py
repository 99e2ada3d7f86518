"""`orchestrator show`: what happened in a run?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.cli.log_lines import LogLines
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption, RunArgument
from orchestrator.cli.run_views import first_line, progress_text, state_text, took
from orchestrator.cli.sizes import in_bytes
from orchestrator.cli.step_tree import print_steps
from orchestrator.cli.tables import Cell, print_fields, print_json, print_table
from orchestrator.cli.terminal import Painter
from orchestrator.cli.times import exact, lasting
from orchestrator.client.place import find_place
from orchestrator.core.runs import Attempt, LogLine, Outcome, Run

if TYPE_CHECKING:
    from sqlalchemy import Connection

SHOWN_LOG = 40
"""Pieces of output at the end of the log; `orchestrator logs` prints all."""


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that the store knows of a run."""

    run: Run
    attempts: list[Attempt]
    logs: list[LogLine]
    steps: Sequence[Any] = ()
    """Of a workflow."""


def show(run: RunArgument, *, as_json: JsonOption = False, config: ConfigOption = None, db: DbOption = None) -> None:
    """Show what happened in a run.

    Its attempts, error, progress, parameters, result and log. A large result is only named: `result` prints it.
    """
    with opened_store(find_place(config, db)) as store:
        report = store.read(_gather, run)
        folder = store.database.results
    if as_json:
        print_json(report)
        return
    print_fields(_fields(report.run, datetime.now(UTC), folder))
    if report.steps:
        print()
        print_steps(run, report.steps, datetime.now(UTC))
    if report.attempts:
        print()
        print_table(("ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR"), [_row(a) for a in report.attempts])
    _print_traceback(report.attempts)
    _print_log(run, report.logs)


def _gather(connection: Connection, run_id: int) -> RunReport:
    from orchestrator.store import queries
    from orchestrator.store.flow_views import list_steps

    return RunReport(
        run=queries.get_run(connection, run_id),
        attempts=queries.list_attempts(connection, run_id),
        logs=[line for _, line in queries.list_logs(connection, run_id)],
        steps=list_steps(connection, run_id),
    )


def _fields(run: Run, now: datetime, folder: Path) -> list[tuple[str, str]]:
    fields: list[tuple[str, str | None]] = [
        ("run", str(run.id)),
        ("job", run.job),
        ("state", state_text(run)),
        ("reason", run.reason),
        ("cause", _cause(run)),
        ("queue", f"{run.queue}, priority {run.priority}" if run.priority else run.queue),
        ("executed", f"in a batch with run {run.batch_id}; its output is there" if run.batch_id else None),
        ("fire time", _instant(run.fire_time)),
        ("created", _instant(run.created_at)),
        ("due", _instant(run.due_at)),
        ("started", _instant(run.started_at)),
        ("finished", _instant(run.finished_at)),
        ("took", took(run, now)),
        ("deadline", _instant(run.deadline_at)),
        ("progress", progress_text(*run.progress) if run.progress else None),
        ("params", _json(run.params)),
        ("result", _result(run, folder)),
    ]
    return [(name, value) for name, value in fields if value]


def _cause(run: Run) -> str:
    if run.flow_id is not None:
        item = "" if run.item_index is None else f", item {run.item_index}"
        return f"step {run.step or '(an earlier try)'} of run {run.flow_id}{item}"
    return f"{run.cause.value}, of run {run.parent_id}" if run.parent_id else run.cause.value


def _instant(at: datetime | None) -> str | None:
    return None if at is None else exact(at)


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _result(run: Run, folder: Path) -> str | None:
    """A small one itself; of a large one, where it is."""
    if not (files := run.result_files):
        return _json(run.result)
    size = in_bytes(sum(file.size for file in files))
    where = folder / files[0].name if len(files) == 1 else f"{len(files)} files in {folder}"
    return f"{size} in {where} (all of it: `orchestrator result {run.id}`)"


def _row(attempt: Attempt) -> list[Cell]:
    error = f"{attempt.error.type}: {attempt.error.message}" if attempt.error else ""
    style = "green" if attempt.outcome is Outcome.SUCCEEDED else "red"
    number = str(attempt.number)
    if attempt.outcome is Outcome.RELEASED:
        number, style = f"({number})", "yellow"
    return [
        number,
        (attempt.outcome.value, style),
        exact(attempt.started_at),
        lasting(attempt.finished_at - attempt.started_at),
        str(attempt.worker_pid or ""),
        first_line(error),
    ]


def _print_traceback(attempts: Sequence[Attempt]) -> None:
    failed = [attempt for attempt in attempts if attempt.error is not None]
    if failed and (error := failed[-1].error) is not None:
        heading = f"error of attempt {failed[-1].number}"
        print(f"\n{Painter(sys.stdout).paint(heading, 'bold')}\n{error.traceback or error.message}".rstrip())


def _print_log(run_id: int, logs: Sequence[LogLine]) -> None:
    if not logs:
        return
    print(f"\n{Painter(sys.stdout).paint('log', 'bold')}")
    if len(logs) > SHOWN_LOG:
        print(f"(its end; all of it: `orchestrator logs {run_id}`)")
    lines = LogLines(sys.stdout)
    sys.stdout.write("".join(lines.text(piece) for piece in logs[-SHOWN_LOG:]) + lines.end())
