"""Who writes: one thread that gathers what is asked while the last commit is under way, and commits it as a group.

A caller's future resolves only after the commit that holds its operation is on disk. An operation that fails is rolled
back to its savepoint and fails alone. A commit that fails for want of disk or of a lock is tried again as a whole.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orchestrator.core.errors import StoreError
from orchestrator.store.database import Database
from orchestrator.store.trouble import as_store_error, in_words, is_damage, is_environment

T = TypeVar("T")
Operation = Callable[[Connection], T]
RETRY_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)
"""Seconds between tries of a commit that the disk or another process refuses; then its callers get `StoreError`."""
MAX_GROUP = 64


class _Request:
    """An operation, and how its caller hears of its end."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation[Any], future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """The one thread of a process that writes to the store. Made and used on an event loop."""

    def __init__(self, database: Database, *, on_trouble: Callable[[str], None] = lambda _: None) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._on_trouble = on_trouble
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed: StoreError | None = None
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Have `operation` run in the next group; its result arrives once the group is on disk.

        An operation may run more than once, each time after a full rollback: it must touch nothing but the connection.
        What goes wrong with the database itself arrives as `StoreError`; so does anything once the writer has ended.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._closing:
            if self._closed:
                raise self._closed.with_traceback(None)
            self._requests.put(_Request(operation, future))
        return future

    async def close(self) -> None:
        """Write what was submitted, then end the thread."""
        with self._closing:
            self._closed = self._closed or StoreError("the store is closed")
            self._requests.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        group: list[_Request] = []
        try:
            with self._database.writing.connect() as connection:
                while group := self._gather():
                    self._commit(connection, group)
                    self._loop.call_soon_threadsafe(_settle, group)
        except DBAPIError as error:
            self._abandon(group, as_store_error(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting for this thread
            self._abandon(group, StoreError(f"the store's writer has ended: {error}"))

    def _abandon(self, group: list[_Request], why: StoreError) -> None:
        """Answer everybody who waits, and refuse whoever comes."""
        with self._closing:
            self._closed = why
            while not self._requests.empty():
                if (request := self._requests.get()) is not None:
                    group.append(request)
        for request in group:
            request.error = why
        self._loop.call_soon_threadsafe(_settle, group)

    def _gather(self) -> list[_Request]:
        group: list[_Request] = []
        request = self._requests.get()
        while request is not None:
            group.append(request)
            if len(group) == MAX_GROUP or self._requests.empty():
                return group
            request = self._requests.get()
        if group:
            self._requests.put(None)
        return group

    def _commit(self, connection: Connection, group: list[_Request]) -> None:
        for pause in (*RETRY_PAUSES, None):
            try:
                with connection.begin():
                    for request in group:
                        _perform(connection, request)
            except DBAPIError as error:
                if pause is None or is_damage(error):
                    self._refuse(connection, group, error)
                    return
                self._on_trouble(in_words(error))
                time.sleep(pause)
            else:
                return

    def _refuse(self, connection: Connection, group: list[_Request], error: DBAPIError) -> None:
        """One that is too large for a full disk must not take its neighbours with it: try each by itself, once."""
        if len(group) == 1:
            group[0].error = as_store_error(error, "the state database refuses to be written")
            return
        for request in group:
            try:
                with connection.begin():
                    _perform(connection, request)
            except DBAPIError as alone:
                self._refuse(connection, [request], alone)


def _perform(connection: Connection, request: _Request) -> None:
    request.result = request.error = None
    connection.exec_driver_sql("SAVEPOINT operation")
    try:
        request.result = request.operation(connection)
    except DBAPIError as error:
        if is_environment(error):
            raise
        request.error = as_store_error(error)
        request.error.__cause__ = error
        connection.exec_driver_sql("ROLLBACK TO operation")
    except Exception as error:  # noqa: BLE001 - it is the caller's to handle, on the caller's side
        request.error = error
        connection.exec_driver_sql("ROLLBACK TO operation")
    connection.exec_driver_sql("RELEASE operation")


def _settle(group: list[_Request]) -> None:
    for request in group:
        request.settle()
