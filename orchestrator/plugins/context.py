"""What a callable may know of the run that it executes, and say about it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from orchestrator.core.errors import PluginError
from orchestrator.plugins.checkpoint import Checkpoint

if TYPE_CHECKING:
    from orchestrator.plugins.chunks import AsyncSource, Source

T = TypeVar("T")
_REMEMBERED = 1.0
"""Seconds. Where a shorter pause ends is not worth a checkpoint."""
_LONGEST = 3650 * 86400.0


class Line(Protocol):
    """The callable's line to the engine; the worker provides it. Instants are seconds of `time.time`."""

    def progressed(self, done: int, total: int | None) -> None:
        """Report progress."""

    def saved(self, value: Any) -> None:
        """Keep a checkpoint."""

    def beat(self) -> None:
        """Give a sign of life."""

    def wait(self, until: float) -> None:
        """Wait, and be heard of meanwhile. Raises what ends the attempt once it is asked to stop."""

    async def wait_async(self, until: float) -> None:
        """The same in a coroutine; it gives way to others at least once."""


class Context:
    """The run being executed. A callable receives it in a parameter annotated `Context`."""

    def __init__(
        self,
        *,
        job: str,
        run_id: int,
        attempt: int,
        max_attempts: int,
        fire_time: datetime | None,
        timezone: str,
        checkpoint: Any,
        line: Line,
        cancelled: Callable[[], bool],
        resource: Callable[[str], Any] | None = None,
    ) -> None:
        self.job = job
        self.run_id = run_id
        self.attempt = attempt
        """1 for the first; attempts that were interrupted through no fault of theirs don't count."""
        self.max_attempts = max_attempts
        self.fire_time = fire_time
        """The exact instant the trigger asked for, aware, UTC; None for a run that no schedule created."""
        self.timezone = ZoneInfo(timezone)
        self.log = logging.getLogger(f"job.{job}")
        self.checkpoint = Checkpoint(checkpoint, line.saved)
        self._line = line
        self._cancelled = cancelled
        self._resource = resource

    @property
    def cancelled(self) -> bool:
        """Whether the attempt has been asked to stop; a long loop should look now and then, and return."""
        return self._cancelled()

    def resource(self, name: str) -> Any:
        """An entry of `resources:` by its name, opened if it isn't yet: for callables that learn the name from a
        parameter. Raises `PluginError` if there is none, if opening it must be awaited, or in an `async def`."""
        if self._resource is None:
            raise PluginError("an `async def` can't open a resource by name: let a parameter be named like it")
        return self._resource(name)

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the work is, in any unit; `orchestrator show` prints it."""
        self._line.progressed(done, total)

    def heartbeat(self) -> None:
        """Say that the work goes on, where there is nothing else to say: the job's `heartbeat` starts anew."""
        self._line.beat()

    def sleep(self, duration: float | timedelta) -> None:
        """Sleep so many seconds. It ends at once when the attempt is asked to stop, by the exception that ends it.

        Of a sleep that a crash interrupted, the run's next attempt only sleeps what is left, by the clock, unless a
        checkpoint was saved after it.
        """
        self._line.wait(self._end_of_sleep(duration, sys._getframe(1)))  # noqa: SLF001 - whose line of code it is

    def asleep(self, duration: float | timedelta) -> Coroutine[Any, Any, None]:
        """`sleep` for coroutine functions: `await ctx.asleep(60)`."""
        return self._line.wait_async(self._end_of_sleep(duration, sys._getframe(1)))  # noqa: SLF001

    def chunked(self, source: Source[T], size: int, *, name: str = "") -> Iterator[list[T]]:
        """Go through `source` in lists of `size`, and in a later attempt only through what isn't done.

        `source` is a sequence, which is sliced; another iterable, of which what is done is skipped; or a function
        `fetch(offset, size)` that gives nothing when there is no more. It has to give the same items in the same
        order in each attempt. A chunk is done when the next is asked for: then the place is saved, progress is
        reported (of the whole, if `len(source)` is known), and a request to stop is obeyed.

        Two loops in the same callable need a `name` each; a loop within a loop belongs to the outer one's chunk.
        """
        from orchestrator.plugins.chunks import Loop, chunks

        return chunks(source, Loop(self.checkpoint, self._line, source, size, name))

    def achunked(self, source: AsyncSource[T], size: int, *, name: str = "") -> AsyncIterator[list[T]]:
        """`chunked` for coroutine functions: `async for rows in ctx.achunked(…)`. `source` may be asynchronous."""
        from orchestrator.plugins.chunks import Loop, achunks

        return achunks(source, Loop(self.checkpoint, self._line, source, size, name))

    def _end_of_sleep(self, duration: float | timedelta, caller: FrameType) -> float:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        until = time.time() + (min(seconds, _LONGEST) if seconds > 0 else 0)
        if not seconds >= _REMEMBERED:  # what is no number included
            return until
        return self.checkpoint.pause(f"{caller.f_globals.get('__name__')}:{caller.f_lineno}", until)
