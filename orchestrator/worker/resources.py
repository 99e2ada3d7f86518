"""Which long-lived objects does this worker hold? Each is opened when a callable first asks for it, once, and closed at
the end."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import PluginError
from orchestrator.core.plan import Resource
from orchestrator.worker.rendering import Renderer

if TYPE_CHECKING:
    import asyncio

Factory = Callable[[str], Callable[..., Any]]


class Resources:
    """Opens and closes what the plan declares. A failed opening is the attempt's failure; the next one tries again."""

    def __init__(self, declared: dict[str, Resource], renderer: Renderer, factory: Factory) -> None:
        self._declared = declared
        self._renderer = renderer
        self._factory = factory
        self._open: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._async_locks: dict[str, asyncio.Lock] = {}

    def get(self, names: Iterable[str]) -> dict[str, Any]:
        """The resources of these names, opened where necessary, for sync code in any thread."""
        if any(name not in self._open for name in names):
            with self._lock:
                for name in names:
                    if name not in self._open:
                        self._open[name] = self._opened(name)
        return {name: self._open[name] for name in names}

    def one(self, name: str) -> Any:
        """The resource of this name."""
        return self.get((name,))[name]

    async def get_async(self, names: Iterable[str]) -> dict[str, Any]:
        """The same on a loop: an opening that is a coroutine is awaited, while other attempts go on."""
        import asyncio  # slow, and not needed in workers without a loop

        for name in names:
            if name not in self._open:
                async with self._async_locks.setdefault(name, asyncio.Lock()):
                    if name not in self._open:
                        self._open[name] = await self._opened_async(name)
        return {name: self._open[name] for name in names}

    def close(self) -> list[str]:
        """Close everything, the last opened first; what went wrong, in words."""
        problems: list[str] = []
        for name, method in self._closings():
            with _noting(problems, name):
                if inspect.isawaitable(result := method()):
                    import asyncio

                    asyncio.run(_awaited(result))
        return problems

    async def close_async(self) -> list[str]:
        """The same on a loop."""
        problems: list[str] = []
        for name, method in self._closings():
            with _noting(problems, name):
                if inspect.isawaitable(result := method()):
                    await result
        return problems

    def _opened(self, name: str) -> Any:
        made = self._made(name)
        if inspect.isawaitable(made):
            if inspect.iscoroutine(made):
                made.close()
            use = self._declared[name].use
            raise PluginError(
                f"the resource {name!r} is opened by awaiting {use}, which only callables with `isolation: async` can;"
                " give this one a resource of its own with a plain factory"
            )
        return made

    async def _opened_async(self, name: str) -> Any:
        made = self._made(name)
        return await made if inspect.isawaitable(made) else made

    def _made(self, name: str) -> Any:
        resource = self._declared.get(name)
        if resource is None:
            raise PluginError(f"no resource is named {name!r}")
        return self._factory(resource.use)(**self._renderer.options(resource.options))

    def _closings(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """What to call, for each open resource that declares how it is closed."""
        while self._open:
            name, held = self._open.popitem()
            method = self._declared[name].close
            if method is not None:
                yield name, getattr(held, method, lambda: None)


async def _awaited(result: Any) -> None:
    await result


@contextmanager
def _noting(problems: list[str], name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the other resources are closed all the same
        problems.append(f"closing the resource {name!r} failed: {type(error).__name__}: {error}\n")
