"""Whose time is over among those that wait: workflows for their steps, questions for an answer."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, exists, select, update

from orchestrator.core.flows import StepKind
from orchestrator.core.runs import RunState
from orchestrator.store.claims import DEADLINE_REASON, SOME
from orchestrator.store.families import family_of
from orchestrator.store.flow_halts import Halt
from orchestrator.store.flow_progress import Advanced, advance, ends_of
from orchestrator.store.states import FAILED, is_waiting
from orchestrator.store.tables import flow_steps, flows, runs

UNANSWERED_REASON = "nobody answered in time"


def expire_waiting(connection: Connection, now: datetime, only_run: int | None = None) -> Advanced:
    """Stop workflows whose deadline has passed, but not their steps under `finally`; fail questions nobody answered.
    With `only_run`, of that run and those that belong to it.

    Some at a time. Served by `runs_deadline`.
    """
    late = and_(runs.c.deadline_at.is_not(None), runs.c.deadline_at <= now, runs.c.finished_at.is_(None), is_waiting)
    if only_run is not None:
        late = and_(late, runs.c.id.in_(family_of(only_run)))
    if connection.execute(select(runs.c.id).where(late).limit(1)).first() is None:
        return Advanced()
    asks = exists().where(
        flow_steps.c.flow_id == runs.c.flow_id,
        flow_steps.c.name == runs.c.step,
        flow_steps.c.kind == StepKind.APPROVE.value,
    )
    failing = update(runs).where(runs.c.id.in_(select(runs.c.id).where(late, asks).limit(SOME)))
    failing = failing.values(state=FAILED, finished_at=now, reason=UNANSWERED_REASON)
    questions = connection.execute(failing.returning(runs.c.flow_id, runs.c.step, runs.c.item_index)).all()
    late_flows = list(connection.execute(select(runs.c.id).join(flows, flows.c.id == runs.c.id).where(late)).scalars())
    if late_flows:
        connection.execute(update(runs).where(runs.c.id.in_(late_flows)).values(deadline_at=None))
    halts = [
        Halt(flow_id=one, state=RunState.FAILED, reason=DEADLINE_REASON, told=DEADLINE_REASON, at_once=True)
        for one in late_flows
    ]
    ends = ends_of(questions, RunState.FAILED, UNANSWERED_REASON)
    return advance(connection, now, ends=ends, halts=halts) if ends or halts else Advanced()
