"""`orchestrator pause` and `orchestrator resume`: hold a job back for a while."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JobArgument
from orchestrator.client.job_names import named_job
from orchestrator.client.place import Place, find_place

if TYPE_CHECKING:
    from orchestrator.store.store import Store


def pause(job: JobArgument, config: ConfigOption = None, db: DbOption = None) -> None:
    """Hold a job back until it is resumed.

    Nothing of it starts, and its fires are recorded as skipped; what runs already goes on.
    """
    from orchestrator.store import requests

    place = find_place(config, db)
    now = datetime.now(UTC)
    with opened_store(place, create=place.config.is_file()) as store:
        _check_name(place, store, job)
        changed = store.write(requests.pause, job, now)
        wake_engines(store, now)
    print(f"{job} is paused" if changed else f"{job} was paused already")


def resume(job: JobArgument, config: ConfigOption = None, db: DbOption = None) -> None:
    """Let a paused job go on."""
    from orchestrator.store import requests

    place = find_place(config, db)
    with opened_store(place, create=place.config.is_file()) as store:
        changed = store.write(requests.resume, job, datetime.now(UTC))
        if not changed:
            _check_name(place, store, job)
        wake_engines(store, datetime.now(UTC))
    print(f"{job} is resumed" if changed else f"{job} was not paused")


def _check_name(place: Place, store: Store, job: str) -> None:
    """Refuse a job that neither the engine nor the configuration knows: one can pause while the latter is broken."""
    from orchestrator.store import queries

    if any(job == known for known, _ in store.read(queries.read_cursors)):
        return
    from orchestrator.cli.diagnosis import require_plan
    from orchestrator.client.compile import load_project

    named_job(require_plan(load_project(place.required_config(), inspect=False), sys.stderr), job)
