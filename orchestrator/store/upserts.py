"""`INSERT … ON CONFLICT`, which every database spells its own way; only the dialect in use is imported."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Table


def insert_into(table: Table, dialect: Dialect) -> Any:
    """The dialect's own insert, which has `on_conflict_do_update` and `on_conflict_do_nothing`."""
    if dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)
