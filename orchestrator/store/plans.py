"""Which configuration do the engines work by? Each keeps its plan here, for programs that have no files of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select

from orchestrator.core.keys import KeyTemplate, group_key
from orchestrator.core.plan import Plan
from orchestrator.core.policies import PerKey
from orchestrator.store.tables import plans

KEPT = 5


def last_known(connection: Connection, jobs: Collection[str]) -> dict[str, Plan]:
    """For each job, the newest of the plans kept that has it; a job that none has is absent."""
    missing, found = set(jobs), dict[str, Plan]()
    for number in list(connection.execute(select(plans.c.id).order_by(plans.c.id.desc())).scalars()) if missing else []:
        body = connection.execute(select(plans.c.body).where(plans.c.id == number)).scalar()
        plan = None if body is None else msgspec.msgpack.decode(body, type=Plan)
        here = missing & plan.jobs.keys() if plan is not None else set()
        found |= {job: plan for job in here if plan is not None}
        missing -= here
        if not missing:
            break
    return found


def keep_plan(connection: Connection, plan: Plan, now: datetime) -> None:
    """Store a plan, unless the newest is the same; the last few are kept."""
    body = msgspec.msgpack.encode(plan)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    newest = connection.execute(select(plans.c.id, plans.c.hash).order_by(plans.c.id.desc()).limit(1)).first()
    if newest is not None and newest.hash == digest:
        return
    number = 1 if newest is None else newest.id + 1
    connection.execute(plans.insert().values(id=number, hash=digest, stored_at=now, body=body))
    connection.execute(delete(plans).where(plans.c.id <= number - KEPT))


class JobKey(msgspec.Struct, frozen=True):
    """What a job's runs share limits by."""

    group_by: KeyTemplate | None = None


class QueueKey(msgspec.Struct, frozen=True):
    """Whether a queue has limits for each key."""

    per_key: PerKey | None = None


class KeyRules(msgspec.Struct, frozen=True):
    """Of a plan, what makes keys."""

    jobs: dict[str, JobKey] = {}
    queues: dict[str, QueueKey] = {}

    @property
    def keyed(self) -> list[str]:
        """The queues whose runs need a key."""
        return [name for name, queue in self.queues.items() if queue.per_key is not None]

    def key_of(self, job: str, params: Mapping[str, Any] | None) -> str:
        """The key of a run in such a queue."""
        return group_key(self.jobs.get(job, JobKey()).group_by, params)


def key_rules(connection: Connection) -> KeyRules:
    """What the plan that was stored last says of keys; nothing else of it is decoded."""
    body = connection.execute(select(plans.c.body).order_by(plans.c.id.desc()).limit(1)).scalar()
    return KeyRules() if body is None else msgspec.msgpack.decode(body, type=KeyRules)


def newest_plan(connection: Connection, known: int | None = None) -> tuple[int, Plan] | None:
    """The plan that was stored last, with its number; None if that is `known`, or if there is none."""
    number = connection.execute(select(func.max(plans.c.id))).scalar()
    if number is None or number == known:
        return None
    body = connection.execute(select(plans.c.body).where(plans.c.id == number)).scalar_one()
    return number, msgspec.msgpack.decode(body, type=Plan)
