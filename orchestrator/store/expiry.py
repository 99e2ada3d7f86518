"""Which runs came too late to be worth starting? Those that hadn't started when they expired are skipped."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, select, update

from orchestrator.core.runs import RunState
from orchestrator.store.families import family_of
from orchestrator.store.flow_progress import advance, ends_of
from orchestrator.store.following import Followers, follow, nothing_follows
from orchestrator.store.states import is_active, is_running, is_waiting
from orchestrator.store.tables import runs

EXPIRED_REASON = "it had not started when it expired (expires_in)"
SOME = 1000
"""Rows that one statement changes at most, so that no other writer waits long."""


def skip_expired(
    connection: Connection, now: datetime, followers: Followers = nothing_follows, only_run: int | None = None
) -> list[tuple[int, str]]:
    """Skip what has expired, and create the runs that follow its end; gives (run id, job). With `only_run`, of that
    run and those that belong to it.

    Some at a time: the next call takes the rest. Served by `runs_expiring`: a claim takes a run out of it.
    """
    expired = and_(runs.c.expires_at <= now, runs.c.finished_at.is_(None), is_active, ~is_running, ~is_waiting)
    some = select(runs.c.id).where(runs.c.expires_at.is_not(None), expired).limit(SOME)
    if only_run is not None:
        some = some.where(runs.c.id.in_(family_of(only_run)))
    statement = (
        update(runs)
        .where(runs.c.id.in_(some))
        .values(state=RunState.SKIPPED.value, finished_at=now, reason=EXPIRED_REASON)
        .returning(runs.c.id, runs.c.job, runs.c.flow_id, runs.c.step, runs.c.item_index)
    )
    rows = connection.execute(statement).all()
    skipped = [(row.id, row.job) for row in rows]
    follow(connection, skipped, followers)
    # What a workflow waits for, and will never get, has failed; a skipped step would be one that nobody wanted.
    if steps := ends_of(rows, RunState.FAILED, EXPIRED_REASON):
        advance(connection, now, ends=steps)
    return skipped
