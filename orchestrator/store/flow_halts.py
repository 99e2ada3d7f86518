"""How a workflow stops before its end: what hasn't begun is ended; what runs may finish, or is asked to stop."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, select, update

from orchestrator.core.runs import RunState
from orchestrator.store.flow_rows import FlowRow
from orchestrator.store.states import is_active, is_running, is_waiting
from orchestrator.store.tables import flows, runs


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to stop a workflow: `state` is how it will end, `told` the reason that its steps get."""

    flow_id: int
    state: RunState
    reason: str
    told: str
    by_person: bool = False
    """Somebody cancelled it, for the second time if it is stopping already: then steps under `finally` end, too."""
    at_once: bool = False
    """What runs is asked to stop, instead of being left to finish."""


class EndedRun(NamedTuple):
    """A run that a halt ended."""

    id: int
    step: str
    item_index: int | None


class Halted(NamedTuple):
    """The runs that were ended, in which state, and the workflows inside this one that are to stop as well."""

    ended: list[EndedRun]
    state: RunState
    halts: list[Halt]


def halt(connection: Connection, flow: FlowRow, wanted: Halt, now: datetime, *, also_finals: bool) -> Halted:
    """End what hasn't begun of a workflow's steps and, if it is to stop at once, ask the rest to. Steps under
    `finally` are left alone unless `also_finals`. Served by `runs_flow`."""
    finals = [step.name for step in flow.steps.values() if step.is_final]
    ours = (runs.c.flow_id == flow.id) & is_active
    if finals and not also_finals:
        ours &= runs.c.step.not_in(finals)
    state = RunState.CANCELLED if wanted.at_once else RunState.SKIPPED
    begun = runs.c.id.in_(select(flows.c.id))
    waiting = ours & ~is_running & ~begun
    if not wanted.at_once:
        waiting &= runs.c.attempt == 0
    ended = _end(connection, waiting, state, wanted.told, now)
    if not wanted.at_once:
        return Halted(ended, state, [])
    connection.execute(update(runs).where(ours, is_running).values(cancel_requested=True, reason=wanted.told))
    inner = connection.execute(select(runs.c.id).where(ours, is_waiting, begun)).scalars()
    halts = [msgspec.structs.replace(wanted, flow_id=one, state=RunState.CANCELLED) for one in inner]
    return Halted(ended, state, halts)


def _end(
    connection: Connection, which: ColumnElement[bool], state: RunState, reason: str, now: datetime
) -> list[EndedRun]:
    values = {"state": state.value, "finished_at": now, "reason": reason}
    ending = update(runs).where(which).values(values).returning(runs.c.id, runs.c.step, runs.c.item_index)
    return [EndedRun(*row) for row in connection.execute(ending)]
