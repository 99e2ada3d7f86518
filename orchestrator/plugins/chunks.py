"""How does a callable go through many items in chunks, so that its next attempt continues where this one stopped?"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
    Sized,
)
from contextvars import ContextVar
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from orchestrator.plugins.checkpoint import Checkpoint, Place
from orchestrator.plugins.context import Line

T = TypeVar("T")
Source: TypeAlias = Iterable[T] | Callable[[int, int], Iterable[T]]
"""Items, or what fetches some: `fetch(offset, size)`, nothing when there are no more."""
AsyncSource: TypeAlias = AsyncIterable[T] | Iterable[T] | Callable[[int, int], Awaitable[Iterable[T]]]


class Loop:
    """One loop over chunks in this attempt: where it is, and what is to be done between two chunks."""

    def __init__(self, checkpoint: Checkpoint, line: Line, source: Any, size: int, name: str) -> None:
        if size < 1:
            raise ValueError(f"a chunk has at least one item, not {size}")
        if isinstance(source, (set, frozenset)):
            raise TypeError("a set has another order in each process, so no attempt could continue: pass `sorted(…)`")
        self.checkpoint = checkpoint
        self.line = line
        self.size = size
        self._name = name
        self._total = len(source) if isinstance(source, Sized) else None
        self._outer: Loop | None = None
        self.place = Place()

    def begin(self) -> int:
        """How many items are done already."""
        around = _INNERMOST.get()
        if around is not None and around.checkpoint is self.checkpoint:
            self._outer = around
        self.place = (self._outer or self.checkpoint).place.enter(self._name)
        _INNERMOST.set(self)
        if self.place.done:
            self._tell()
        return self.place.done

    def advance(self, count: int) -> None:
        """A chunk is done."""
        self.place.advance(count)
        self.checkpoint.advanced()
        self._tell()

    def end(self) -> None:
        """What begins from here on is not inside it."""
        if _INNERMOST.get() is self:
            _INNERMOST.set(self._outer)

    def _tell(self) -> None:
        """The outermost loop's progress is the run's."""
        if self._outer is None:
            self.line.progressed(self.place.done, self._total)


_INNERMOST: ContextVar[Loop | None] = ContextVar("orchestrator_loop", default=None)


def chunks(source: Source[T], loop: Loop) -> Generator[list[T]]:
    """Hand out what isn't done in lists of `loop.size`. One is done when the next is asked for."""
    done = loop.begin()
    try:
        loop.line.wait(0)
        for chunk in _pieces(source, done, loop):
            yield chunk
            loop.advance(len(chunk))
            loop.line.wait(0)
    finally:
        loop.end()


async def achunks(source: AsyncSource[T], loop: Loop) -> AsyncGenerator[list[T]]:
    """The same in a coroutine."""
    done = loop.begin()
    try:
        await loop.line.wait_async(0)
        async for chunk in _apieces(source, done, loop):
            yield chunk
            loop.advance(len(chunk))
            await loop.line.wait_async(0)
    finally:
        loop.end()


def _pieces(source: Source[T], done: int, loop: Loop) -> Iterator[list[T]]:
    size = loop.size
    if isinstance(source, Sequence):
        for start in range(done, len(source), size):
            yield list(source[start : start + size])
    elif isinstance(source, Iterable):
        items = iter(source)
        for taken in range(0, done, size):
            loop.line.wait(0)
            _drop(items, min(size, done - taken))
        while chunk := list(islice(items, size)):
            yield chunk
    else:
        while chunk := list(source(done, size)):
            yield chunk
            done += len(chunk)


async def _apieces(source: AsyncSource[T], done: int, loop: Loop) -> AsyncIterator[list[T]]:
    if isinstance(source, AsyncIterable):
        async for chunk in _gathered(source, done, loop):
            yield chunk
    elif isinstance(source, Iterable):
        for chunk in _pieces(source, done, loop):
            yield chunk
    else:
        while chunk := list(await source(done, loop.size)):
            yield chunk
            done += len(chunk)


async def _gathered(source: AsyncIterable[T], done: int, loop: Loop) -> AsyncIterator[list[T]]:
    chunk: list[T] = []
    taken = 0
    async for item in source:
        taken += 1
        if taken > done:
            chunk.append(item)
        elif taken % loop.size == 0:
            await loop.line.wait_async(0)
        if len(chunk) == loop.size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _drop(items: Iterator[Any], count: int) -> None:
    next(islice(items, count, count), None)
