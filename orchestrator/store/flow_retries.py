"""How a workflow that has ended goes on: what failed starts over, what succeeded is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, and_, or_, select, update

from orchestrator.core.errors import NotFoundError
from orchestrator.core.flows import OnFailure, StepKind
from orchestrator.core.runs import RunState
from orchestrator.store.flow_places import refuse_retry
from orchestrator.store.flow_progress import Advanced, advance
from orchestrator.store.flow_rows import FlowRow, StepRow, load_flows, save_steps
from orchestrator.store.flow_rules import CONDITION_REASON
from orchestrator.store.requeues import requeue
from orchestrator.store.tables import flows, runs

_ANEW = (StepKind.APPROVE, StepKind.SLEEP)
"""Kinds that ask, or sleep, once more."""


def retry_flow(connection: Connection, flow_id: int, now: datetime, from_step: str | None = None) -> Advanced:
    """Start over with what failed, or was skipped because of it, and with steps under `finally`; with `from_step` also
    with that step and all that needs it. Of a workflow that succeeded, without `from_step`, with everything.

    Raises `NotFoundError`, or `ConflictError` for a workflow that hasn't ended or is a step of another.
    """
    flow = load_flows(connection, [flow_id]).get(flow_id)
    if flow is None:
        raise NotFoundError(f"run {flow_id} is no workflow that has begun; `orchestrator runs` lists the runs")
    if flow.flow_id is not None or not flow.state.finished or flow.is_doomed:
        raise refuse_retry(flow_id, flow.state, flow.flow_id, flow.step)
    if from_step is not None and from_step not in flow.steps:
        raise NotFoundError(f"there is no step `{from_step}` in run {flow_id}; its steps: {', '.join(flow.steps)}")
    begun = _reset(connection, flow, now, from_step)
    return advance(connection, now, begun=begun)


def retry_flows(
    connection: Connection, flow_ids: Sequence[int], now: datetime, from_step: str | None = None
) -> dict[int, RunState]:
    """`retry_flow` for each; gives the states that they are left in."""
    for flow_id in flow_ids:
        retry_flow(connection, flow_id, now, from_step)
    return {flow_id: flow.state for flow_id, flow in load_flows(connection, flow_ids).items()}


def _reset(connection: Connection, flow: FlowRow, now: datetime, from_step: str | None) -> set[int]:
    """Put a workflow back to where it goes on; gives it, and those inside that do so too."""
    redone = _redone(flow, from_step)
    begun = {flow.id}
    for name in redone:
        step = flow.steps[name]
        inputs_change = name == from_step or bool(_before(flow, name) & redone)
        if inputs_change or step.is_final or step.kind in _ANEW or step.state is RunState.SUCCEEDED:
            _start_anew(connection, step)
        else:
            begun |= _start_over(connection, step, now)
    save_steps(connection, flow.changed)
    connection.execute(update(flows).where(flows.c.id == flow.id).values(stopped=None, reason=None))
    requeue(connection, runs.c.id == flow.id, now, RunState.WAITING)
    return begun


def _redone(flow: FlowRow, from_step: str | None) -> set[str]:
    steps = flow.steps
    if from_step is None and flow.state is RunState.SUCCEEDED:
        return set(steps)
    redone = {name for name, step in steps.items() if step.is_final or _failed(step)}
    if from_step is not None:
        redone |= {from_step} | {name for name in steps if from_step in _before(flow, name)}
    # A condition that was false is asked again only if what it reads may have changed.
    return redone | {
        name for name, step in steps.items() if step.state is RunState.SKIPPED and _before(flow, name) & redone
    }


def _failed(step: StepRow) -> bool:
    if step.state is RunState.SKIPPED:
        return step.reason != CONDITION_REASON
    return step.state is not RunState.SUCCEEDED and step.on_failure is not OnFailure.CONTINUE


def _before(flow: FlowRow, name: str) -> set[str]:
    """What a step needs, directly or by way of others."""
    found: set[str] = set()
    ahead = [*flow.steps[name].needs, *flow.steps[name].needs_any]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += [*flow.steps[one].needs, *flow.steps[one].needs_any]
    return found


def _start_anew(connection: Connection, step: StepRow) -> None:
    """The step waits for its turn again. Its earlier runs stay in the history, as nobody's."""
    ours = and_(runs.c.flow_id == step.flow_id, runs.c.step == step.name)
    connection.execute(update(runs).where(ours).values(step=None))
    step.state, step.reason, step.total = RunState.WAITING, None, None
    step.ended = step.succeeded = step.failed = 0
    step.started_at = step.finished_at = None


def _start_over(connection: Connection, step: StepRow, now: datetime) -> set[int]:
    """What didn't succeed of the step's runs starts over, as many at once as may; gives the workflows among them."""
    ours = and_(runs.c.flow_id == step.flow_id, runs.c.step == step.name)
    undone = and_(
        runs.c.state.in_([RunState.FAILED.value, RunState.CANCELLED.value, RunState.SKIPPED.value]),
        or_(runs.c.reason.is_(None), runs.c.reason != CONDITION_REASON),
    )
    known = select(runs.c.id, runs.c.item_index, flows.c.id.label("begun")).outerjoin(flows, flows.c.id == runs.c.id)
    found = connection.execute(known.where(ours, undone).order_by(runs.c.item_index)).mappings().all()
    if not found:
        _start_anew(connection, step)
        return set()
    step.state, step.reason, step.finished_at, step.failed = RunState.RUNNING, None, None, 0
    step.ended -= sum(not (step.prepares and row["item_index"] is None) for row in found)
    return _requeue_all(connection, step, found, now)


def _requeue_all(connection: Connection, step: StepRow, found: Sequence[RowMapping], now: datetime) -> set[int]:
    begun: set[int] = set()
    window = step.max_parallel or len(found)
    for position, row in enumerate(found):
        if row["begun"] is not None:
            inner = load_flows(connection, [row["id"]])[row["id"]]
            begun |= _reset(connection, inner, now, None)
        else:
            state = RunState.QUEUED if position < window else RunState.WAITING
            requeue(connection, runs.c.id == row["id"], now, state)
    return begun
