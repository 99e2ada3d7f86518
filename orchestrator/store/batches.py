"""Everything that a batch of reports changes, written as one: output before the end of the attempt that made it."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from orchestrator.core.runs import LogLine
from orchestrator.store.backfills import admit
from orchestrator.store.endings import Ending, Settled, settle
from orchestrator.store.output import ProgressMark, SavedValue, append_logs, mark_progress, save_checkpoints


class Batch(msgspec.Struct, kw_only=True):
    """What attempts of one owner reported, in order."""

    owner: int
    logs: list[LogLine] = []
    progress: list[ProgressMark] = []
    saved: list[SavedValue] = []
    endings: list[Ending] = []
    ends_backfill: bool = False
    """One of the endings is a backfill's: it may make room for runs that are held back."""

    def __bool__(self) -> bool:
        return bool(self.endings or self.logs or self.progress or self.saved)


def apart(batch: Batch) -> list[Batch]:
    """The same in pieces, one for each end and one for all else, so that what can't be written stands alone."""
    rest = Batch(owner=batch.owner, logs=batch.logs, progress=batch.progress, saved=batch.saved)
    return [piece for piece in (rest, *(_alone(batch, ending) for ending in batch.endings)) if piece]


def _alone(batch: Batch, ending: Ending) -> Batch:
    return Batch(owner=batch.owner, endings=[ending], ends_backfill=batch.ends_backfill)


def write_batch(connection: Connection, batch: Batch, now: datetime) -> Settled:
    """Write a batch. What belongs to attempts that are no longer the owner's is refused, except their output."""
    append_logs(connection, batch.logs)
    if batch.saved:
        save_checkpoints(connection, batch.owner, batch.saved, now)
    mark_progress(connection, batch.owner, batch.progress)
    settled = settle(connection, batch.owner, batch.endings, now)
    if batch.ends_backfill:
        settled.admitted = admit(connection, now)
    return settled
