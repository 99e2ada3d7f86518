"""How does a callable wait so that it is heard of all the while, and ends at once when it is asked to stop?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from orchestrator.core.policies import Isolation
from orchestrator.worker.interrupt import Stopped
from orchestrator.worker.messages import Assignment
from orchestrator.worker.workplace import Workplace

_LOOK_EVERY = 0.1
"""Seconds, at most, until a thread notices that it was asked."""
_LONGEST = 30.0
"""Seconds after which the wall clock is looked at again: monotonic time stands still while a machine sleeps."""
_ASKED_WITHIN = 1.0
"""Seconds, at most, from the ask in the slot to the cancellation of an attempt's task."""


class Waiting:
    """The waits of one attempt. `look` says whether it was asked to stop, and notes that it got to know."""

    def __init__(
        self, assignment: Assignment, workplace: Workplace, look: Callable[[], bool], beat: Callable[[], None]
    ) -> None:
        self._interrupt = workplace.interrupt
        self._alone = workplace.alone
        self._is_async = workplace.setup.isolation is Isolation.ASYNC
        self._look = look
        self._beat = beat
        self._beat_within = assignment.heartbeat / 4 if assignment.heartbeat else _LONGEST

    def block(self, until: float) -> None:
        """Wait in this thread. Raises `Stopped` once the attempt is asked to stop."""
        if self._is_async and _on_a_loop():
            raise RuntimeError("it would block the worker's loop: an async callable uses `asleep` and `achunked`")
        for pause in self._pauses(until, min(_LOOK_EVERY, self._beat_within)):
            self._raise_if_asked()
            time.sleep(pause)
        self._raise_if_asked()

    async def suspend(self, until: float) -> None:
        """Wait in this task. Raises what cancels it: `CancelledError` on the async worker's loop, else `Stopped`."""
        import asyncio  # slow, and a worker without coroutines does without it

        if not self._is_async:
            for pause in self._pauses(until, min(_LOOK_EVERY, self._beat_within)):
                self._raise_if_asked()
                await asyncio.sleep(pause)
            self._raise_if_asked()
            return
        await self._end_if_asked()
        for pause in self._pauses(until, min(_LONGEST, self._beat_within)):
            await asyncio.sleep(pause)
        await self._end_if_asked()

    def _pauses(self, until: float, longest: float) -> Iterator[float]:
        """Pauses that end when either clock says so: a wall clock that is set back must not prolong the wait."""
        end = time.monotonic() + until - time.time()
        self._beat()
        while (left := min(end - time.monotonic(), until - time.time())) > 0:
            yield min(left, longest)
            self._beat()

    def _raise_if_asked(self) -> None:
        if self._look():
            if self._alone and threading.current_thread() is threading.main_thread():
                self._interrupt.check()
            raise Stopped("the attempt was asked to stop")

    async def _end_if_asked(self) -> None:
        """The cancellation itself comes from the loop, soon after the ask. One that came already was swallowed."""
        import asyncio

        await asyncio.sleep(0)
        if self._look():
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                await asyncio.sleep(_ASKED_WITHIN)
            raise asyncio.CancelledError("the attempt was asked to stop")


def _on_a_loop() -> bool:
    import asyncio

    return asyncio._get_running_loop() is not None  # noqa: SLF001 - documented, for this; the other raises
