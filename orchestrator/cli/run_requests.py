"""`orchestrator retry` and `orchestrator cancel`: what a person asks of one run."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, RunArgument
from orchestrator.cli.place import find_place
from orchestrator.core.runs import RunState

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

    One that waits, at once; one that runs is asked to stop, and stopped after its job's grace.
    """
    from orchestrator.store import requests

    now = datetime.now(UTC)
    with opened_store(find_place(config, db)) as store:
        left_in = store.write(requests.cancel, run, now)
        wake_engines(store, now)
    print(f"run {run} is {left_in.value}" if left_in is RunState.CANCELLED else f"run {run} has been asked to stop")
