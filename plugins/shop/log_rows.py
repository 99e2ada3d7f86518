"""Which rows of the table `logs` are old, day by day, and how do they leave it?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, delete, func, select

from shop.schema import Instant, logs

_BATCH = 500
"""Rows that are deleted at once: a short transaction doesn't keep others waiting."""


def days_before(db: Engine, cutoff: datetime) -> list[date]:
    """The days (UTC) that have rows from before `cutoff`, oldest first; each is found by one look into the index."""
    days: list[date] = []
    after = datetime(1, 1, 1, tzinfo=UTC)
    oldest = select(func.min(logs.c.created_at, type_=Instant))
    with db.connect() as connection:
        while first := connection.execute(oldest.where(logs.c.created_at >= after)).scalar_one():
            if first >= cutoff:
                break
            days.append(first.date())
            after = _midnight(first.date() + timedelta(days=1))
    return days


def rows_of_day(db: Engine, day: date, cutoff: datetime) -> Iterator[dict[str, Any]]:
    """The day's rows from before `cutoff`, read as they are asked for, so a busy day doesn't fill the memory."""
    end = min(_midnight(day + timedelta(days=1)), cutoff)
    wanted = select(logs).where(logs.c.created_at >= _midnight(day), logs.c.created_at < end).order_by(logs.c.id)
    with db.connect().execution_options(yield_per=1000) as connection:
        for row in connection.execute(wanted).mappings():
            yield {**row, "created_at": row["created_at"].isoformat()}


def delete_rows(db: Engine, ids: list[int]) -> int:
    """Delete the rows with these ids; gives how many there still were."""
    deleted = 0
    for start in range(0, len(ids), _BATCH):
        with db.begin() as connection:
            deleted += connection.execute(delete(logs).where(logs.c.id.in_(ids[start : start + _BATCH]))).rowcount
    return deleted


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
