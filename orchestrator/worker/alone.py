"""A process worker: sync callables, one attempt at a time, in the main thread."""

from __future__ import annotations

from orchestrator.worker.attempt import execute
from orchestrator.worker.messages import Assignment, Frames, Stop, to_worker
from orchestrator.worker.workplace import Workplace

_CHUNK = 256 * 1024


def serve(workplace: Workplace, frames: Frames, early: list[bytes]) -> None:
    """Execute what the engine assigns, in order, until it says stop. `early` came together with the setup."""
    bodies = early
    while True:
        for body in bodies:
            for message in to_worker(body):
                if isinstance(message, Assignment):
                    execute(message, workplace)
                elif isinstance(message, Stop):
                    return
        data = workplace.socket.recv(_CHUNK)
        if not data:
            workplace.watch.end()
        bodies = frames.feed(data)
