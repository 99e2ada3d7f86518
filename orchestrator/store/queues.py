"""What a person does with a whole queue: see how deep it is, empty it, forget it. Some runs in each transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, select, update

from orchestrator.store.following import Followers, nothing_follows
from orchestrator.store.forgetting import forget_some
from orchestrator.store.requests import cancel_many
from orchestrator.store.states import WAITING, is_active, is_queued, is_running, is_scheduled
from orchestrator.store.tables import flows, runs

SOME = 500
"""Runs changed in one transaction: engines write between two of them."""
LOOK_AT = 2000
"""Runs looked at in one transaction, where no index leads to those that are wanted."""

_is_waiting = runs.c.state == WAITING


class KeyDepth(msgspec.Struct, frozen=True, kw_only=True):
    """What a key has in a queue."""

    key: str
    queued: int
    running: int


def newest_id(connection: Connection) -> int:
    """The newest run: what is created later is not meant."""
    return connection.execute(select(func.max(runs.c.id))).scalar() or 0


def oldest_queued(connection: Connection) -> dict[str, datetime]:
    """Since when the oldest of each queue has been due. Served by `runs_claimable`."""
    oldest = select(runs.c.queue, func.min(runs.c.due_at)).where(is_queued).group_by(runs.c.queue)
    return {queue: due_at for queue, due_at in connection.execute(oldest)}  # noqa: C416 - rows are no pairs to dict()


def deepest_keys(connection: Connection, queue: str, limit: int) -> list[KeyDepth]:
    """The keys of which most is queued, those first."""
    queued = func.count().filter(is_queued)
    counted = select(runs.c.group_key, queued, func.count().filter(is_running)).where(
        is_active, runs.c.queue == queue, runs.c.group_key.is_not(None)
    )
    ordered = counted.group_by(runs.c.group_key).order_by(queued.desc(), runs.c.group_key).limit(limit)
    return [KeyDepth(key=key, queued=waits, running=works) for key, waits, works in connection.execute(ordered)]


def drain(
    connection: Connection,
    queue: str,
    up_to: int,
    now: datetime,
    followers: Followers = nothing_follows,
    *,
    delayed: bool,
) -> int:
    """Cancel some of what is queued or waits for other runs, with `delayed` also what is due later, and create what
    follows; gives how many."""
    kinds = [is_queued, _is_waiting, is_scheduled] if delayed else [is_queued, _is_waiting]
    for kind in kinds:
        some = select(runs.c.id).where(kind, runs.c.queue == queue, runs.c.id <= up_to, ~_is_stopping).limit(SOME)
        if found := list(connection.execute(some).scalars()):
            cancel_many(connection, found, now, followers)
            return len(found)
    return 0


_is_stopping = runs.c.id.in_(select(flows.c.id).where(flows.c.stopped.is_not(None)))
"""A workflow that ends as soon as what runs of it has, and its steps under `finally`."""


def ask_to_stop(connection: Connection, queue: str) -> int:
    """Ask all that runs in the queue to stop; gives how many. Served by `runs_running`."""
    asked = update(runs).where(is_running, runs.c.queue == queue).values(cancel_requested=True)
    return connection.execute(asked).rowcount


def count_running(connection: Connection, queue: str) -> int:
    """How many attempts of the queue are under way."""
    return _count(connection, is_running, runs.c.queue == queue)


def count_waiting(connection: Connection, queue: str, *, delayed: bool) -> int:
    """How many runs `drain` would cancel."""
    kinds = is_queued | _is_waiting | is_scheduled if delayed else is_queued | _is_waiting
    return _count(connection, is_active, runs.c.queue == queue, kinds, ~_is_stopping)


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs were deleted, and after which id to go on; None when there are no more."""

    deleted: int
    kept: int
    """Finished ones whose fire is so young that an engine may still ask whether it was served."""
    position: int | None
    files: Sequence[str]
    """Of results; they are to be deleted now."""


def forget(connection: Connection, queue: str, after_id: int, up_to: int, served_after: datetime) -> Forgotten:
    """Delete the finished runs of a queue among the next ones after an id, with all that is theirs."""
    # Runs of steps go with their workflow's.
    ours = case((runs.c.flow_id.is_(None), runs.c.queue))
    walk = select(runs.c.id, ours, runs.c.finished_at, runs.c.fire_time)
    rows = connection.execute(walk.where(runs.c.id > after_id, runs.c.id <= up_to).order_by(runs.c.id).limit(LOOK_AT))
    seen = [(run_id, of == queue and ended is not None, fire) for run_id, of, ended, fire in rows]
    finished = [(run_id, fire) for run_id, is_ours, fire in seen if is_ours]
    gone = [run_id for run_id, fire in finished if fire is None or fire <= served_after][:SOME]
    forgotten = forget_some(connection, gone)
    if forgotten.whole < len(gone):
        return Forgotten(deleted=forgotten.whole, kept=0, position=after_id, files=forgotten.files)
    last = gone[-1] if len(gone) == SOME else (seen[-1][0] if seen else None)
    more = last is not None and (len(gone) == SOME or len(seen) == LOOK_AT)
    kept = sum(run_id <= (last or 0) for run_id, _ in finished) - len(gone)
    return Forgotten(deleted=len(gone), kept=kept, position=last if more else None, files=forgotten.files)


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(runs).where(*conditions)).scalar_one()
