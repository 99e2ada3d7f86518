"""However it is opened, a database has the tables that the code believes it has."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from orchestrator.core.errors import StoreError
from orchestrator.store import migrations
from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store
from orchestrator.store.tables import metadata

OPENER = """
import sys
from alembic import command
from orchestrator.store.store import Store
from orchestrator.store.instances import living
for url in sys.stdin:
    try:
        store = Store(url.strip())
        print("opened", store.read(living), flush=True)
        store.close()
    except Exception as error:
        print(repr(error), flush=True)
"""


BUSY = "database._configure: SQLite doesn't wait for a lock when it switches to WAL; the switch must be tried again"


def test_opening_a_database_that_another_process_is_making_waits_for_it(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "orchestrator.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    release.start()
    try:
        Store(sqlite_url(tmp_path / "orchestrator.db")).close()
    finally:
        release.join()
        other.close()


def test_processes_that_open_a_new_database_at_the_same_time_all_succeed(tmp_path: Path) -> None:
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers: list[str] = []
    try:
        for number in range(15):
            url = sqlite_url(tmp_path / f"new-{number}.db")
            for opener in openers:
                assert opener.stdin is not None
                opener.stdin.write(f"{url}\n")
                opener.stdin.flush()
            for opener in openers:
                assert opener.stdout is not None
                answers.append(opener.stdout.readline().strip())
    finally:
        for opener in openers:
            opener.communicate()
    assert set(answers) == {"opened []"}


def test_the_migrated_tables_are_those_of_the_code(ledger: Any) -> None:
    def compare(connection: Any) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, metadata)  # type: ignore[no-any-return]

    assert ledger.store.read(compare) == []


def test_the_migrated_tables_and_indexes_are_written_as_those_of_the_code(ledger: Any, tmp_path: Path) -> None:
    """What autogenerate doesn't compare: the conditions of partial indexes, their order, tables without row ids."""
    engine = create_engine(sqlite_url(tmp_path / "declared.db"))
    metadata.create_all(engine)
    engine.dispose()
    migrated = _statements(ledger.store.database.path)
    migrated.pop("alembic_version")
    assert migrated == _statements(tmp_path / "declared.db")


def _statements(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: _columns_sorted(re.sub(r'[\s"]+', " ", sql).replace(" ,", ",")) for name, sql in rows}


def _columns_sorted(sql: str) -> str:
    """A table's columns may stand in any order; an index's may not."""
    if not sql.startswith("CREATE TABLE"):
        return sql
    head, _, rest = sql.partition("(")
    body, _, tail = rest.rpartition(")")
    return f"{head}({sorted(part.strip() for part in re.split(r', (?![^(]*[)])', body))}){tail}"


def test_the_head_that_opening_compares_with_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "orchestrator.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(ledger: Any) -> None:
    ledger.queued()
    ledger.store.close()
    _set_revision(ledger.store.database.path, "9999")
    with pytest.raises(StoreError, match="newer than this version"):
        Store(str(ledger.store.database.url))
    connection = sqlite3.connect(ledger.store.database.path)
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    connection.close()


def test_a_database_of_an_unknown_revision_is_refused(ledger: Any) -> None:
    ledger.store.close()
    _set_revision(ledger.store.database.path, "0000beef")
    with pytest.raises(StoreError):
        Store(str(ledger.store.database.url))


def _set_revision(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.commit()
    connection.close()


def test_opening_again_changes_nothing(ledger: Any) -> None:
    run_id = ledger.queued()
    again = Store(str(ledger.store.database.url))
    again.close()
    assert set(ledger.states()) == {run_id}


def test_a_migration_that_fails_leaves_no_half_made_tables(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: Any, _current: str | None) -> None:
        connection.exec_driver_sql("CREATE TABLE runs (id INTEGER)")
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_upgrade", fail)
        with pytest.raises(RuntimeError):
            Store(store_url)
    Store(store_url).close()
