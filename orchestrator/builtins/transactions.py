"""How are statements executed in one transaction, on an SQLAlchemy engine or on a connection of PEP 249?"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.plugins.api import GiveUp

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass
class Answer:
    """What the statements gave."""

    count: int = 0
    """Rows changed by all of them; a driver that can't tell counts as none."""
    names: list[str] | None = None
    """The columns of the last statement that gave rows."""
    rows: Sequence[Sequence[Any]] = field(default_factory=list)

    def take_rows(self, names: Iterable[str], rows: Sequence[Sequence[Any]]) -> None:
        """A statement gave rows. Columns of the same name are told apart, so that none is lost."""
        self.names, self.rows = [], rows
        for name in names:
            times = sum(known == name or known.startswith(f"{name}_") for known in self.names)
            self.names.append(f"{name}_{times + 1}" if name in self.names else name)


def on_engine(engine: Engine, statements: Sequence[str], values: Any, limit: int) -> Answer:
    """Values are bound by `:name`; one row more than `limit` is fetched."""
    from sqlalchemy import text

    if isinstance(values, list) and not all(isinstance(value, dict) for value in values):
        raise GiveUp("an SQLAlchemy engine binds values by name: write mappings")
    answer = Answer()
    with engine.begin() as connection:
        _begin(connection.connection.dbapi_connection)
        for statement in statements:
            result = connection.execute(text(statement), values or None)
            if result.returns_rows:
                answer.take_rows(result.keys(), result.fetchmany(limit + 1))
                result.close()
            else:
                answer.count += max(result.rowcount, 0)
    return answer


def on_connection(connection: Any, statements: Sequence[str], values: Any, limit: int) -> Answer:
    """Values go to the driver as they are."""
    if getattr(connection, "autocommit", False) is True:
        raise GiveUp("the connection is in autocommit mode, which knows no transactions: open it without")
    answer = Answer()
    try:
        _begin(connection)
        with closing(connection.cursor()) as cursor:
            for statement in statements:
                _execute(cursor, statement, values)
                if cursor.description is not None:
                    answer.take_rows((column[0] for column in cursor.description), cursor.fetchmany(limit + 1))
                else:
                    answer.count += max(cursor.rowcount, 0)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return answer


def _execute(cursor: Any, statement: str, values: Any) -> None:
    if isinstance(values, list) and values and all(isinstance(value, (dict, list)) for value in values):
        cursor.executemany(statement, values)
    elif values:
        cursor.execute(statement, values)
    else:
        cursor.execute(statement)  # some drivers read % in the text when there are values


def _begin(connection: Any) -> None:
    """Python's driver for SQLite begins a transaction before a change of rows only: a change of tables wouldn't be in
    it, nor would several reads see the same state."""
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is not None and isinstance(connection, sqlite3.Connection) and not connection.in_transaction:
        connection.execute("BEGIN")
