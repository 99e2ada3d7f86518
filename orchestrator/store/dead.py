"""The dead letters: runs that failed for good, kept until a person retries or drops them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from orchestrator.core.errors import ConflictError
from orchestrator.core.runs import RunState
from orchestrator.store.flow_places import place_of
from orchestrator.store.forgetting import delete_runs
from orchestrator.store.requests import retry
from orchestrator.store.states import FAILED
from orchestrator.store.tables import runs

_is_dead = and_(runs.c.state == FAILED, runs.c.flow_id.is_(None))
"""A step that failed is no dead letter: its workflow is."""


def count_dead(connection: Connection) -> dict[str, int]:
    """How many dead letters each job has."""
    counted = select(runs.c.job, func.count()).where(_is_dead).group_by(runs.c.job)
    return {job: count for job, count in connection.execute(counted)}  # noqa: C416 - rows are no pairs to dict()


def find_dead(connection: Connection, jobs: Sequence[str] = ()) -> list[int]:
    """Ids of dead letters, oldest first; of these jobs only, if any are named."""
    statement = select(runs.c.id).where(_is_dead).order_by(runs.c.id)
    if jobs:
        statement = statement.where(runs.c.job.in_(jobs))
    return list(connection.execute(statement).scalars())


def retry_dead(connection: Connection, run_ids: Sequence[int], now: datetime) -> None:
    """Queue dead letters again. Raises `ConflictError` for a run that isn't one, and then changes nothing."""
    for run_id in _all_dead(connection, run_ids):
        retry(connection, run_id, now)


def drop_dead(connection: Connection, run_ids: Sequence[int]) -> list[str]:
    """Delete dead letters with their history; gives the result files to delete now. Raises `ConflictError` for a run
    that isn't one, and deletes nothing."""
    return delete_runs(connection, _all_dead(connection, run_ids))


def _all_dead(connection: Connection, run_ids: Sequence[int]) -> Sequence[int]:
    for run_id in run_ids:
        row = connection.execute(select(runs.c.state, runs.c.flow_id, runs.c.step).where(runs.c.id == run_id)).first()
        if row is None:
            raise ConflictError(f"run {run_id} is no dead letter: there is no such run")
        if row.flow_id is not None:
            raise ConflictError(f"run {run_id} is no dead letter, but {place_of(row.flow_id, row.step)}")
        if row.state != RunState.FAILED.value:
            raise ConflictError(f"run {run_id} is no dead letter: {row.state}")
    return run_ids
