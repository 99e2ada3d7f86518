"""How a finished run starts over, with all its attempts ahead of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, case, select, type_coerce, update

from orchestrator.core.runs import RunState
from orchestrator.store.bulk import micros
from orchestrator.store.states import is_active
from orchestrator.store.tables import follows, runs


def anew(now: datetime, state: RunState = RunState.QUEUED) -> dict[str, Any]:
    """What is written into a run that starts over; its earlier attempts stay in its history."""
    return {
        "state": state.value,
        "rank": rank_due(now),
        "due_at": now,
        "finished_at": None,
        "deadline_at": None,
        "expires_at": None,
        "cancel_requested": False,
        "reason": None,
        "result": None,
        "result_files": None,
        "uncharged": runs.c.attempt,
    }


def requeue(
    connection: Connection, which: ColumnElement[bool], now: datetime, state: RunState = RunState.QUEUED
) -> None:
    """Let finished runs start over."""
    let_follow(connection, select(runs.c.id).where(which, ~is_active))
    connection.execute(update(runs).where(which, ~is_active).values(anew(now, state)))


def let_follow(connection: Connection, starting_over: Select[int] | Sequence[int]) -> None:
    """What these runs come to next is followed as their first end was."""
    connection.execute(update(runs).where(follows, runs.c.parent_id.in_(starting_over)).values(is_superseded=True))


def rank_due(now: datetime) -> ColumnElement[int]:
    """The rank of a run as it will be when it is due now: moved by as much as its due time is. Ranks in a queue that is
    `lifo` are negative: aging is too short to make others so."""
    later = micros(now) - type_coerce(runs.c.due_at, BigInteger)
    return case((runs.c.rank < 0, runs.c.rank - later), else_=runs.c.rank + later)
