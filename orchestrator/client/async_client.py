"""`AsyncClient`: the same for programs with an event loop. What waits for the disk does so in a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from orchestrator.client.client import Client
from orchestrator.client.outcomes import Enqueued, Timeout
from orchestrator.client.preparing import Prepared
from orchestrator.client.stream import EventStream, Since
from orchestrator.core.errors import RequestError
from orchestrator.core.runs import Run, RunState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

T = TypeVar("T")


class AsyncClient:
    """A `Client` whose methods are awaited; see there for what they take, give and raise."""

    def __init__(
        self, config: str | os.PathLike[str] | None = None, db: str | None = None, *, check: bool = True
    ) -> None:
        self._client = Client(config, db, check=check)

    async def enqueue(
        self,
        job: str,
        params: Mapping[str, Any] | None = None,
        *,
        delay: float | str | timedelta | None = None,
        at: datetime | str | None = None,
        priority: int | None = None,
        key: str | None = None,
        expires_in: float | str | timedelta | None = None,
        check: bool | None = None,
        connection: AsyncConnection | None = None,
        session: AsyncSession | None = None,
    ) -> Enqueued:
        """Ask for a run. With `connection` or `session`, it exists once that transaction commits."""
        fields = {"delay": delay, "at": at, "priority": priority, "key": key, "expires_in": expires_in}
        wanted = [{"job": job, "params": params, **fields}]
        (enqueued,) = await self.enqueue_many(wanted, check=check, connection=connection, session=session)
        return enqueued

    async def enqueue_many(
        self,
        wanted: Iterable[Mapping[str, Any]],
        *,
        check: bool | None = None,
        connection: AsyncConnection | None = None,
        session: AsyncSession | None = None,
    ) -> list[Enqueued]:
        """Ask for many runs in one transaction."""
        prepared = await asyncio.to_thread(self._client.prepare, wanted, check=check)
        if connection is None and session is None:
            return await asyncio.to_thread(self._client.create, prepared)
        return await self._create_within(connection if connection is not None else session, prepared)

    async def run(self, run_id: int) -> Run:
        """A run as it is now."""
        return await asyncio.to_thread(self._client.run, run_id)

    async def wait(self, run_id: int, timeout: Timeout = None) -> Run:  # noqa: ASYNC109 - as in `Client`
        """Wait until a run is finished, however it ends."""
        return await _driven(self._client.waiting(run_id, timeout))

    async def result(self, run_id: int, timeout: Timeout = None) -> Any:  # noqa: ASYNC109 - as in `Client`
        """Wait for a run and give what its callable returned."""
        return await _driven(self._client.resulting(run_id, timeout))

    async def cancel(self, run_id: int) -> RunState:
        """Cancel a run."""
        return await asyncio.to_thread(self._client.cancel, run_id)

    def events(
        self,
        since: Since = None,
        *,
        job: str | Sequence[str] = (),
        run: int | None = None,
        follow: bool = True,
    ) -> EventStream:
        """What happens to runs, for `async for`."""
        return self._client.events(since, job=job, run=run, follow=follow)

    async def close(self) -> None:
        """Let go of everything."""
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _create_within(self, owner: Any, prepared: Prepared) -> list[Enqueued]:
        """On the owner's own connection, where alone it may be used."""
        if not hasattr(owner, "run_sync"):
            raise RequestError(
                f"a {type(owner).__name__} can't be used from here", "give an AsyncConnection or AsyncSession"
            )
        create: Callable[[Any], list[Enqueued]] = lambda inner: self._client.create(prepared, session=inner)  # noqa: E731
        enqueued: list[Enqueued] = await owner.run_sync(create)
        return enqueued


async def _driven(steps: Generator[float, None, T]) -> T:
    while True:
        ended, value = await asyncio.to_thread(_step, steps)
        if ended:
            result: T = value
            return result
        await asyncio.sleep(value)


def _step(steps: Generator[float, None, T]) -> tuple[bool, Any]:
    """`next` for a thread: `StopIteration` can't come out of one."""
    try:
        return False, next(steps)
    except StopIteration as end:
        return True, end.value
