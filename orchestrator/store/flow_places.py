"""Which part of which workflow is a run, and what is to be said to whoever would have it retried by itself?"""

from __future__ import annotations

from orchestrator.core.errors import ConflictError
from orchestrator.core.runs import RunState


def place_of(flow_id: int, step: str | None) -> str:
    """What a run of a step is to a person; one without a step is left from before its step started anew."""
    return f"an earlier try of a step of run {flow_id}" if step is None else f"the step `{step}` of run {flow_id}"


def refuse_retry(run_id: int, state: RunState, flow_id: int | None, step: str | None) -> ConflictError:
    """Why a run wasn't retried. A step isn't by itself, since its workflow would go on without it."""
    if flow_id is not None:
        again = f"`orchestrator retry {flow_id} --from {step or 'STEP'}`"
        return ConflictError(f"run {run_id} is {place_of(flow_id, step)}: write {again}")
    if not state.finished:
        return ConflictError(f"run {run_id} is {state.value}: only a finished run can be retried")
    return ConflictError(f"run {run_id} is {state.value}, and a part of it is deleted already (`retention`)")
