"""How the state database is opened: an engine for writing, one for reading, and the durability asked of them."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from orchestrator.core.errors import StoreError
from orchestrator.core.result_files import beside
from orchestrator.core.shortage import is_of_files
from orchestrator.store.migrations import migrate
from orchestrator.store.trouble import as_store_error

BUSY_TIMEOUT_MS = 10_000
_PRAGMAS = (
    # A commit is on the disk before anybody hears of it; group commit makes that affordable.
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA cache_size = -8000",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 67108864",
)


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class Database:
    """Engines on one state database. SQLite writers take the write lock when they begin, so they never deadlock."""

    def __init__(self, url: str, *, keep: bool = False) -> None:
        """With `keep`, connections are kept for the next transaction. Without, nothing is open in between."""
        self._keep = keep
        self.url = make_url(url)
        if not self.url.drivername.startswith("sqlite"):
            raise StoreError(f"{self.url.drivername!r} databases are not supported; use sqlite:///path/to/file.db")
        if self.url.database in (None, "", ":memory:"):
            raise StoreError("the state must outlive the process: name a file, like sqlite:///var/orchestrator.db")
        self.path = Path(self.url.database or "").absolute()
        self.results = beside(self.path)
        """The folder of the files of large results."""
        self.writing = self._engine("BEGIN IMMEDIATE")
        self.reading = self._engine("BEGIN")

    def open(self, *, create: bool = True) -> None:
        """Make the file and its folder (0700: parameters and logs may be private) and bring its tables up to date."""
        if not create and not self.path.exists():
            raise StoreError(f"no state database at {self.path}; `orchestrator run` makes it, or name one with --db")
        try:
            self.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            migrate(self.reading, self.writing)
        except OSError as error:
            if is_of_files(error):
                raise
            raise StoreError(f"can't make the state database {self.path}: {error.strerror}") from error
        except DBAPIError as error:
            raise as_store_error(error, f"can't open the state database {self.path}") from error

    def close(self) -> None:
        """Close every connection; the last one to close checkpoints the write-ahead log into the file."""
        self.reading.dispose()
        self.writing.dispose()

    def disown(self) -> None:
        """After a fork: the connections are the parent's, and are neither used nor closed here."""
        self.reading.dispose(close=False)
        self.writing.dispose(close=False)

    def _engine(self, begin: str) -> Engine:
        pool: dict[str, Any] = {"pool_size": 2, "max_overflow": -1} if self._keep else {"poolclass": NullPool}
        engine = create_engine(self.url, connect_args={"check_same_thread": False}, **pool)
        event.listen(engine, "connect", _configure)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions are ours: the driver must not begin any of its own
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log: while another process makes the file, SQLite refuses that without waiting."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
