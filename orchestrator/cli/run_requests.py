"""`orchestrator retry` and `orchestrator cancel`: what a person asks of one run."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, RunArgument
from orchestrator.client.place import find_place
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.runs import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.client.place import Place
    from orchestrator.store.creation import NewRun

NO_ENGINE = "no engine is running, so it waits until `orchestrator run` starts"


def retry(run: RunArgument, config: ConfigOption = None, db: DbOption = None) -> None:
    """Queue a finished run again.

    It has all its attempts ahead of it; the earlier ones stay in its history.
    """
    from orchestrator.store import requests

    now = datetime.now(UTC)
    with opened_store(find_place(config, db)) as store:
        store.write(requests.retry, run, now)
        heard = wake_engines(store, now)
    print(f"run {run} is queued again" + ("" if heard else f"; {NO_ENGINE}"))


def cancel(run: RunArgument, config: ConfigOption = None, db: DbOption = None) -> None:
    """Cancel a run.

    One that waits, at once; one that runs is asked to stop, and stopped after its job's grace. Jobs that run
    `after` its end follow.
    """
    from orchestrator.store import requests

    now, place = datetime.now(UTC), find_place(config, db)
    with opened_store(place) as store:
        left_in = store.write(requests.cancel, run, now, _followers(place, now))
        wake_engines(store, now)
    print(f"run {run} is {left_in.value}" if left_in is RunState.CANCELLED else f"run {run} has been asked to stop")


def _followers(place: Place, now: datetime) -> Callable[[str], Sequence[NewRun]]:
    """What the end of a run fires, by the configuration as it is. One that can't be read must not keep a run from being
    cancelled: then nothing follows, and that is told."""
    from orchestrator.client.compile import load_project
    from orchestrator.engine.newruns import Followers

    try:
        plan = load_project(place.required_config(), inspect=False).plan
    except OrchestratorError:
        plan = None
    if plan is None:
        print(f"warning: {place.config} can't be used, so nothing follows a run that hasn't started", file=sys.stderr)
        return lambda _: ()
    followers = Followers(plan)
    return lambda job: followers.of(job, RunState.CANCELLED, now)
