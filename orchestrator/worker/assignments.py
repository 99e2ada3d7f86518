"""What does the engine assign to a worker whose main thread waits for it?"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.worker.messages import Assignment, Frames, Stop, to_worker
from orchestrator.worker.workplace import Workplace

_CHUNK = 256 * 1024


def assignments(workplace: Workplace, frames: Frames, early: list[bytes]) -> Iterator[Assignment]:
    """Each assignment, in order, until the engine says stop. `early` came together with the setup."""
    bodies = early
    while True:
        for body in bodies:
            for message in to_worker(body):
                if isinstance(message, Assignment):
                    yield message
                elif isinstance(message, Stop):
                    return
        data = workplace.socket.recv(_CHUNK)
        if not data:
            workplace.watch.end()
        bodies = frames.feed(data)
