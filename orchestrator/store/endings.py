"""How attempts end: what becomes of the run, the attempt's record, and the runs that follow, in one transaction.

Fenced: an ending counts only while its run is still running that very attempt for that very owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Dialect, Integer, bindparam, delete, func, null, select, update

from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import Attempt, RunState
from orchestrator.store.bulk import insert_rows, json_text, micros
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import Created, NewRun, create_runs
from orchestrator.store.flow_progress import Advanced, FlowEnd, StepEnd, advance
from orchestrator.store.flow_rows import NewFlow, insert_flow
from orchestrator.store.reactions import Ended, Reaction, react
from orchestrator.store.states import is_running
from orchestrator.store.tables import Instant, attempts, checkpoints, runs

CANCEL_REASON = "cancelled on request"


class Ending(msgspec.Struct, kw_only=True):
    """An attempt that ended, and the state that its run goes to by the job's policy."""

    run_id: int
    attempt: int
    state: RunState
    record: Attempt | None
    """None for an attempt that never started: it leaves no trace but a spent fence number."""
    due_at: datetime | None = None
    """When the run may start again; only for a state that isn't final."""
    charged: bool = True
    reason: str | None = None
    result: Any = None
    result_file: ResultFile | None = None
    """Where the result is, if it is large. What a preparation found is in `result` all the same."""
    followers: tuple[NewRun, ...] = ()
    """Runs that this end fires, should it be final and not refused; of one that isn't final, those of a cancelled run:
    it may have been cancelled meanwhile. `parent_id` is filled in here."""
    reaction: Reaction | None = None
    """What else the job wants done about it, should it not be refused."""
    flow: NewFlow | None = None
    """The steps to begin with: the run is a workflow's, and waits for them from now on."""


class Settled(msgspec.Struct, kw_only=True):
    """What was written. `states` maps the ids of the runs that were still ours to their new states."""

    states: dict[int, RunState]
    created: list[Created]
    admitted: int = 0
    """Runs of backfills that may start now."""
    flows: list[FlowEnd] = []
    """Workflows that ended with the last of their steps."""


def settle(connection: Connection, owner: int, endings: Sequence[Ending], now: datetime) -> Settled:
    """Write endings; those of attempts that are no longer this owner's are refused and absent from the result."""
    # A second end of the same attempt is as stale as one that comes later.
    endings = list({ending.run_id: ending for ending in reversed(endings)}.values())[::-1]
    ours = _still_ours(connection, owner, endings)
    valid = [_obeying_cancel(ending, ours[ending.run_id].cancel) for ending in endings if _matches(ours, ending)]
    if not valid:
        return Settled(states={}, created=[])
    connection.exec_driver_sql(_update(connection.dialect), [_run_values(ending, now) for ending in valid])
    if records := [_attempt_values(ending.record) for ending in valid if ending.record is not None]:
        insert_rows(connection, attempts, _ATTEMPT_COLUMNS, records)
    _drop_checkpoints(connection, [ending for ending in valid if ending.state is RunState.SUCCEEDED])
    followers = [_child(run, ending.run_id) for ending in valid if ending.state.finished for run in ending.followers]
    followers += _reactions(connection, valid, now)
    created = create_runs(connection, followers) if followers else []
    advanced = _go_on(connection, valid, ours, now)
    return Settled(
        states={ending.run_id: ending.state for ending in valid},
        created=[*created, *advanced.created],
        flows=advanced.ended,
    )


def _go_on(connection: Connection, valid: Sequence[Ending], ours: Mapping[int, _Ours], now: datetime) -> Advanced:
    """What comes next in workflows that begin, and in those of which a step has ended."""
    begun = {ending.run_id: ending.flow for ending in valid if ending.flow and ending.state is RunState.WAITING}
    for run_id, flow in begun.items():
        insert_flow(connection, run_id, flow)
    ends = [
        StepEnd(
            flow_id=place.flow_id,
            step=place.step,
            item_index=place.item_index,
            state=ending.state,
            reason=ending.reason,
            result=ending.result,
        )
        for ending in valid
        if (place := ours[ending.run_id]).flow_id is not None and place.step is not None and ending.state.finished
    ]
    return advance(connection, now, ends=ends, begun=begun) if ends or begun else Advanced()


