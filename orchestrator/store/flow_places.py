"""Which part of which workflow is a run, and what may be asked of the workflow instead?"""

from __future__ import annotations

from orchestrator.core.errors import ConflictError


def place_of(flow_id: int, step: str | None) -> str:
    """What a run of a step is to a person; one without a step is left from before its step started anew."""
    return f"an earlier try of a step of run {flow_id}" if step is None else f"the step `{step}` of run {flow_id}"


def refuse_retry(run_id: int, flow_id: int, step: str | None) -> ConflictError:
    """Why a run of a step isn't retried by itself: its workflow would go on without it."""
    again = f"`orchestrator retry {flow_id} --from {step or 'STEP'}`"
    return ConflictError(f"run {run_id} is {place_of(flow_id, step)}: write {again}")
