"""How do rows that wait to be delivered get out at least once, by any number of processes, whatever dies when?

A row is claimed in a transaction of its own, delivered, and marked in another. A claim is a lease: when its process
dies, the row is free again at `claimed_until`, and what is repeated is at most that one delivery. `attempts` grows
with every claim and fences the marking: who comes too late changes nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, Table, and_, or_, select, update


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a row is tried, and how long its claim and its pauses last."""

    max_attempts: int = 6
    lease: timedelta = timedelta(minutes=3)
    """Longer than one delivery may take."""
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(hours=1)

    def pause(self, attempts: int) -> timedelta:
        """Doubling, and half of it random, so that what failed together doesn't return together."""
        doubled = self.first_pause.total_seconds() * 2.0 ** min(attempts - 1, 60)
        whole = min(doubled, self.longest_pause.total_seconds())
        return timedelta(seconds=whole * (0.5 + random.random() / 2))  # noqa: S311


class Undeliverable(Exception):  # noqa: N818 - what it says of the row
    """Trying this row again can't help."""


class Later(Exception):  # noqa: N818
    """The receiver asks to be left alone for a while."""

    def __init__(self, reason: str, pause: timedelta) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass
class Tally:
    """What became of the rows that a run worked on."""

    sent: int = 0
    retried: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, row: Row[Any], status: str, error: Exception | None) -> None:
        """Count one delivery."""
        self.sent += status == "sent"
        self.retried += status == "pending"
        self.failed += status == "failed"
        if error is not None:
            self.failures.append(f"{row.key}: {_words(error)}")


def claim(db: Engine, table: Table, patience: Patience, *, row_id: int | None = None) -> Row[Any] | None:
    """Take the row that is due for the longest time, or the one with `row_id` even before it is due."""
    now = datetime.now(UTC)
    pending = table.c.status == "pending"
    orphaned = and_(table.c.status == "sending", table.c.claimed_until < now)
    free = or_(and_(pending, table.c.due_at <= now) if row_id is None else pending, orphaned)
    wanted = select(table.c.id).where(free).order_by(table.c.due_at, table.c.id).limit(1)
    if row_id is not None:
        wanted = wanted.where(table.c.id == row_id)
    taken = (
        update(table)
        .where(table.c.id == wanted.with_for_update(skip_locked=True).correlate(None).scalar_subquery())
        .values(status="sending", attempts=table.c.attempts + 1, claimed_until=now + patience.lease)
        .returning(table)
    )
    while True:
        with db.begin() as connection:
            row = connection.execute(taken).one_or_none()
        if row is None or row.attempts <= patience.max_attempts:
            return row
        # The processes that had it all died, so perhaps it is what kills them.
        settle(db, table, row, Undeliverable(f"interrupted in the last of {patience.max_attempts} attempts"), patience)


def settle(db: Engine, table: Table, row: Row[Any], error: Exception | None, patience: Patience) -> str:
    """Mark a claimed row after its delivery: `sent`, `pending` for another attempt after a pause, or `failed`."""
    now = datetime.now(UTC)
    if error is None:
        change = {"status": "sent", "finished_at": now, "last_error": None}
    elif isinstance(error, Undeliverable) or row.attempts >= patience.max_attempts:
        change = {"status": "failed", "finished_at": now, "last_error": _words(error)}
    else:
        pause = patience.pause(row.attempts)
        if isinstance(error, Later):
            pause = max(pause, error.pause)
        change = {"status": "pending", "due_at": now + pause, "last_error": _words(error)}
    mine = and_(table.c.id == row.id, table.c.attempts == row.attempts, table.c.status == "sending")
    with db.begin() as connection:
        connection.execute(update(table).where(mine).values(claimed_until=None, **change))
    return str(change["status"])


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
