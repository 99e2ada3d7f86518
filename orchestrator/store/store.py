"""The store as its users hold it: read now, write now, or write in the next group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.core.errors import StoreError
from orchestrator.store.database import Database
from orchestrator.store.trouble import as_store_error
from orchestrator.store.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """An open state database. The functions of this room (`creation`, `claims`, `queries`, …) are handed to it."""

    def __init__(self, url: str, *, create: bool = True, keep: bool = False) -> None:
        """`keep` holds connections open between transactions: for who has many, and few at a time."""
        self._database = Database(url, keep=keep)
        self._database.open(create=create)
        self._writer: Writer | None = None

    @property
    def database(self) -> Database:
        """The database itself, for where it lies."""
        return self._database

    def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query of `queries` on a consistent view."""
        return _guarded(self._database.reading.begin, query, *args, **kwargs)

    def write(self, transition: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transition in a transaction of its own; durable when this returns."""
        return _guarded(self._database.writing.begin, transition, *args, **kwargs)

    async def read_soon(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read`, off the event loop."""
        return await asyncio.to_thread(lambda: self.read(query, *args, **kwargs))

    def submit(
        self, transition: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Run a transition in the next group commit; durable when the future resolves. Needs `start_writer`."""
        if self._writer is None:
            raise StoreError("the store's writer has not been started")
        return self._writer.submit(lambda connection: transition(connection, *args, **kwargs))

    def start_writer(self, on_trouble: Callable[[str], None]) -> None:
        """Start group commits on the running event loop. `on_trouble` is told, from the writer's thread, of retries."""
        self._writer = Writer(self._database, on_trouble=on_trouble)

    async def aclose(self) -> None:
        """Write what was submitted, then close."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _guarded(
    begin: Callable[[], object], work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    try:
        with begin() as connection:  # type: ignore[attr-defined]
            return work(connection, *args, **kwargs)
    except DBAPIError as error:
        raise as_store_error(error) from error
