"""What did the steps of a workflow result in, for those that read it, and for the workflow itself?"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Text, select, type_coerce

from orchestrator.core.runs import RunState
from orchestrator.store.flow_rows import FlowRow
from orchestrator.store.tables import runs

LIMIT = 2**20
"""Bytes of a workflow's result; a larger one is not kept, its steps' own results are."""
READABLE = 16 * 2**20
"""Bytes of results that the steps which one step reads may have together: they travel to a worker in one message."""


class Results(NamedTuple):
    """Results by step; of one that has items, a list with a place for each. `too_large` is the step with which they
    became more than may be read."""

    by_step: dict[str, Any]
    too_large: str | None


def flow_result(connection: Connection, flow: FlowRow) -> dict[str, Any] | None:
    """The results of the steps that no other needs."""
    needed = {name for step in flow.steps.values() for name in (*step.needs, *step.needs_any)}
    last = [step.name for step in flow.steps.values() if step.name not in needed and not step.is_final]
    found = step_results(connection, flow, last, limit=LIMIT)
    return found.by_step if found.too_large is None else None


def step_results(connection: Connection, flow: FlowRow, names: list[str], limit: int = READABLE) -> Results:
    """Read results, no more than `limit` bytes of them. Served by `runs_flow`."""
    results: dict[str, Any] = {name: [] if flow.steps[name].is_many else None for name in names}
    columns = (runs.c.step, runs.c.item_index, runs.c.state, type_coerce(runs.c.result, Text))
    statement = select(*columns).where(runs.c.flow_id == flow.id, runs.c.step.in_(names))
    left = limit
    for name, index, state, text in connection.execute(statement.order_by(runs.c.step, runs.c.item_index)):
        step = flow.steps[name]
        if step.prepares and index is None:
            continue
        wanted = text is not None and state == RunState.SUCCEEDED.value
        left -= len(text) if wanted else 0
        if left < 0:
            return Results({}, name)
        value = msgspec.json.decode(text) if wanted else None
        if step.is_many:
            results[name].append(value)
        else:
            results[name] = value
    return Results(results, None)
