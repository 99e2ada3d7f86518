"""What is held back until a person resumes it: jobs, and whole queues."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, literal_column, select, union_all

from orchestrator.store.tables import pauses, queue_pauses
from orchestrator.store.upserts import insert_into


class Paused(NamedTuple):
    """Names of what is paused."""

    jobs: list[str]
    queues: list[str]


_PAUSED = union_all(
    select(literal_column("0"), pauses.c.job),
    select(literal_column("1"), queue_pauses.c.queue),
)


def paused(connection: Connection) -> Paused:
    """All that is paused, in one statement: every claim asks."""
    found = Paused([], [])
    for is_queue, name in connection.execute(_PAUSED):
        found[is_queue].append(name)
    return found


def paused_queues(connection: Connection) -> dict[str, datetime]:
    """Paused queues, and since when."""
    return {row.queue: row.paused_at for row in connection.execute(select(queue_pauses))}


def pause_queue(connection: Connection, queue: str, now: datetime) -> bool:
    """Let nothing of the queue start until it is resumed; what runs goes on. False: it was paused."""
    insert = insert_into(queue_pauses, connection.dialect).values(queue=queue, paused_at=now).on_conflict_do_nothing()
    return bool(connection.execute(insert).rowcount)


def resume_queue(connection: Connection, queue: str) -> bool:
    """Undo `pause_queue`. False: it wasn't paused."""
    return bool(connection.execute(delete(queue_pauses).where(queue_pauses.c.queue == queue)).rowcount)
