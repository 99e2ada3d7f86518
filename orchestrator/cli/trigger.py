"""`orchestrator trigger`: run a job now, in the engine that is running."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.following import OutputPrinter, exit_status, follow
from orchestrator.cli.job_names import usable_job
from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JobArgument, JsonOption, ParamOption
from orchestrator.cli.params import check_params, parse_params
from orchestrator.cli.place import Place, find_place
from orchestrator.cli.planning import Compilation
from orchestrator.cli.run_views import ending
from orchestrator.cli.tables import print_json
from orchestrator.core.runs import Cause, Run

if TYPE_CHECKING:
    from orchestrator.core.plan import Job
    from orchestrator.store.store import Store

WaitOption = Annotated[
    bool, typer.Option("--wait", "-w", help="Print its output until it is finished, and exit with its outcome.")
]
NoCheckOption = Annotated[
    bool, typer.Option("--no-check", help="Don't ask the callable whether it takes the parameters.")
]


def trigger(
    job: JobArgument,
    *,
    param: ParamOption = None,
    wait: WaitOption = False,
    no_check: NoCheckOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Run a job now.

    The run is created and left to the engine that is running, or starts next.
    """
    params = parse_params(param or ())
    place = find_place(config, db)
    with Compilation(place.required_config()) as compilation, opened_store(place, create=True) as store:
        plan = require_plan(compilation.result(), sys.stderr)
        wanted = usable_job(plan, job)
        if params and not no_check:
            check_params(plan, wanted, params)
        run_id = _create(store, wanted, params)
        alive = wake_engines(store, datetime.now(UTC))
        if not as_json:
            print(f"run {run_id} of {job} is queued", flush=True)
        if not alive:
            print(_no_engine(place, wait=wait), file=sys.stderr, flush=True)
        run = _wait(store, run_id, quiet=as_json) if wait else None
        if as_json:
            print_json(run or _read(store, run_id))
    if run is not None:
        raise typer.Exit(exit_status(run))


def _create(store: Store, job: Job, params: dict[str, Any]) -> int:
    from orchestrator.engine.newruns import new_run
    from orchestrator.store.creation import create_runs

    new = new_run(job, Cause.MANUAL, datetime.now(UTC), params=params)
    run_id = store.write(create_runs, [new])[0].id
    assert run_id is not None  # noqa: S101 - only fires and followers can have been created by others
    return run_id


def _no_engine(place: Place, *, wait: bool) -> str:
    until = "this waits until" if wait else "the run waits until"
    return f"no engine is running on {place.database}: {until} `orchestrator run` starts"


def _wait(store: Store, run_id: int, *, quiet: bool) -> Run:
    if quiet:
        return follow(store, run_id, lambda _: None)
    printer = OutputPrinter()
    run = follow(store, run_id, printer.show)
    printer.finish()
    print(ending(run, datetime.now(UTC)))
    return run


def _read(store: Store, run_id: int) -> Run:
    from orchestrator.store import queries

    return store.read(queries.get_run, run_id)
