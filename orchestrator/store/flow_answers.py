"""What people answer to a step that asks: yes or no, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.flows import StepKind
from orchestrator.core.runs import RunState
from orchestrator.store.flow_progress import Advanced, StepEnd, advance
from orchestrator.store.states import is_waiting
from orchestrator.store.tables import flow_steps, runs


def answer(
    connection: Connection, flow_id: int, step: str, now: datetime, *, approved: bool, by: str, comment: str = ""
) -> Advanced:
    """Answer the question of a step, and go on with its workflow.

    Raises `NotFoundError` for what isn't there, and `ConflictError` for a step that isn't asking.
    """
    _check(connection, flow_id, step)
    result: dict[str, Any] = {"approved": approved, "by": by, "comment": comment, "at": now.isoformat()}
    state = RunState.SUCCEEDED if approved else RunState.FAILED
    reason = None if approved else f"rejected by {by}: {comment}" if comment else f"rejected by {by}"
    values = {"state": state.value, "finished_at": now, "reason": reason, "result": result}
    ours = (runs.c.flow_id == flow_id, runs.c.step == step, is_waiting)
    answered = connection.execute(update(runs).where(*ours).values(values).returning(runs.c.item_index)).first()
    if answered is None:
        raise ConflictError(f"step `{step}` of run {flow_id} asks nothing now: {_state(connection, flow_id, step)}")
    end = StepEnd(flow_id=flow_id, step=step, item_index=answered.item_index, state=state, reason=reason, result=result)
    return advance(connection, now, ends=[end])


def _check(connection: Connection, flow_id: int, step: str) -> None:
    kinds = select(flow_steps.c.name, flow_steps.c.kind).where(flow_steps.c.flow_id == flow_id)
    steps = {name: kind for name, kind in connection.execute(kinds)}  # noqa: C416 - rows are no pairs to dict()
    if not steps:
        raise NotFoundError(f"run {flow_id} is no workflow that has begun; `orchestrator runs` lists the runs")
    asking = [name for name, kind in steps.items() if kind == StepKind.APPROVE.value]
    if step not in asking:
        what = f"step `{step}` asks nothing" if step in steps else f"there is no step `{step}`"
        raise NotFoundError(f"{what} in run {flow_id}; its questions: {', '.join(asking) or 'none'}")


def _state(connection: Connection, flow_id: int, step: str) -> str:
    ours = (flow_steps.c.flow_id == flow_id, flow_steps.c.name == step)
    state = connection.execute(select(flow_steps.c.state).where(*ours)).scalar()
    return "its turn has not come yet" if state == RunState.WAITING.value else f"it is {state}"
