"""When is a run due, and what moves with that: its place in its queue, its deadline, its expiry?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, type_coerce

from orchestrator.store.bulk import micros
from orchestrator.store.tables import runs


def due_now(now: datetime) -> dict[str, Any]:
    """What is written into a run that becomes due now."""
    later = _later(now)
    # Ranks in a queue that is `lifo` are negative: aging is too short to make others so.
    rank = case((runs.c.rank < 0, runs.c.rank - later), else_=runs.c.rank + later)
    return {"due_at": now, "rank": rank}


def counted_from(now: datetime) -> dict[str, Any]:
    """The same for one whose time counts from now on: it has as long again until its deadline and its expiry."""
    return {
        **due_now(now),
        "deadline_at": runs.c.time_limit + micros(now),
        "expires_at": type_coerce(runs.c.expires_at, BigInteger) + _later(now),
    }


def _later(now: datetime) -> ColumnElement[int]:
    """By how many microseconds that is later than it was due."""
    # The column's own type would have the difference bound as an instant.
    return micros(now) - type_coerce(runs.c.due_at, BigInteger)
