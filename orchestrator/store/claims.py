"""Who executes what next: due runs are claimed in batches, within the limits of queues and jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, select, update

from orchestrator.core.flows import StepSight
from orchestrator.core.hooks import DELIVERY
from orchestrator.core.runs import Cause, RunState
from orchestrator.store.batching import Gathered, note_batches
from orchestrator.store.bulk import from_micros
from orchestrator.store.candidates import Candidate, ClaimRequest, Lane
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.families import family_of
from orchestrator.store.flow_progress import advance, ends_of
from orchestrator.store.flow_sights import load_sights
from orchestrator.store.instances import is_living
from orchestrator.store.notices import take
from orchestrator.store.pauses import paused
from orchestrator.store.picking import Picked, pick
from orchestrator.store.reactions import Ended, Reaction, react
from orchestrator.store.states import FAILED, QUEUED, is_active, is_queued, is_running, is_scheduled, is_waiting
from orchestrator.store.tables import checkpoints, runs

__all__ = ["ClaimRequest", "Claimed", "ClaimedRun", "Wishes", "claim", "expire"]

SOME = 1000
"""Rows that one statement changes at most, so that no other writer waits long."""
DEADLINE_REASON = "its deadline passed before it could finish"


class ClaimedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is now ours to execute, once, as `attempt`."""

    id: int
    job: str
    attempt: int
    uncharged: int
    cause: Cause
    fire_time: datetime | None
    deadline_at: datetime | None
    params: dict[str, Any] | None
    checkpoint: Any = None
    sight: StepSight | None = None
    """Of a step of a workflow: what its templates may read."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What people asked: jobs to leave alone, and running attempts to stop, each with the reason if one was given."""

    paused: frozenset[str]
    cancels: list[tuple[int, int, str | None]]


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """The claimed runs, and what to know until the next claim.

    `waiting` says whether queued runs are left, for want of capacity or because a limit holds them back; `next_due` is
    the instant at which the next scheduled one is due, or at which a rate lets more start. `lost` says that the owner
    was taken for dead: it gets nothing until it registers anew. `turns` is for the next request, where keys take turns.
    """

    runs: list[ClaimedRun]
    waiting: bool
    next_due: datetime | None
    turns: Mapping[Lane, str] = {}
    batches: Mapping[int, tuple[int, ...]] = {}
    """Runs that were claimed to be worked off in one call, by the first of them."""
    wishes: Wishes | None = None
    lost: bool = False


def claim(connection: Connection, request: ClaimRequest) -> Claimed:
    """Make what is due claimable, then claim by priority, oldest first, up to the capacity."""
    if not is_living(connection, request.owner):
        return Claimed(runs=[], waiting=False, next_due=None, lost=True)
    _promote(connection, request.now)
    held_back = paused(connection)
    able = any(request.capacity.values())
    gathered = Gathered(connection, request.batches, request.now)
    startable = held_back._replace(jobs=[*held_back.jobs, *gathered.unready])
    picked, next_start, turns, batches = pick(connection, request, startable) if able else Picked([], None, {}, {})
    if picked:
        _mark_running(connection, request, picked)
        note_batches(connection, batches)
    waiting = connection.execute(select(runs.c.id).where(is_queued).limit(1)).first() is not None
    next_due = connection.execute(select(func.min(runs.c.due_at)).where(is_scheduled)).scalar()
    for at in (next_start, gathered.next_ready):
        if waiting and at is not None:
            next_due = min(at, next_due or at)
    wishes = _wishes(connection, request.owner, held_back.jobs) if request.listen else None
    saved = _checkpoints(connection, picked)
    claimed = [_claimed(connection, row, saved, request.now) for row in picked]
    if request.step_reads:
        claimed = _with_sights(connection, claimed, request.step_reads)
    return Claimed(runs=claimed, waiting=waiting, next_due=next_due, turns=turns, batches=batches, wishes=wishes)


class Overdue(msgspec.Struct, frozen=True, kw_only=True):
    """A run that failed because it didn't start before its deadline."""

    id: int
    job: str
    cause: Cause
    fire_time: datetime | None


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a run's end that no attempt made."""

    followers: Sequence[NewRun] = ()
    reaction: Reaction | None = None


