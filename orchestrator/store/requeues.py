"""How a finished run starts over, with all its attempts ahead of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select, update

from orchestrator.core.runs import RunState
from orchestrator.store.states import is_active
from orchestrator.store.tables import follows, runs
from orchestrator.store.timing import counted_from


def anew(now: datetime, state: RunState = RunState.QUEUED) -> dict[str, Any]:
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
) -> None:
    """Let finished runs start over."""
    let_follow(connection, select(runs.c.id).where(which, ~is_active))
    connection.execute(update(runs).where(which, ~is_active).values(anew(now, state)))


def let_follow(connection: Connection, starting_over: Select[int] | Sequence[int]) -> None:
    """What these runs come to next is followed as their first end was."""
    connection.execute(update(runs).where(follows, runs.c.parent_id.in_(starting_over)).values(is_superseded=True))
