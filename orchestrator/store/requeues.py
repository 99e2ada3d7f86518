"""How a finished run starts over, with all its attempts ahead of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, update

from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.states import is_active
from orchestrator.store.tables import follows, runs
from orchestrator.store.timing import counted_from


def _anew(now: datetime, state: RunState = RunState.QUEUED) -> dict[str, Any]:
    """What is written into a run that starts over, with as much time as before; its history keeps earlier attempts."""
    return {
        **counted_from(now),
        "expires_at": None,  # somebody wants it now, however late
        "state": state.value,
        "finished_at": None,
        "cancel_requested": False,
        "reason": None,
        "result": None,
        "result_files": None,
        "uncharged": runs.c.attempt,
    }


def requeue(
    connection: Connection, which: ColumnElement[bool], now: datetime, state: RunState = RunState.QUEUED
) -> list[int]:
    """Let the finished ones of these runs start over; gives them. What they come to next is followed as their first end
    was."""
    again = update(runs).where(which, ~is_active).values(_anew(now, state)).returning(runs.c.id)
    starting_over = list(connection.execute(again).scalars())
    for chunk in chunked(starting_over):
        connection.execute(update(runs).where(follows, runs.c.parent_id.in_(chunk)).values(is_superseded=True))
    return starting_over
