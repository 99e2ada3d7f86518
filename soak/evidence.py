"""What is there to judge by? The store as plain SQL reads it, the journal, and what was acknowledged."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import NamedTuple

from soak.journal import Entry, read_acknowledged, read_journal
from soak.project import Project

FINAL = frozenset({"succeeded", "failed", "cancelled", "skipped"})


class RunRow(NamedTuple):
    """A run as the store has it; instants in microseconds since 1970."""

    id: int
    job: str
    state: str
    cause: str
    fire_time: int | None
    parent_id: int | None
    attempt: int
    uncharged: int
    reason: str | None


class AttemptRow(NamedTuple):
    """A recorded attempt."""

    run_id: int
    attempt: int
    number: int
    outcome: str


class Policy(NamedTuple):
    """What a job allows."""

    max_attempts: int
    at_most_once: bool
    concurrency: int | None
    fires_every_second: bool
    follows: str | None


@dataclass(frozen=True)
class Evidence:
    """Everything that the checker looks at."""

    runs: dict[int, RunRow]
    attempts: list[AttemptRow]
    journal: list[Entry]
    acknowledged: list[int]
    policies: dict[str, Policy]
    fired_from: int = 0
    """Since this instant an engine, or its successor, owes every fire; microseconds since 1970."""
    fired_until: int = 0
    integrity: str = "ok"
    failures: list[str] = field(default_factory=list)
    """Processes that did what nobody asked of them."""
    unfinished: list[str] = field(default_factory=list)
    """Work that healthy engines did not end in the time they had, whatever became of it later."""


def read_policies(project: Project) -> dict[str, Policy]:
    """The policies of the project's jobs, from its plan."""
    return {
        job.name: Policy(
            max_attempts=job.retry.max_attempts,
            at_most_once=job.at_most_once,
            concurrency=job.concurrency,
            fires_every_second=bool(job.triggers),
            follows=job.after[0].job if job.after else None,
        )
        for job in project.plan().jobs.values()
    }


def gather(
    project: Project,
    policies: dict[str, Policy],
    fired: tuple[int, int],
    failures: list[str],
    unfinished: list[str],
) -> Evidence:
    """Read everything. No engine may be running."""
    connection = sqlite3.connect(project.database)
    try:
        columns = ", ".join(RunRow._fields)
        rows = map(RunRow._make, connection.execute(f"SELECT {columns} FROM runs"))
        records = connection.execute("SELECT run_id, attempt, number, outcome FROM attempts ORDER BY run_id, attempt")
        return Evidence(
            runs={row.id: row for row in rows},
            attempts=[AttemptRow._make(row) for row in records],
            journal=list(read_journal(project.journal)),
            acknowledged=read_acknowledged(project.acknowledged),
            policies=policies,
            fired_from=fired[0],
            fired_until=fired[1],
            integrity=connection.execute("PRAGMA integrity_check").fetchone()[0],
            failures=failures,
            unfinished=unfinished,
        )
    finally:
        connection.close()
