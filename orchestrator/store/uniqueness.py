"""Whose key is taken? A run holds its key while it is unfinished or, with a window, until the window ends; one that was
cancelled or skipped holds nothing.

Creators go one after the other (each holds the counter of ids), so what is found here stays true until the commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, null, select, union_all, update

from orchestrator.core.policies import OnConflict
from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.states import CANCELLED, SKIPPED, is_active, is_running, is_waiting
from orchestrator.store.tables import may_hold_key, runs

if TYPE_CHECKING:
    from orchestrator.store.creation import NewRun

Key = tuple[str, str]
"""A job and what its runs are told apart by."""


class Holder:
    """A run with a key: in the table or (`is_new`) in the batch. The key is its own to `until`; None: to its end."""

    __slots__ = ("id", "is_new", "state", "until")

    def __init__(self, run_id: int, state: RunState, until: datetime | None, *, is_new: bool = False) -> None:
        self.id = run_id
        self.state = state
        self.until = until
        self.is_new = is_new


class Uniqueness:
    """The holders of the keys of a batch. What becomes of those in the table is written by `write`."""

    def __init__(self, connection: Connection, new: Iterable[NewRun]) -> None:
        self._connection = connection
        self._wanted: dict[str, list[str]] = {}
        self._now: datetime | None = None
        for run in new:
            if run.unique_key is not None and run.skip_reason is None:
                self._wanted.setdefault(run.job, []).append(run.unique_key)
                self._now = min(self._now or run.created_at, run.created_at)
        self._holders: dict[Key, list[Holder]] = {}
        self._replaced: list[dict[str, Any]] = []
        self._extended: dict[int, Holder] = {}
        for job in self._wanted:
            self._look(job)

    def holder(self, run: NewRun) -> Holder | None:
        """The run because of which this one is not to be created; the newest if there are several."""
        if run.unique_key is None or run.on_conflict is OnConflict.REPLACE:
            return None
        holding = self._holding(run)
        if not holding:
            return None
        newest = holding[-1]
        if run.on_conflict is OnConflict.EXTEND and run.unique_until is not None:
            newest.until = max(run.unique_until, newest.until or run.unique_until)
            self._extended[newest.id] = newest
        return newest

    def take(self, run: NewRun, run_id: int) -> list[int]:
        """Give a run that will be created its key; gives the runs of the batch that have to make way for it."""
        if run.unique_key is None:
            return []
        displaced = []
        for holder in self._holding(run):
            if holder.is_new:
                displaced.append(holder.id)
            elif holder.state not in (RunState.RUNNING, RunState.WAITING):  # a workflow under way goes on
                self._replaced.append({"old": holder.id, "at": run.created_at, "why": replaced_reason(run_id)})
        self._holders[run.job, run.unique_key] = [Holder(run_id, RunState.QUEUED, run.unique_until, is_new=True)]
        return displaced

    def release(self, run: NewRun, run_id: int) -> None:
        """A run of the batch is cancelled for another reason."""
        holders = self._holders.get((run.job, run.unique_key or ""), [])
        holders[:] = [holder for holder in holders if holder.id != run_id]

    def look_again(self, job: str) -> None:
        """Runs of the job in the table have been cancelled for another reason."""
        for key in self._wanted.get(job, ()):
            holders = self._holders.get((job, key), [])
            holders[:] = [holder for holder in holders if holder.is_new]
        if job in self._wanted:
            self._look(job)

    def write(self) -> dict[int, datetime | None]:
        """Cancel in the table what gives way, and extend what is extended; gives what is extended in the batch."""
        if self._replaced:
            self._connection.execute(_GIVE_WAY, self._replaced)
        old = [{"old": one.id, "to": one.until} for one in self._extended.values() if not one.is_new]
        if old:
            self._connection.execute(_EXTEND, old)
        return {one.id: one.until for one in self._extended.values() if one.is_new}

    def _holding(self, run: NewRun) -> list[Holder]:
        holders = self._holders.get((run.job, run.unique_key or ""), [])
        return [holder for holder in holders if holder.until is None or holder.until > run.created_at]

    def _look(self, job: str) -> None:
        """Served by `runs_unique`, which leads to holders only, however often a key has been used."""
        for chunk in chunked(sorted(set(self._wanted[job]))):
            found = self._connection.execute(_HOLDERS, {"job": job, "keys": chunk, "now": self._now})
            for run_id, key, state, until in sorted(found):
                self._holders.setdefault((job, key), []).append(Holder(run_id, RunState(state), until))


def duplicate_reason(holder_id: int) -> str:
    """Why a fire did not become work."""
    return f"run {holder_id} has the same key (unique)"


def replaced_reason(newer_id: int) -> str:
    """Why a run that waited was cancelled."""
    return f"run {newer_id} of the same key took its place (unique)"


_of_keys = (
    select(runs.c.id, runs.c.unique_key, runs.c.state, runs.c.unique_until)
    .where(runs.c.job == bindparam("job"), runs.c.unique_key.in_(bindparam("keys", expanding=True)))
    .where(may_hold_key, runs.c.state.not_in([CANCELLED, SKIPPED]))
)
_HOLDERS = union_all(
    _of_keys.where(runs.c.unique_until.is_(None)), _of_keys.where(runs.c.unique_until > bindparam("now"))
)
_GIVE_WAY = (
    update(runs)
    .where(runs.c.id == bindparam("old"), is_active, ~is_running, ~is_waiting)
    .values(state=CANCELLED, finished_at=bindparam("at"), reason=bindparam("why"), unique_until=null())
)
_EXTEND = update(runs).where(runs.c.id == bindparam("old")).values(unique_until=bindparam("to"))
