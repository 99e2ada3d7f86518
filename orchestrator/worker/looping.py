"""An async worker: coroutine functions, many attempts at once on one loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Generator
from typing import Any

from orchestrator.worker.attempt import execute_async
from orchestrator.worker.messages import Assignment, Cancel, Frames, Stop, to_worker
from orchestrator.worker.slot import Slot
from orchestrator.worker.workplace import Workplace

_CHUNK = 256 * 1024


class Stepper(Coroutine[Any, Any, None]):
    """Notes in the slot whenever an attempt's coroutine holds the loop, so that the engine knows who blocks it."""

    def __init__(self, inner: Coroutine[Any, Any, None], slot: Slot, sequence: int) -> None:
        self._inner = inner
        self._slot = slot
        self._sequence = sequence

    def send(self, value: Any) -> Any:
        self._slot.step(self._sequence)
        try:
            return self._inner.send(value)
        finally:
            self._slot.step(0)

    def throw(self, *error: Any) -> Any:
        self._slot.step(self._sequence)
        try:
            return self._inner.throw(*error)
        finally:
            self._slot.step(0)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._inner.__await__()


class Loop:
    """Turns messages into tasks."""

    def __init__(self, workplace: Workplace, frames: Frames) -> None:
        self._workplace = workplace
        self._frames = frames
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopped = False

    def run(self, early: list[bytes]) -> None:
        """Serve until the engine says stop."""
        asyncio.set_event_loop(self._loop)
        self._loop.add_reader(self._workplace.socket.fileno(), self._on_readable)
        self._loop.call_soon(self._take, early)
        while not self._stopped:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:  # from a task that a callable left behind
                self._workplace.line.note("stderr", f"a task outside any attempt raised {error!r}\n")
        for problem in self._loop.run_until_complete(self._workplace.resources.close_async()):
            self._workplace.line.note("stderr", problem)

    def _on_readable(self) -> None:
        try:
            data = self._workplace.socket.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            self._workplace.watch.end()
        self._take(self._frames.feed(data))

    def _take(self, bodies: list[bytes]) -> None:
        for body in bodies:
            for message in to_worker(body):
                if isinstance(message, Assignment):
                    self._begin(message)
                elif isinstance(message, Cancel):
                    if (task := self._tasks.get(message.sequence)) is not None:
                        # Soon, not now: a task cancelled before its first step would end without a report.
                        self._loop.call_soon(task.cancel)
                elif isinstance(message, Stop):
                    self._stopped = True
                    self._loop.stop()

    def _begin(self, assignment: Assignment) -> None:
        sequence = assignment.sequence
        life = execute_async(assignment, self._workplace)
        task = self._loop.create_task(Stepper(life, self._workplace.slot, sequence))
        self._tasks[sequence] = task
        task.add_done_callback(lambda _: self._tasks.pop(sequence, None))


def serve(workplace: Workplace, frames: Frames, early: list[bytes]) -> None:
    """Run attempts as tasks until the engine says stop, which it does when nothing runs."""
    Loop(workplace, frames).run(early)
