"""`orchestrator dead`: the runs that failed for good, and what a person decides about them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.run_views import first_line
from orchestrator.cli.tables import Cell, print_json, print_table
from orchestrator.cli.times import relative
from orchestrator.cli.wishing import NO_ENGINE
from orchestrator.client.job_names import unknown_job
from orchestrator.client.place import find_place
from orchestrator.core.errors import ConflictError
from orchestrator.core.runs import Run

if TYPE_CHECKING:
    from orchestrator.store.store import Store

AT_ONCE = 200
"""Dead letters in one transaction: engines write between two of them."""
RunsArgument = Annotated[
    list[int] | None, typer.Argument(metavar="RUN...", help="Numbers of dead letters.", show_default=False)
]
JobsOption = Annotated[
    list[str] | None, typer.Option("--job", "-j", metavar="JOB", help="Those of this job; repeat it.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
CountOption = Annotated[
    int, typer.Option("--count", "-n", metavar="N", min=1, max=10**9, help="At most so many, the newest.")
]

dead = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, retry or drop runs that failed for good.")


@dead.command("list")
def list_dead(
    *,
    job: JobsOption = None,
    count: CountOption = 50,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """List the dead letters, newest first."""
    from orchestrator.store import queries
    from orchestrator.store.dead import find_dead

    with opened_store(find_place(config, db)) as store:
        ids = store.read(find_dead, job or ())
        found = store.read(queries.get_runs, ids[-count:])
    newest = [found[run_id] for run_id in reversed(ids[-count:]) if run_id in found]
    now = datetime.now(UTC)
    if as_json:
        print_json(newest)
    elif newest:
        print_table(("RUN", "JOB", "FAILED", "ATTEMPTS", "REASON"), [_row(run, now) for run in newest])
        if len(ids) > len(newest):
            print(f"and {len(ids) - len(newest)} older ones: -n shows more")
    else:
        print("no dead letters")


@dead.command("retry")
def retry_dead(
    runs: RunsArgument = None,
    *,
    job: JobsOption = None,
    everything: AllOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Queue dead letters again, with all their attempts ahead of them.

    Named by their numbers, by their job, or all.
    """
    from orchestrator.store import dead as letters

    now = datetime.now(UTC)
    with opened_store(find_place(config, db)) as store:
        wanted = _wanted(store, runs, job, everything=everything)
        done = _each(wanted, named=bool(runs), work=lambda ids: store.write(letters.retry_dead, ids, now))
        alive = wake_engines(store, now)
    print(f"{_counted(done)} queued again" + ("" if alive or not done else f"; {NO_ENGINE}"))


@dead.command("drop")
def drop_dead(
    runs: RunsArgument = None,
    *,
    job: JobsOption = None,
    everything: AllOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Delete dead letters with their history.

    Named by their numbers, by their job, or all. On a terminal you are asked first.
    """
    with opened_store(find_place(config, db)) as store:
        wanted = _wanted(store, runs, job, everything=everything)
        if wanted and not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {_counted(len(wanted))} with logs and results?", abort=True, err=True)
        done = _each(wanted, named=bool(runs), work=lambda ids: _drop(store, ids))
    print(f"{_counted(done)} dropped")


def _drop(store: Store, run_ids: Sequence[int]) -> None:
    from orchestrator.core.result_files import delete
    from orchestrator.store import dead as letters

    delete(store.database.results, store.write(letters.drop_dead, run_ids))


def _wanted(
    store: Store, run_ids: Sequence[int] | None, jobs: Sequence[str] | None, *, everything: bool
) -> Sequence[int]:
    """Exactly one of the three ways to name them. Raises `CommandError`."""
    from orchestrator.store.dead import count_dead, find_dead

    if bool(run_ids) + bool(jobs) + everything != 1:
        hint = "`orchestrator dead list` shows what there is"
        raise CommandError("name dead letters by their numbers, by --job JOB, or as --all", hint)
    if run_ids:
        return list(dict.fromkeys(run_ids))
    counts = store.read(count_dead)
    for job in jobs or ():
        if job not in counts and counts:
            raise unknown_job(job, counts, "with dead letters")
    return store.read(find_dead, jobs or ())


def _each(wanted: Sequence[int], *, named: bool, work: Callable[[Sequence[int]], object]) -> int:
    """Do it; gives how many it was. Those named by number stand or fall together; of others, one that somebody else
    took meanwhile is left out."""
    if named:
        work(wanted)
        return len(wanted)
    done = 0
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        try:
            work(some)
            done += len(some)
        except ConflictError:
            done += sum(_one(run_id, work) for run_id in some)
    return done


def _one(run_id: int, work: Callable[[Sequence[int]], object]) -> bool:
    try:
        work([run_id])
    except ConflictError:
        return False
    return True


def _row(run: Run, now: datetime) -> list[Cell]:
    failed = relative(run.finished_at, now) if run.finished_at else ""
    return [str(run.id), run.job, failed, str(run.charged), first_line(run.reason)]


def _counted(number: int) -> str:
    return f"{number} dead letter{'' if number == 1 else 's'}"
