"""Runs that wait follow their jobs: after a change of the plan they go to the kind of worker their job now asks for,
and get the key that their queue now asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from orchestrator.core.policies import Isolation
from orchestrator.store.chunks import chunked
from orchestrator.store.plans import key_rules
from orchestrator.store.states import is_active, is_queued, is_running
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


SOME = 500
"""Runs that get their key in one transaction."""


def without_key(connection: Connection, queues: Collection[str]) -> list[tuple[int, str, dict[str, Any] | None]]:
    """Some unfinished runs (id, job, parameters) that were created before their queue had a key: nobody would find
    them among those that take turns. Served by `runs_active`."""
    unkeyed = select(runs.c.id, runs.c.job, runs.c.params).where(is_active, runs.c.group_key.is_(None))
    found = connection.execute(unkeyed.where(runs.c.queue.in_(queues)).limit(SOME))
    return [(run_id, job, params) for run_id, job, params in found]


_KEYING = (runs.c.id, runs.c.queue, runs.c.job, runs.c.params)


def key_anew(connection: Connection, run_ids: Collection[int]) -> None:
    """Give keys to those of these runs, and of the steps of those that are workflows, that wait again in a queue which
    has got keys since they were created: else they would wait until an engine looks for such runs."""
    found: dict[int, tuple[str, str, Any]] = {}
    for chunk in chunked(sorted(run_ids)):
        statement = select(runs.c.id, runs.c.queue, runs.c.job, runs.c.params).where(
            is_queued, runs.c.group_key.is_(None)
        )
        for which in (runs.c.id.in_(chunk), runs.c.flow_id.in_(chunk)):
            found.update((row[0], (row[1], row[2], row[3])) for row in connection.execute(statement.where(which)))
    if not found:
        return
    rules = key_rules(connection)
    keyed = set(rules.keyed)
    keys = {run_id: rules.key_of(job, params) for run_id, (queue, job, params) in found.items() if queue in keyed}
    if keys:
        give_keys(connection, keys)


def give_keys(connection: Connection, keys: Mapping[int, str]) -> None:
    """Write keys into runs that have none."""
    statement = update(runs).where(runs.c.id == bindparam("run_id"), runs.c.group_key.is_(None))
    values = [{"run_id": run_id, "key": key} for run_id, key in keys.items()]
    connection.execute(statement.values(group_key=bindparam("key")), values)
