"""Run states as SQL literals: a partial index serves a statement only when the state is written in it, not bound."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Text, literal_column

from orchestrator.core.runs import ACTIVE, RunState
from orchestrator.store.tables import runs


def literal(state: RunState) -> ColumnElement[str]:
    """The state, spelled out in the statement."""
    return literal_column(f"'{state.value}'", Text)


WAITING = literal(RunState.WAITING)
SCHEDULED = literal(RunState.SCHEDULED)
QUEUED = literal(RunState.QUEUED)
RUNNING = literal(RunState.RUNNING)
CANCELLED = literal(RunState.CANCELLED)
FAILED = literal(RunState.FAILED)
SKIPPED = literal(RunState.SKIPPED)

is_waiting = runs.c.state == WAITING
is_scheduled = runs.c.state == SCHEDULED
is_queued = runs.c.state == QUEUED
is_running = runs.c.state == RUNNING
is_active = runs.c.state.in_([literal(state) for state in sorted(ACTIVE)])
