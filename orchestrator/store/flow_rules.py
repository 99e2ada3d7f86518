"""What a workflow does next, by what its steps have come to. Nothing here has an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.core.flows import OnFailure
from orchestrator.core.runs import RunState
from orchestrator.store.flow_rows import FlowRow, StepRow

CONDITION_REASON = "its condition was false"
_FAILURES = (RunState.FAILED, RunState.CANCELLED)


class Readiness(NamedTuple):
    """Whether a step may start now, or why it never will; neither: it waits."""

    ready: bool = False
    skip: str | None = None


WAIT = Readiness()
START = Readiness(ready=True)


def readiness(step: StepRow, steps: Mapping[str, StepRow]) -> Readiness:
    """What becomes of a step that waits. All that it needs must have ended: each of `needs` well, one of `needs_any`.

    A step is skipped where one that it needs was, unless it has a condition of its own to decide by.
    """
    needed = [steps[name] for name in step.needs]
    any_of = [steps[name] for name in step.needs_any]
    if step.is_final:
        needed_first = [other for other in steps.values() if not other.is_final]
        if not all(other.has_ended for other in needed_first):
            return WAIT
    if not all(other.has_ended for other in (*needed, *any_of)):
        return WAIT
    for other in needed:
        if not _went_well(other) and not (other.state is RunState.SKIPPED and step.has_when):
            return Readiness(skip=f"step `{other.name}` {_how(other)}")
    if any_of and not any(_went_well(other) for other in any_of):
        return Readiness(skip=f"none of {', '.join(f'`{other.name}`' for other in any_of)} succeeded")
    return START


def stops_flow(step: StepRow) -> bool:
    """Whether nothing more may start because of this step."""
    return not step.is_final and step.on_failure is OnFailure.FAIL and (step.failed > 0 or step.state in _FAILURES)


def settled_state(step: StepRow) -> RunState:
    """The state of a step whose runs have all ended."""
    if step.failed:
        return RunState.FAILED
    return RunState.SKIPPED if step.total and not step.succeeded else RunState.SUCCEEDED


def outcome(flow: FlowRow) -> tuple[RunState, str | None]:
    """How a workflow ends whose steps have all ended."""
    if flow.stopped is RunState.CANCELLED:
        return RunState.CANCELLED, flow.reason
    if flow.stopped is not None:
        return flow.stopped, flow.reason
    for step in flow.steps.values():
        if step.state in _FAILURES and step.on_failure is not OnFailure.CONTINUE:
            return RunState.FAILED, failure_of(step)
    return RunState.SUCCEEDED, None


def failure_of(step: StepRow) -> str:
    """Why a workflow fails by this step."""
    how = "was cancelled" if step.state is RunState.CANCELLED else "failed"
    return f"step `{step.name}` {how}: {step.reason}" if step.reason else f"step `{step.name}` {how}"


def _went_well(step: StepRow) -> bool:
    if step.state is RunState.SUCCEEDED:
        return True
    return step.state in _FAILURES and step.on_failure is OnFailure.CONTINUE


def _how(step: StepRow) -> str:
    return "failed" if step.state is RunState.FAILED else f"was {step.state.value}"
