"""How is the shop's database opened, so that several processes can work in it at once?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from shop.schema import metadata

_LOCK_TIMEOUT = 30.0
"""Seconds that a statement waits while another process writes; SQLite has one writer at a time."""


def open_database(url: str) -> Engine:
    """Connect to the database; its folder and tables are made if they are missing. `jobs.yaml` names this function."""
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = sqlalchemy.create_engine(parsed, pool_pre_ping=True)
    else:
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(parsed, connect_args={"timeout": _LOCK_TIMEOUT})
        _use_write_ahead_log(engine)
    ensure_schema(engine)
    return engine


def ensure_schema(db: Engine) -> None:
    """Create the tables that are missing. Any number of processes may do so at once."""
    with db.begin() as connection:
        if db.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(7461)"))
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def upsert(db: Engine, table: Table) -> Any:
    """An INSERT that can say what happens when the key exists: `.on_conflict_do_nothing()`, `…do_update(…)`."""
    return (postgresql if db.dialect.name == "postgresql" else sqlite).insert(table)


def _use_write_ahead_log(engine: Engine) -> None:
    """Let readers and a writer work at once. The file remembers it, so it is done once in the file's life."""
    give_up_at = time.monotonic() + _LOCK_TIMEOUT
    with engine.connect() as connection:
        while True:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                break
            except OperationalError:  # SQLite doesn't wait by itself when two processes switch at the same moment
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.01)
