"""`orchestrator runs`: which runs were there, and what became of them?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.run_views import first_line, state_cell, took, when
from orchestrator.cli.tables import Cell, print_json, print_table
from orchestrator.cli.times import parse_when
from orchestrator.client.place import find_place
from orchestrator.core.runs import Run, RunState

JobsOption = Annotated[
    list[str] | None, typer.Option("--job", "-j", metavar="JOB", help="Only of this job; repeat it.")
]
QueuesOption = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Only of this queue; repeat it.")
]
KeysOption = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", metavar="KEY", help="Only with this key, of their queue or their own; repeat it."),
]
StatesOption = Annotated[
    list[RunState] | None,
    typer.Option(
        "--state", "-s", metavar="STATE", help=f"Only in this state; repeat it. One of: {', '.join(RunState)}."
    ),
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only created since: `1h` ago, or an ISO 8601 date or time.")
]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Only created before then.")]
StepsOption = Annotated[
    bool, typer.Option("--steps", help="Also the runs of workflows' steps, which `show` lists with their workflow.")
]
CountOption = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=1, max=10**9, help="At most so many, the newest.")
]


def runs(
    *,
    job: JobsOption = None,
    queue: QueuesOption = None,
    key: KeysOption = None,
    state: StatesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    steps: StepsOption = False,
    count: CountOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """List runs, newest first."""
    from orchestrator.store import queries

    now = datetime.now(UTC)
    wanted = queries.RunFilter(
        jobs=job or (),
        queues=queue or (),
        keys=key or (),
        states=state or (),
        steps=steps or any("/" in name for name in job or ()),
        since=parse_when(since, now) if since else None,
        until=parse_when(until, now) if until else None,
        limit=count,
    )
    with opened_store(find_place(config, db)) as store:
        found = store.read(queries.list_runs, wanted)
    if as_json:
        print_json(found)
    else:
        print_runs(found, "no such runs" if job or queue or key or state or since or until else "no runs yet")


def print_runs(found: Sequence[Run], otherwise: str) -> None:
    """List these runs, or say that there are none."""
    now = datetime.now(UTC)
    if found:
        headings = ("RUN", "JOB", "STATE", "CAUSE", "WHEN", "TOOK", "ATTEMPTS", "REASON")
        print_table(headings, [_row(run, now) for run in found])
    else:
        print(otherwise)


def _row(run: Run, now: datetime) -> list[Cell]:
    return [
        str(run.id),
        run.job,
        state_cell(run),
        run.cause.value,
        when(run, now),
        took(run, now),
        str(run.charged),
        first_line(run.reason),
    ]
