"""A process worker: sync callables, one attempt at a time, in the main thread."""

from __future__ import annotations

from orchestrator.worker.assignments import assignments
from orchestrator.worker.attempt import execute
from orchestrator.worker.messages import Frames
from orchestrator.worker.workplace import Workplace


def serve(workplace: Workplace, frames: Frames, early: list[bytes]) -> None:
    """Execute what the engine assigns, in order, until it says stop. `early` came together with the setup."""
    for assignment in assignments(workplace, frames, early):
        execute(assignment, workplace)
