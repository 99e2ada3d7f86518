"""Up to which fire time each trigger has been served."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, select, tuple_

from orchestrator.store.chunks import chunked
from orchestrator.store.tables import cursors

TriggerKey = tuple[str, str]
"""A job's name and what identifies the trigger within it."""


def sync_cursors(connection: Connection, wanted: Collection[TriggerKey], now: datetime) -> dict[TriggerKey, datetime]:
    """The cursors of these triggers; a new one starts at `now`, and those of triggers that are gone are deleted.

    A changed schedule is a new trigger: it owes nothing for the time before it was declared.
    """
    known = {(job, trigger): at for job, trigger, at in connection.execute(select(cursors))}
    gone = [key for key in known if key not in wanted]
    for chunk in chunked(gone):
        connection.execute(delete(cursors).where(tuple_(cursors.c.job, cursors.c.trigger).in_(chunk)))
    new = [key for key in wanted if key not in known]
    if new:
        rows = [{"job": job, "trigger": trigger, "fire_time": now} for job, trigger in new]
        connection.execute(cursors.insert(), rows)
    return {key: known.get(key, now) for key in wanted}
