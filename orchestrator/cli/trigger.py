"""`orchestrator trigger`: run a job now, in the engine that is running."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.asking import NoCheckOption, WaitOption, created_in_words, no_engine, read_run, wait_for
from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.following import exit_status
from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JobArgument, JsonOption, ParamOption
from orchestrator.cli.params import check_params, parse_params
from orchestrator.cli.tables import print_json
from orchestrator.client.job_names import usable_job
from orchestrator.client.place import find_place
from orchestrator.client.planning import Compilation
from orchestrator.core.runs import Cause

if TYPE_CHECKING:
    from orchestrator.core.plan import Job
    from orchestrator.store.creation import Created
    from orchestrator.store.store import Store


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
        made = _create(store, wanted, params)
        run_id = made.id or 0
        alive = wake_engines(store, datetime.now(UTC))
        if not as_json:
            print(created_in_words(made), flush=True)
        if not alive:
            print(no_engine(place, wait=wait), file=sys.stderr, flush=True)
        run = wait_for(store, run_id, quiet=as_json) if wait else None
        if as_json:
            print_json(run or read_run(store, run_id))
    if run is not None:
        raise typer.Exit(exit_status(run))


def _create(store: Store, job: Job, params: dict[str, Any]) -> Created:
    from orchestrator.engine.newruns import new_run
    from orchestrator.store.creation import create_runs

    return store.write(create_runs, [new_run(job, Cause.MANUAL, datetime.now(UTC), params=params)])[0]