def expire(
    connection: Connection,
    now: datetime,
    aftermath: Callable[[Overdue], Aftermath] = lambda _: Aftermath(),
    only_run: int | None = None,
) -> list[Overdue]:
    """Fail what didn't start before its deadline, and create the runs that follow; with `only_run`, of that run and
    those that belong to it. Workflows that wait for their steps have `expire_waiting`.

    Some at a time: the next call takes the rest. Served by `runs_deadline`.
    """
    overdue = and_(runs.c.deadline_at <= now, runs.c.finished_at.is_(None), is_active, ~is_running, ~is_waiting)
    some = select(runs.c.id).where(runs.c.deadline_at.is_not(None), overdue).limit(SOME)
    if only_run is not None:
        some = some.where(runs.c.id.in_(family_of(only_run)))
    statement = (
        update(runs)
        .where(runs.c.id.in_(some))
        .values(state=FAILED, finished_at=now, reason=DEADLINE_REASON)
        .returning(
            *(runs.c[name] for name in ("id", "job", "cause", "fire_time", "flow_id", "step", "item_index")),
        )
    )
    rows = connection.execute(statement).all()
    failed = [Overdue(id=row.id, job=row.job, cause=_CAUSES[row.cause], fire_time=row.fire_time) for row in rows]
    found = [(run, aftermath(run)) for run in failed]
    new = [msgspec.structs.replace(child, parent_id=run.id) for run, after in found for child in after.followers]
    ends = [Ended(run_id=run.id, state=RunState.FAILED, reaction=a.reaction) for run, a in found if a.reaction]
    if ends:
        new += react(connection, ends, now)
    if new:
        create_runs(connection, new)
    if steps := ends_of(rows, RunState.FAILED, DEADLINE_REASON):
        advance(connection, now, ends=steps)
    return failed


def _wishes(connection: Connection, owner: int, paused_jobs: list[str]) -> Wishes:
    statement = select(runs.c.id, runs.c.attempt, runs.c.reason)
    found = connection.execute(statement.where(is_running, runs.c.owner == owner, runs.c.cancel_requested))
    cancels = [(run_id, attempt, reason) for run_id, attempt, reason in found]
    return Wishes(paused=frozenset(paused_jobs), cancels=cancels)


def _promote(connection: Connection, now: datetime) -> None:
    due = select(runs.c.id).where(is_scheduled, runs.c.due_at <= now).order_by(runs.c.due_at).limit(SOME)
    connection.execute(update(runs).where(runs.c.id.in_(due)).values(state=QUEUED))


def _mark_running(connection: Connection, request: ClaimRequest, picked: list[Candidate]) -> None:
    for chunk in chunked([row.id for row in picked]):
        connection.execute(_MARK_RUNNING, {"ids": chunk, "new_owner": request.owner, "now": request.now})


_MARK_RUNNING = (
    update(runs)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        state=RunState.RUNNING.value,
        owner=bindparam("new_owner"),
        attempt=runs.c.attempt + 1,
        started_at=bindparam("now"),
        reason=None,
        cancel_requested=False,
        batch_id=None,
        progress_done=None,
        progress_total=None,
        expires_at=None,  # it has started
    )
)


def _checkpoints(connection: Connection, picked: list[Candidate]) -> dict[int, Any]:
    saved: dict[int, Any] = {}
    for chunk in chunked([row.id for row in picked if row.attempt > 0]):
        statement = select(checkpoints.c.run_id, checkpoints.c.value).where(checkpoints.c.run_id.in_(chunk))
        saved.update((run_id, value) for run_id, value in connection.execute(statement))
    return saved


def _with_sights(
    connection: Connection, claimed: list[ClaimedRun], step_reads: Mapping[str, Sequence[str]]
) -> list[ClaimedRun]:
    reads = {run.id: step_reads[run.job] for run in claimed if run.job in step_reads}
    sights = load_sights(connection, reads) if reads else {}
    return [msgspec.structs.replace(run, sight=sights[run.id]) if run.id in sights else run for run in claimed]


_CAUSES = {cause.value: cause for cause in Cause}


def _claimed(connection: Connection, row: Candidate, saved: dict[int, Any], now: datetime) -> ClaimedRun:
    params = msgspec.json.decode(row.params) if row.params is not None else None
    if params is not None and row.job.startswith(DELIVERY):
        params = take(connection, row.id, row.attempt, params, now)
    return ClaimedRun(
        id=row.id,
        job=row.job,
        attempt=row.attempt + 1,
        uncharged=row.uncharged,
        cause=_CAUSES[row.cause],
        fire_time=from_micros(row.fire_time),
        deadline_at=from_micros(row.deadline_at),
        params=params,
        checkpoint=saved.get(row.id),
    )
