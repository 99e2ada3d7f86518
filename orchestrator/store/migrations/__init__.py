"""Brings a database's tables to the present shape, once, however many processes start at the same time."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text

from orchestrator.core.errors import StoreError

HEAD = "0002"
"""The newest revision in `versions/`; a database that is there already is opened without importing Alembic."""


def migrate(reading: Engine, writing: Engine) -> None:
    """Apply the missing revisions. Raises `StoreError` for a database that this version of the package can't use."""
    with reading.connect() as connection:
        if _revision(connection) == HEAD:
            return  # the common case takes no lock, so a command that only reads waits for no writer
    with writing.begin() as connection:
        # The transaction holds the write lock, so of several processes one migrates and the others find it done.
        current = _revision(connection)
        if current == HEAD:
            return
        if current is not None and current > HEAD:
            raise StoreError(
                f"the database is at revision {current}, newer than this version of orchestrator knows ({HEAD}); "
                "upgrade orchestrator, or use another database with --db"
            )
        _upgrade(connection, current)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, current: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "orchestrator.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the database is at revision {current}, which no version of orchestrator made") from error
