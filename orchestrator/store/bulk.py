"""How hundreds of rows are inserted at once: in blocks, straight to the driver.

Core spends 10–20 µs of Python on a row of an `executemany`, and SQLite's driver gives up and takes back the interpreter
for every row, which is slow beside a busy event loop. A block is one statement of many rows: 3 µs a row, one hand-over.
Values are passed as the columns store them: `micros` for instants, `json_text` for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect, Table

BLOCK = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.json.encode


def micros(instant: datetime | None) -> int | None:
    """Whole microseconds since 1970 UTC."""
    return None if instant is None else (instant - _EPOCH) // MICROSECOND


def from_micros(value: int | None) -> datetime | None:
    """The instant that `micros` wrote."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def json_text(value: Any) -> str | None:
    """A JSON value as text; None stays SQL's NULL."""
    return None if value is None else _encode(value).decode()


def insert_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows whose values stand in the order of `columns`."""
    whole = len(rows) - len(rows) % BLOCK
    for start in range(0, whole, BLOCK):
        flat = tuple(value for row in rows[start : start + BLOCK] for value in row)
        connection.exec_driver_sql(_insert_sql(table, columns, BLOCK, connection.dialect), flat)
    if rest := list(rows[whole:]):
        connection.exec_driver_sql(_insert_sql(table, columns, 1, connection.dialect), rest)


@lru_cache(maxsize=32)
def _insert_sql(table: Table, columns: tuple[str, ...], count: int, dialect: Dialect) -> str:
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    row = f"({', '.join([mark] * len(columns))})"
    # Only names of tables and columns that this room declares are put into the text.
    return " ".join(("INSERT INTO", table.name, f"({', '.join(columns)})", "VALUES", ", ".join([row] * count)))
