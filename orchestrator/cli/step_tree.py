"""How a workflow's steps look in `orchestrator show`: a tree with what each has come to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.cli.run_views import STYLES, first_line
from orchestrator.cli.terminal import Painter
from orchestrator.cli.times import lasting
from orchestrator.core.runs import RunState

if TYPE_CHECKING:
    from orchestrator.store.flow_views import StepRun, StepView

SHOWN_ITEMS = 20
"""Items of a step that are listed: those that aren't well."""


def print_steps(flow_id: int, steps: Sequence[StepView], now: datetime) -> None:
    """Print the tree."""
    for line in _lines(flow_id, steps, now, ""):
        print(line)


def _lines(flow_id: int, steps: Sequence[StepView], now: datetime, indent: str) -> list[str]:
    width = max(len(step.name) for step in steps)
    lines = []
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        lines.append(f"{indent}{branch}{step.name:<{width}}  {_told(flow_id, step, now)}".rstrip())
        for run in step.runs:
            lines += _inner(run, step, now, indent + below)
    return lines


def _inner(run: StepRun, step: StepView, now: datetime, indent: str) -> list[str]:
    lines = []
    unwell = run.state in (RunState.FAILED, RunState.CANCELLED, RunState.RUNNING)
    if step.is_many and run.item_index is not None and (unwell or run.steps) and run.item_index < SHOWN_ITEMS:
        lines.append(f"{indent}item {run.item_index}  {_painted(run.state)}  run {run.id}  {first_line(run.reason)}")
    if run.steps:
        lines += _lines(run.id, run.steps, now, indent)
    return [line.rstrip() for line in lines]


def _told(flow_id: int, step: StepView, now: datetime) -> str:
    parts = [_painted(step.state)]
    if step.started_at is not None and step.state is not RunState.SKIPPED:
        parts.append(lasting((step.finished_at or now) - step.started_at))
    if step.is_many and step.total is not None:
        parts.append(f"{step.ended} of {step.total} items")
    elif step.runs:
        parts.append(f"run {step.runs[-1].id}")
    if step.kind == "approve" and step.state is RunState.RUNNING:
        parts.append(f"{step.message} (`orchestrator approve {flow_id} {step.name}`)")
    if step.reason:
        parts.append(first_line(step.reason))
    return "  ".join(parts)


def _painted(state: RunState) -> str:
    style = STYLES.get(state)
    return Painter(sys.stdout).paint(state.value, style) if style else state.value
