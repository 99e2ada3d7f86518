"""What commands that ask for a run have in common: what they say when no engine is there, and how they wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.following import OutputPrinter, follow
from orchestrator.cli.run_views import ending
from orchestrator.cli.times import exact
from orchestrator.client.place import Place
from orchestrator.core.runs import Run

if TYPE_CHECKING:
    from orchestrator.store.creation import Created
    from orchestrator.store.store import Store

WaitOption = Annotated[
    bool, typer.Option("--wait", "-w", help="Print its output until it is finished, and exit with its outcome.")
]
NoCheckOption = Annotated[
    bool, typer.Option("--no-check", help="Don't ask the callable whether it takes the parameters.")
]


def created_in_words(made: Created, due_at: datetime | None = None) -> str:
    """`run 12 of send is queued`, or that there is one already."""
    if made.duplicate:
        return f"run {made.id} of {made.job} has the same key and is {made.state.value}: nothing was created"
    when = f", due {exact(due_at)}" if due_at is not None else ""
    return f"run {made.id} of {made.job} is {made.state.value}{when}"


def no_engine(place: Place, *, wait: bool) -> str:
    """What to tell a person whose run nobody executes yet."""
    until = "this waits until" if wait else "the run waits until"
    return f"no engine is running on {place.database}: {until} `orchestrator run` starts"


def wait_for(store: Store, run_id: int, *, quiet: bool) -> Run:
    """Show a run's output and its end, unless `quiet`; gives the run once it is finished."""
    if quiet:
        return follow(store, run_id, lambda _: None)
    printer = OutputPrinter()
    run = follow(store, run_id, printer.show)
    printer.finish()
    print(ending(run, datetime.now(UTC)))
    return run


def read_run(store: Store, run_id: int) -> Run:
    """The run as it is now."""
    from orchestrator.store import queries

    return store.read(queries.get_run, run_id)
