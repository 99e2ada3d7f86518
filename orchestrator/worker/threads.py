"""A thread worker: sync callables that mostly wait, many at once, each in a thread."""

from __future__ import annotations

import os
import queue
import threading
from typing import NoReturn

from orchestrator.worker.assignments import assignments
from orchestrator.worker.attempt import execute
from orchestrator.worker.messages import Assignment, Frames
from orchestrator.worker.slot import Slot
from orchestrator.worker.workplace import Workplace


class Crew:
    """Threads that are started when all others are busy, up to the worker's limit."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._assigned: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._size = 0

    def give(self, assignment: Assignment) -> None:
        """Execute it as soon as a thread is free; the engine never assigns more than there are places."""
        if not self._idle.acquire(blocking=False) and self._size < self._workplace.setup.limit:
            self._size += 1
            threading.Thread(target=self._work, name=f"attempts-{self._size}", daemon=True).start()
        self._assigned.put(assignment)

    def _work(self) -> None:
        while True:
            assignment = self._assigned.get()
            self._workplace.slot.set_thread(assignment.place, threading.get_ident())
            execute(assignment, self._workplace)
            self._idle.release()


def _sign_exits(slot: Slot) -> None:
    """Have `os._exit` say which thread calls it: the others are not to blame."""
    leave = os._exit

    def signed(status: int) -> NoReturn:
        slot.leave(threading.get_ident())
        leave(status)

    os._exit = signed


def serve(workplace: Workplace, frames: Frames, early: list[bytes]) -> None:
    """Hand assignments to threads until the engine says stop, which it does when nothing runs."""
    crew = Crew(workplace)
    _sign_exits(workplace.slot)
    for assignment in assignments(workplace, frames, early):
        crew.give(assignment)
