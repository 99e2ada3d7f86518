"""How runs are created in somebody else's transaction: they exist if, and only if, and when, it commits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, RootTransaction, event

from orchestrator.core.errors import StoreError
from orchestrator.store.creation import Created, NewRun, create_runs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LONGEST_COMMIT = 30.0
"""Seconds after which engines are no longer told; they look by themselves every second."""
_TOUCH = "UPDATE counters SET value = value WHERE name = 'runs'"


def create_within(
    owner: Connection | Session, new: Sequence[NewRun], database: Path, after_commit: Callable[[], None]
) -> list[Created]:
    """Create runs with the caller's own statements; `after_commit` is called, in a thread, once they are committed.

    Raises `StoreError` if the connection leads to another database, or commits each statement by itself.
    """
    connection = owner if isinstance(owner, Connection) else owner.connection()
    _require_same(connection, database)
    _require_transaction(connection)
    created = create_runs(connection, new)
    _watch(connection, after_commit)
    return created


def _require_same(connection: Connection, database: Path) -> None:
    if connection.dialect.name != "sqlite":
        raise StoreError(f"the state is in {database}; a {connection.dialect.name} transaction can't hold runs of it")
    files = {name: file for _, name, file in connection.exec_driver_sql("PRAGMA database_list")}
    file = files.get("main") or ""
    if not file or not os.path.exists(file) or not os.path.samefile(file, database):  # noqa: PTH110, PTH121
        raise StoreError(f"the transaction is on {file or 'a database in memory'}, but the state is in {database}")


def _require_transaction(connection: Connection) -> None:
    """A write begins a transaction unless the driver was told to commit everything at once."""
    connection.exec_driver_sql(_TOUCH)
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        raise StoreError("the connection commits each statement by itself (AUTOCOMMIT): begin a transaction first")


_engines: WeakSet[Engine] = WeakSet()
_pending: WeakKeyDictionary[RootTransaction, Callable[[], None]] = WeakKeyDictionary()


def _watch(connection: Connection, after_commit: Callable[[], None]) -> None:
    transaction = connection.get_transaction()
    if transaction is None:
        return
    _pending[transaction] = after_commit
    if connection.engine not in _engines:
        _engines.add(connection.engine)
        event.listen(connection.engine, "commit", _committing)


def _committing(connection: Connection) -> None:
    """SQLAlchemy says so just before it commits, and nothing afterwards: somebody has to wait for it."""
    transaction = connection.get_transaction()
    after_commit = _pending.pop(transaction, None) if transaction is not None else None
    if transaction is not None and after_commit is not None:
        with suppress(RuntimeError):  # the interpreter is ending: engines look by themselves
            waiting = threading.Thread(target=_wait, args=(transaction, after_commit), daemon=True)
            waiting.start()


def _wait(transaction: RootTransaction, after_commit: Callable[[], None]) -> None:
    deadline = time.monotonic() + LONGEST_COMMIT
    while transaction.is_active:
        if time.monotonic() > deadline:
            return
        time.sleep(0.001)
    with suppress(StoreError):
        after_commit()
