"""How runs come to be: all that are due at one instant, and the cursors of their triggers, in one transaction."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect, Text, and_, bindparam, literal_column, select, update

from orchestrator.core.plan import DEFAULT_AGING, DEFAULT_QUEUE
from orchestrator.core.policies import Isolation, OnConflict, Order, Overlap
from orchestrator.core.runs import Cause, RunState
from orchestrator.store.bulk import MICROSECOND, insert_rows, json_text, micros
from orchestrator.store.chunks import chunked
from orchestrator.store.grabs import Grab, Openings
from orchestrator.store.states import CANCELLED, is_active, is_running
from orchestrator.store.tables import counters, cursors, flows, follows, runs
from orchestrator.store.uniqueness import Uniqueness, duplicate_reason, replaced_reason
from orchestrator.store.upserts import insert_into

OVERLAP_REASON = "an earlier run of the job was not finished (overlap: skip)"
REPLACED_REASON = "replaced by a newer fire (overlap: replace)"


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to create. One with a `skip_reason` is a record that a fire did not become work, and why."""

    job: str
    cause: Cause
    created_at: datetime
    due_at: datetime
    queue: str = DEFAULT_QUEUE
    isolation: Isolation = Isolation.PROCESS
    priority: int = 0
    fire_time: datetime | None = None
    parent_id: int | None = None
    params: dict[str, Any] | None = None
    deadline_at: datetime | None = None
    overlap: Overlap = Overlap.ALLOW
    skip_reason: str | None = None
    order: Order = Order.FIFO
    aging: timedelta = DEFAULT_AGING
    group_key: str | None = None
    unique_key: str | None = None
    unique_until: datetime | None = None
    """None: it holds its key while it is unfinished."""
    on_conflict: OnConflict = OnConflict.IGNORE
    expires_at: datetime | None = None
    flow_id: int | None = None
    step: str | None = None
    item_index: int | None = None
    item: Any = None
    gathered: bool = False
    """Its job's runs are executed in batches, so it doesn't start by itself."""
    waits: bool = False
    """It is created waiting: for somebody's answer, or for an item before it to end."""

    @property
    def rank(self) -> int:
        """What its queue is ordered by, lowest first. All that waits ages alike, so the order of two runs never
        changes: each level of priority weighs as much as having waited `aging` longer, and nothing starves."""
        due_at = micros(self.due_at)
        assert due_at is not None  # noqa: S101 - for the type checker: an instant has microseconds
        sign = -1 if self.order is Order.LIFO else 1
        return sign * due_at - self.priority * (self.aging // MICROSECOND)

    @property
    def time_limit(self) -> int | None:
        """Microseconds from when it is due to its deadline."""
        if self.deadline_at is None:
            return None
        return (self.deadline_at - max(self.due_at, self.created_at)) // MICROSECOND


class CursorMove(msgspec.Struct, frozen=True, kw_only=True):
    """Every fire time of a trigger up to `fire_time` is dealt with."""

    job: str
    trigger: str
    fire_time: datetime


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a `NewRun`, in the order given. `id` is None where another engine had created the same fire.

    `owner` is set on what was created running. `duplicate`: nothing was created, and `id` and `state` are those of the
    run that has the same key.
    """

    id: int | None
    job: str
    state: RunState
    owner: int | None = None
    reason: str | None = None
    duplicate: bool = False


def create_runs(
    connection: Connection, new: Sequence[NewRun], moves: Sequence[CursorMove] = (), grab: Grab | None = None
) -> list[Created]:
    """Create runs and move cursors. The same fire time of a job, or the same parent, never gives a second run.

    A run whose `unique_key` is taken gives way, or is given way to: one that somebody asked for leaves no row then, a
    fire leaves one that says so.
    With a `grab`, runs that may start at once are created running, as their first attempt by the grab's owner.
    """
    # This locks the counter first of all: from here on creators go one after the other, in every database.
    ids = _reserve_ids(connection, len(new))
    batch = _Batch(connection, new, grab)
    drafts = [_Draft(run_id, run) for run_id, run in zip(ids, new, strict=True)]
    # Where some may start at once, the urgent ones are asked first; ids keep the order in which the runs were given.
    for draft in sorted(drafts, key=lambda one: one.run.rank) if grab is not None else drafts:
        batch.decide(draft)
    batch.write(drafts)
    if moves:
        values = [(move.job, move.trigger, micros(move.fire_time)) for move in moves]
        connection.exec_driver_sql(_move_cursor(connection.dialect), values)
    return [_created(draft) for draft in drafts]


class _Draft:
    """A run on its way into the table. `known`: it is there already, maybe as `holder`, and this is not it."""

    __slots__ = ("holder", "id", "known", "owner", "reason", "run", "state")

    def __init__(self, run_id: int, run: NewRun) -> None:
        self.id = run_id
        self.run = run
        self.known = False
        self.holder: int | None = None
        self.state = RunState.SKIPPED
        self.reason: str | None = None
        self.owner: int | None = None

    def become(self, state: RunState, reason: str | None = None, owner: int | None = None) -> None:
        self.state, self.reason, self.owner = state, reason, owner


class _Batch:
    """What the runs of a batch have to know of the table and of each other."""

    def __init__(self, connection: Connection, new: Sequence[NewRun], grab: Grab | None) -> None:
        self._connection = connection
        self._known = _already_created(connection, new)
        self._busy, self._occupied = _busy_jobs(connection, new, every_job=grab is not None)
        lanes = {(run.queue, run.isolation) for run in new}
        self._openings = Openings(connection, grab, lanes) if grab is not None else None
        self._replaceable: dict[str, _Draft] = {}
        keyed = any(run.unique_key is not None for run in new)
        self._unique = Uniqueness(connection, new) if keyed else None
        self._drafts: dict[int, _Draft] = {}
        self._cleared: set[str] = set()

    def write(self, drafts: Iterable[_Draft]) -> None:
        """Insert what is to be created, and change what gives way to it."""
        extended = self._unique.write() if self._unique is not None else {}
        for run_id, until in extended.items():
            draft = self._drafts[run_id]
            draft.run = msgspec.structs.replace(draft.run, unique_until=until)
        insert_rows(self._connection, runs, _COLUMNS, [_row(draft) for draft in drafts if not draft.known])

    def decide(self, draft: _Draft) -> None:
        """Give a draft the state in which it is created."""
        run = draft.run
        self._drafts[draft.id] = draft
        fire, parent = (run.job, run.fire_time), (run.job, run.parent_id)
        draft.known = fire in self._known or parent in self._known
        if draft.known:
            return
        self._known |= {key for key in (fire, parent) if key[1] is not None}
        if (reason := why_skipped(run, self._busy)) is not None:
            draft.become(RunState.SKIPPED, reason)
            return
        if self._unique is not None and not self._is_first(draft, self._unique):
            return
        if run.overlap is Overlap.REPLACE:
            self._replace(draft)
        self._begin(draft)
        self._occupied.add(run.job)
        if run.cause is not Cause.BACKFILL:
            self._busy.add(run.job)

    def _begin(self, draft: _Draft) -> None:
        run, openings = draft.run, self._openings
        if run.waits:
            draft.become(RunState.WAITING)
        elif run.due_at > run.created_at:
            draft.become(RunState.SCHEDULED)
        elif openings is not None and self._may_start(run) and openings.take(run.job, run.queue, run.isolation):
            draft.become(RunState.RUNNING, owner=openings.owner)
        else:
            draft.become(RunState.QUEUED)

    def _may_start(self, run: NewRun) -> bool:
        return not run.gathered and run.job not in self._occupied

    def _is_first(self, draft: _Draft, unique: Uniqueness) -> bool:
        """Whether a draft has its key for itself; it has once those that stood in its way are cancelled."""
        holder = unique.holder(draft.run)
        if holder is not None:
            if draft.run.cause is Cause.MANUAL:
                draft.known, draft.holder = True, holder.id
                draft.become(self._drafts[holder.id].state if holder.is_new else holder.state)
            else:
                draft.become(RunState.SKIPPED, duplicate_reason(holder.id))
            return False
        for run_id in unique.take(draft.run, draft.id):
            self._drafts[run_id].become(RunState.CANCELLED, replaced_reason(draft.id))
        return True

    def _replace(self, draft: _Draft) -> None:
        """Cancel what the job has in the table, and what this batch has made for it so far."""
        job = draft.run.job
        if job in self._busy and job not in self._cleared:
            self._cleared.add(job)
            _cancel_unfinished(self._connection, job, draft.run.created_at)
            if self._unique is not None:
                self._unique.look_again(job)
        if (earlier := self._replaceable.get(job)) is not None:
            earlier.become(RunState.CANCELLED, REPLACED_REASON)
            if self._unique is not None:
                self._unique.release(earlier.run, earlier.id)
        self._replaceable[job] = draft


def _created(draft: _Draft) -> Created:
    return Created(
        id=draft.holder if draft.known else draft.id,
        job=draft.run.job,
        state=draft.state,
        owner=draft.owner,
        reason=draft.reason,
        duplicate=draft.holder is not None,
    )


def why_skipped(run: NewRun, busy: Container[str]) -> str | None:
    """Why a new run doesn't become work while the jobs in `busy` have unfinished ones; None when it does."""
    if run.skip_reason is None and run.overlap is Overlap.SKIP and run.job in busy:
        return OVERLAP_REASON
    return run.skip_reason


_COLUMNS = (
    *("id", "job", "state", "cause", "queue", "isolation", "priority", "created_at", "due_at", "fire_time"),
    *("parent_id", "params", "attempt", "uncharged", "cancel_requested", "deadline_at", "time_limit", "reason"),
    *("finished_at", "owner", "started_at", "rank", "group_key", "unique_key", "unique_until", "expires_at"),
    *("flow_id", "step", "item_index", "item"),
)


def _row(draft: _Draft) -> tuple[Any, ...]:
    """A run's values in the order of `_COLUMNS`."""
    run = draft.run
    created_at = micros(run.created_at)
    started = draft.owner is not None
    return (
        draft.id,
        run.job,
        draft.state.value,
        run.cause.value,
        run.queue,
        run.isolation.value,
        run.priority,
        created_at,
        micros(run.due_at),
        micros(run.fire_time),
        run.parent_id,
        json_text(run.params),
        1 if started else 0,
        0,
        False,
        micros(run.deadline_at),
        run.time_limit,
        draft.reason,
        created_at if draft.state.finished else None,
        draft.owner,
        created_at if started else None,
        run.rank,
        run.group_key,
        run.unique_key,
        micros(run.unique_until),
        None if started else micros(run.expires_at),
        run.flow_id,
        run.step,
        run.item_index,
        json_text(run.item),
    )


def _reserve_ids(connection: Connection, count: int) -> range:
    """Short ids that a person can type, never used twice, even after the newest rows were deleted."""
    statement = (
        update(counters)
        .where(counters.c.name == "runs")
        .values(value=counters.c.value + count)
        .returning(counters.c.value)
    )
    last: int = connection.execute(statement).scalar_one()
    return range(last - count + 1, last + 1)


def _already_created(connection: Connection, new: Iterable[NewRun]) -> set[tuple[str, datetime | int | None]]:
    """Fires and parents that have their run. Served by `runs_fire` and `runs_parent`."""
    fires = {(run.fire_time, run.job) for run in new if run.fire_time is not None}
    parents = {(run.parent_id, run.job) for run in new if run.parent_id is not None}
    known: set[tuple[str, datetime | int | None]] = set()
    for statement, wanted in ((_JOBS_FIRED, fires), (_JOBS_FOLLOWING, parents)):
        by_value: dict[Any, list[str]] = {}
        for value, job in wanted:
            by_value.setdefault(value, []).append(job)
        for value, jobs in by_value.items():
            for chunk in chunked(jobs):
                found = connection.execute(statement, {"value": value, "jobs": chunk})
                known.update((job, value) for (job,) in found)
    return known


# Built once: an expression is a circle of objects that holds its list of names until the garbage collector comes round.
_among_jobs = runs.c.job.in_(bindparam("jobs", expanding=True))
_JOBS_FIRED = select(runs.c.job).where(runs.c.fire_time == bindparam("value"), _among_jobs)
_JOBS_FOLLOWING = select(runs.c.job).where(follows, runs.c.parent_id == bindparam("value"), _among_jobs)
_is_backfill = runs.c.cause == literal_column(f"'{Cause.BACKFILL.value}'", Text)
_JOBS_BUSY = select(runs.c.job, _is_backfill).where(is_active, _among_jobs).distinct()


def _busy_jobs(connection: Connection, new: Iterable[NewRun], *, every_job: bool) -> tuple[set[str], set[str]]:
    """Jobs, of those to which it matters, that have an unfinished run which a fire would collide with, and those that
    have any: what a backfill works off takes no fire's place. Served by `runs_active`."""
    matters = (Overlap.SKIP, Overlap.REPLACE)
    asked = {run.job for run in new if (every_job or run.overlap in matters) and run.skip_reason is None}
    busy: set[str] = set()
    occupied: set[str] = set()
    for chunk in chunked(sorted(asked)):
        for job, is_backfill in connection.execute(_JOBS_BUSY, {"jobs": chunk}):
            occupied.add(job)
            if not is_backfill:
                busy.add(job)
    return busy, occupied


def _cancel_unfinished(connection: Connection, job: str, now: datetime) -> None:
    """Cancel what hasn't started; ask what runs to stop (its engine looks after being woken)."""
    from orchestrator.store.flow_replacing import stop_replaced  # which creates runs itself

    stop_replaced(connection, job, now, REPLACED_REASON)
    alone = and_(runs.c.flow_id.is_(None), runs.c.id.not_in(select(flows.c.id)))
    ours = and_(runs.c.job == job, is_active, ~_is_backfill, alone)
    connection.execute(update(runs).where(ours, is_running).values(cancel_requested=True, reason=REPLACED_REASON))
    connection.execute(
        update(runs).where(ours, ~is_running).values(state=CANCELLED, finished_at=now, reason=REPLACED_REASON)
    )


@cache
def _move_cursor(dialect: Dialect) -> str:
    insert = insert_into(cursors, dialect).values(job="", trigger="", fire_time=None)
    # A cursor never goes back: an engine that was stopped for a while must not undo what another one did.
    statement = insert.on_conflict_do_update(
        index_elements=["job", "trigger"],
        set_={"fire_time": insert.excluded.fire_time},
        where=cursors.c.fire_time < insert.excluded.fire_time,
    )
    return str(statement.compile(dialect=dialect))
