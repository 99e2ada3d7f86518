"""Straight into the state database: what a test asks often, without starting a command each time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Attempt, Cause
from orchestrator.store import instances, queries, wake
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store
from tests.project import Project


def ask(project: Project, query: Callable[..., Any], *arguments: Any) -> Any:
    """Ask the store."""
    store = Store(f"sqlite:///{project.database}", create=False)
    try:
        return store.read(query, *arguments)
    finally:
        store.close()


def enqueue(project: Project, *jobs: str, isolation: Isolation = Isolation.PROCESS) -> list[int]:
    """What `orchestrator trigger` does for jobs without parameters, in one transaction; gives the runs' ids."""
    now = datetime.now(UTC)
    new = [NewRun(job=job, cause=Cause.MANUAL, created_at=now, due_at=now, isolation=isolation) for job in jobs]
    store = Store(f"sqlite:///{project.database}", create=False)
    try:
        created = store.write(create_runs, new)
        wake.wake(store.read(instances.living))
    finally:
        store.close()
    return [one.id for one in created if one.id is not None]


def attempts(project: Project, run_id: int) -> list[Attempt]:
    """The finished attempts of a run, oldest first."""
    found: list[Attempt] = ask(project, queries.list_attempts, run_id)
    return found


def outcomes(project: Project, run_id: int) -> list[str]:
    """How the attempts of a run ended, oldest first."""
    return [attempt.outcome.value for attempt in attempts(project, run_id)]
