"""A newer run of a workflow's job replaces those under way (`overlap: replace`): they stop with all their steps."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from orchestrator.core.runs import RunState
from orchestrator.store.flow_halts import Halt
from orchestrator.store.flow_progress import advance
from orchestrator.store.states import is_active, is_waiting
from orchestrator.store.tables import flows, runs


def stop_replaced(connection: Connection, job: str, now: datetime, reason: str) -> None:
    """Stop the workflows of a job. Served by `runs_active`."""
    found = select(runs.c.id).join(flows, flows.c.id == runs.c.id)
    begun = list(
        connection.execute(found.where(runs.c.job == job, is_active, is_waiting, runs.c.flow_id.is_(None))).scalars()
    )
    halts = [Halt(flow_id=one, state=RunState.CANCELLED, reason=reason, told=reason, at_once=True) for one in begun]
    if halts:
        advance(connection, now, halts=halts)