class _Ours(NamedTuple):
    """What the table says of a run that still is this owner's."""

    attempt: int
    cancel: bool
    flow_id: int | None
    step: str | None
    item_index: int | None


def _still_ours(connection: Connection, owner: int, endings: Sequence[Ending]) -> dict[int, _Ours]:
    ours: dict[int, _Ours] = {}
    for chunk in chunked([ending.run_id for ending in endings]):
        found = connection.execute(_STILL_OURS, {"ids": chunk, "present_owner": owner})
        ours.update((run_id, _Ours(*rest)) for run_id, *rest in found)
    return ours


# Built once: an expression is a circle of objects that holds its list of ids until the garbage collector comes round.
_STILL_OURS = (
    select(runs.c.id, runs.c.attempt, runs.c.cancel_requested, runs.c.flow_id, runs.c.step, runs.c.item_index)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)), runs.c.owner == bindparam("present_owner"), is_running)
    .with_for_update()
)


def _matches(ours: Mapping[int, _Ours], ending: Ending) -> bool:
    return ending.run_id in ours and ours[ending.run_id].attempt == ending.attempt


def _obeying_cancel(ending: Ending, cancel_requested: bool) -> Ending:  # noqa: FBT001 - a column's value
    """A run that somebody cancelled does not start again, whatever its retry policy says."""
    if not cancel_requested or ending.state.finished:
        return ending
    reason = f"{CANCEL_REASON} ({ending.reason})" if ending.reason else CANCEL_REASON
    return msgspec.structs.replace(ending, state=RunState.CANCELLED, due_at=None, reason=reason, reaction=None)


@cache
def _update(dialect: Dialect) -> str:
    """The statement that `_run_values` fills, in the order of its parameters."""
    statement = (
        update(runs)
        .where(runs.c.id == bindparam("run_id"))
        # An attempt that didn't start, or a run that isn't due anew, leaves the instant that is there.
        .ordered_values(
            (runs.c.state, bindparam("new_state")),
            (runs.c.owner, null()),
            (runs.c.due_at, func.coalesce(bindparam("new_due_at", type_=Instant), runs.c.due_at)),
            (runs.c.uncharged, runs.c.uncharged + bindparam("uncharge", type_=Integer)),
            (runs.c.started_at, func.coalesce(bindparam("new_started_at", type_=Instant), runs.c.started_at)),
            (runs.c.finished_at, bindparam("new_finished_at")),
            (runs.c.reason, bindparam("new_reason")),
            (runs.c.result, bindparam("new_result")),
            (runs.c.result_files, bindparam("new_result_files")),
        )
    )
    return str(statement.compile(dialect=dialect))


def _run_values(ending: Ending, now: datetime) -> tuple[Any, ...]:
    record = ending.record
    finished_at = (record.finished_at if record else now) if ending.state.finished else None
    return (
        ending.state.value,
        micros(ending.due_at),
        0 if ending.charged else 1,
        micros(record.started_at) if record else None,
        micros(finished_at),
        ending.reason,
        json_text(ending.result) if ending.result_file is None else None,
        None if ending.result_file is None else json_text([ending.result_file]),
        ending.run_id,
    )


_ATTEMPT_COLUMNS = (
    *("run_id", "attempt", "number", "outcome", "owner", "started_at", "finished_at", "worker_pid", "error"),
)


def _attempt_values(record: Attempt) -> tuple[Any, ...]:
    return (
        record.run_id,
        record.attempt,
        record.number,
        record.outcome.value,
        record.owner,
        micros(record.started_at),
        micros(record.finished_at),
        record.worker_pid,
        json_text(record.error),
    )


def _drop_checkpoints(connection: Connection, endings: list[Ending]) -> None:
    """Progress of work that is done; most runs never saved any."""
    if connection.execute(select(checkpoints.c.run_id).limit(1)).first() is None:
        return
    for chunk in chunked([ending.run_id for ending in endings]):
        connection.execute(delete(checkpoints).where(checkpoints.c.run_id.in_(chunk)))


def _reactions(connection: Connection, endings: Sequence[Ending], now: datetime) -> list[NewRun]:
    ends = [Ended(run_id=one.run_id, state=one.state, reaction=one.reaction) for one in endings if one.reaction]
    return react(connection, ends, now) if ends else []


def _child(run: NewRun, parent_id: int) -> NewRun:
    return msgspec.structs.replace(run, parent_id=parent_id)
