"""What may be claimed: how an engine asks for runs, and which queued ones of a lane could start at an instant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Connection, Select, Text, or_, select, type_coerce

from orchestrator.core.plan import Queue
from orchestrator.core.policies import Batching, Isolation
from orchestrator.store.states import is_queued
from orchestrator.store.tables import runs

Lane = tuple[str, Isolation]
"""A queue's runs for one kind of worker."""


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can take: per isolation, at most that many; and the limits to respect."""

    owner: int
    now: datetime
    capacity: Mapping[Isolation, int]
    queues: Sequence[str]
    """In the order in which they get a share; rotate it for fairness."""
    queue_limits: Mapping[str, int]
    job_limits: Mapping[str, int]
    ruled: Mapping[str, Queue] = {}
    """The queues that have a rate limit, or limits for each key."""
    turns: Mapping[Lane, str] = {}
    """Whose turn it was last in lanes whose keys take turns: `Claimed.turns` of the claims before."""
    batches: Mapping[str, Batching] = {}
    """Jobs whose runs are gathered, and how."""
    step_reads: Mapping[str, Sequence[str]] = {}
    """The jobs that are steps of workflows, and the steps whose results their templates read."""
    flow_jobs: Sequence[str] = ()
    """Workflows of which only so many may be under way: those that wait for their steps count."""
    workerless: Collection[str] = ()
    """Jobs whose runs no worker executes, workflows and sleeps: they use up no rate."""
    listen: bool = False
    """Also look for what people asked meanwhile: pauses, and cancellations of this owner's attempts."""
    only_run: int | None = None
    """Claim this run and no other, whatever the limits; even before it is due, unless it is waiting for a retry."""


class Candidate(NamedTuple):
    """A queued run, its instants and parameters as the columns store them."""

    id: int
    job: str
    attempt: int
    uncharged: int
    cause: str
    fire_time: int | None
    deadline_at: int | None
    params: str | None


CANDIDATE: Select[tuple[object, ...]] = select(
    *(runs.c[name] for name in ("id", "job", "attempt", "uncharged", "cause")),
    type_coerce(runs.c.fire_time, BigInteger),
    type_coerce(runs.c.deadline_at, BigInteger),
    type_coerce(runs.c.params, Text),
)


def in_line(lane: Lane, now: datetime) -> Select[tuple[object, ...]]:
    """The queued runs of a lane, in order. Served by `runs_claimable`, or `runs_turns` for those of one key."""
    queue, isolation = lane
    c = runs.c
    return (
        CANDIDATE.where(is_queued, c.queue == queue, c.isolation == isolation.value)
        .where(or_(c.deadline_at.is_(None), c.deadline_at > now), or_(c.expires_at.is_(None), c.expires_at > now))
        .order_by(c.rank, c.id)
        .with_for_update(skip_locked=True)
    )


def fetch(connection: Connection, statement: Select[tuple[object, ...]], **parameters: object) -> list[Candidate]:
    """The candidates that a statement finds."""
    return [Candidate._make(row) for row in connection.execute(statement, parameters)]
