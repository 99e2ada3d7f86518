"""Runs that wait follow their jobs: after a change of the plan they go to the kind of worker their job now asks for."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from orchestrator.core.policies import Isolation
from orchestrator.store.states import is_active, is_running
from orchestrator.store.tables import runs


def align_isolation(connection: Connection, isolations: Mapping[str, Isolation], otherwise: Isolation) -> int:
    """Give waiting runs their job's isolation (`otherwise` where the job is gone); gives how many were changed.

    Without it, a run of a kind that no worker of the plan serves would wait for ever. Served by `runs_active`.
    """
    waiting = is_active & ~is_running
    known = connection.execute(select(runs.c.job, runs.c.isolation).where(waiting).distinct())
    stale = {job for job, isolation in known if isolations.get(job, otherwise).value != isolation}
    changed = 0
    for job in stale:
        isolation = isolations.get(job, otherwise)
        statement = update(runs).where(waiting, runs.c.job == job).values(isolation=isolation.value)
        changed += connection.execute(statement).rowcount
    return changed
