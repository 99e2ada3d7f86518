"""What history may be forgotten: finished runs beyond a job's retention, with all that is theirs, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, select

from orchestrator.core.runs import ACTIVE, RunState
from orchestrator.store.forgetting import forget_some
from orchestrator.store.states import is_running
from orchestrator.store.tables import instances, runs

_ACTIVE = frozenset(state.value for state in ACTIVE)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep of a job: its newest `count` runs, of those what ended after `before` (failed: `failed_before`)."""

    count: int
    before: datetime
    failed_before: datetime
    served_after: datetime
    """Later fire times keep their rows: those tell an engine that fell behind that they were served."""
    now: datetime
    """Who holds a key for longer than this is kept: it is what makes another run a duplicate."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs were deleted, those of steps too, and after which id to go on; None when the rest is to be kept."""

    deleted: int
    position: int | None
    files: Sequence[str] = ()
    """Of the results of these runs; they are to be deleted now."""


def prune(connection: Connection, job: str, rule: Rule, after_id: int, limit: int) -> Pruned:
    """Look at the oldest `limit` runs of a job after `after_id` and delete those that the rule doesn't keep, as many as
    may go at once; of a large workflow, a part.

    Served by `runs_history`. Unfinished runs are always kept.
    """
    boundary = _boundary(connection, job, rule.count)
    statement = (
        select(*(runs.c[name] for name in ("id", "state", "finished_at", "fire_time", "unique_until", "flow_id")))
        .where(runs.c.job == job, runs.c.id > after_id)
        .order_by(runs.c.id)
        .limit(limit)
    )
    rows = [_Seen(*row) for row in connection.execute(statement)]
    gone = [row.id for row in rows if _is_forgotten(row, rule, boundary)]
    forgotten = forget_some(connection, gone)
    if forgotten.whole < len(gone):
        return Pruned(deleted=forgotten.deleted, position=after_id, files=forgotten.files)
    # Runs end about in the order of their ids: where the newest looked at is young, so is what follows.
    done = len(rows) < limit or (bool(rows) and not _may_be_old(rows[-1], rule, boundary))
    position = None if done else rows[-1].id
    return Pruned(deleted=forgotten.deleted, position=position, files=forgotten.files)


def prune_instances(connection: Connection, before: datetime) -> int:
    """Forget engines that stopped long ago."""
    owners = select(runs.c.owner).where(is_running)
    gone = delete(instances).where(instances.c.stopped_at < before, instances.c.id.not_in(owners))
    return int(connection.execute(gone).rowcount)


def _boundary(connection: Connection, job: str, count: int) -> int:
    """The newest id that is beyond the count; 0 when the job has no more runs than that."""
    statement = select(runs.c.id).where(runs.c.job == job).order_by(runs.c.id.desc()).offset(count).limit(1)
    return connection.execute(statement).scalar() or 0


class _Seen(NamedTuple):
    id: int
    state: str
    finished_at: datetime | None
    fire_time: datetime | None
    unique_until: datetime | None
    flow_id: int | None
    """Runs of steps go with their workflow's."""


def _is_forgotten(row: _Seen, rule: Rule, boundary: int) -> bool:
    if row.state in _ACTIVE or row.finished_at is None or row.flow_id is not None:
        return False
    limit = rule.failed_before if row.state == RunState.FAILED.value else rule.before
    if row.fire_time is not None and row.fire_time > rule.served_after:
        return False
    if row.unique_until is not None and row.unique_until > rule.now:
        return False
    return row.id <= boundary or row.finished_at < limit


def _may_be_old(row: _Seen, rule: Rule, boundary: int) -> bool:
    if row.fire_time is not None and row.fire_time > rule.served_after:
        return False
    return row.id <= boundary or row.finished_at is None or row.finished_at < rule.before
