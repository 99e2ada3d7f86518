"""What attempts leave while they run: log lines, progress and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, select, update

from orchestrator.core.runs import LogLine
from orchestrator.store.chunks import chunked
from orchestrator.store.states import is_running
from orchestrator.store.tables import checkpoints, logs, runs
from orchestrator.store.upserts import insert_into

_LARGEST = 2**63 - 1
"""What a column of whole numbers holds."""


class ProgressMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a running attempt says it is."""

    run_id: int
    attempt: int
    done: int
    total: int | None


class SavedValue(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint of a running attempt."""

    run_id: int
    attempt: int
    value: Any


def append_logs(connection: Connection, lines: Sequence[LogLine]) -> None:
    """Keep output, in the order given."""
    if lines:
        connection.execute(logs.insert(), [msgspec.structs.asdict(line) for line in lines])


def mark_progress(connection: Connection, owner: int, marks: Sequence[ProgressMark]) -> None:
    """Keep the newest progress of each run; a stale attempt's is ignored."""
    newest = {mark.run_id: mark for mark in marks}
    if newest:
        rows = [
            {
                "of_run": mark.run_id,
                "of_attempt": mark.attempt,
                "of_owner": owner,
                "done": min(mark.done, _LARGEST),
                "all": None if mark.total is None else min(mark.total, _LARGEST),
            }
            for mark in newest.values()
        ]
        connection.execute(_PROGRESS, rows)


def save_checkpoints(connection: Connection, owner: int, saved: Sequence[SavedValue], now: datetime) -> None:
    """Keep the newest checkpoint of each run; a stale attempt's is ignored, or it would undo a newer one's."""
    newest = {value.run_id: value for value in saved}
    held = _held(connection, owner, list(newest))
    valid = [value for value in newest.values() if held.get(value.run_id) == value.attempt]
    # Saving None means to forget: it is what a run without a checkpoint loads.
    for chunk in chunked([value.run_id for value in valid if value.value is None]):
        connection.execute(delete(checkpoints).where(checkpoints.c.run_id.in_(chunk)))
    rows = [
        {"run_id": value.run_id, "value": value.value, "saved_at": now} for value in valid if value.value is not None
    ]
    if rows:
        insert = insert_into(checkpoints, connection.dialect)
        new = {"value": insert.excluded.value, "saved_at": insert.excluded.saved_at}
        connection.execute(insert.on_conflict_do_update(index_elements=["run_id"], set_=new), rows)


def _held(connection: Connection, owner: int, run_ids: list[int]) -> dict[int, int]:
    held: dict[int, int] = {}
    for chunk in chunked(run_ids):
        found = connection.execute(
            select(runs.c.id, runs.c.attempt).where(runs.c.id.in_(chunk), runs.c.owner == owner, is_running)
        )
        held.update((run_id, attempt) for run_id, attempt in found)
    return held


_PROGRESS = (
    update(runs)
    .where(
        and_(
            runs.c.id == bindparam("of_run"),
            runs.c.attempt == bindparam("of_attempt"),
            runs.c.owner == bindparam("of_owner"),
            is_running,
        )
    )
    .values(progress_done=bindparam("done"), progress_total=bindparam("all"))
)
