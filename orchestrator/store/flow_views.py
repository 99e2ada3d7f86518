"""What a workflow's steps have come to, for people who look."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from orchestrator.core.runs import RunState
from orchestrator.store.tables import flow_steps, runs


class StepRun(msgspec.Struct, kw_only=True):
    """A run of a step; of a workflow inside, its steps."""

    id: int
    job: str
    step: str
    item_index: int | None
    state: RunState
    reason: str | None
    started_at: datetime | None
    finished_at: datetime | None
    steps: list[StepView] = []


class StepView(msgspec.Struct, kw_only=True):
    """A step. Of its runs, `total` are to be (none: nobody knows yet)."""

    name: str
    kind: str
    state: RunState
    reason: str | None
    needs: list[str]
    needs_any: list[str]
    is_final: bool
    is_many: bool
    message: str | None
    total: int | None
    ended: int
    succeeded: int
    failed: int
    started_at: datetime | None
    finished_at: datetime | None
    runs: list[StepRun] = []


def list_steps(connection: Connection, flow_id: int) -> list[StepView]:
    """The steps of a workflow in the order of the file, with their runs; none for another run."""
    fields: list[Any] = [flow_steps.c[name] for name in StepView.__struct_fields__ if name != "runs"]
    wanted = select(*fields).where(flow_steps.c.flow_id == flow_id).order_by(flow_steps.c.position)
    found = [_step(row) for row in connection.execute(wanted).mappings()]
    if not found:
        return []
    steps = {step.name: step for step in found}
    columns: list[Any] = [runs.c[name] for name in StepRun.__struct_fields__ if name != "steps"]
    ours = select(*columns).where(runs.c.flow_id == flow_id, runs.c.step.is_not(None))
    for row in connection.execute(ours.order_by(runs.c.step, runs.c.item_index)).mappings():
        run = msgspec.convert({name: row[name] for name in StepRun.__struct_fields__ if name != "steps"}, StepRun)
        run.steps = list_steps(connection, run.id)
        steps[run.step].runs.append(run)
    return found


def _step(row: Any) -> StepView:
    return msgspec.convert({name: row[name] for name in StepView.__struct_fields__ if name != "runs"}, StepView)
