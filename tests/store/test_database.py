"""The state database is private and durable, and one that can't be used is one clear error."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from orchestrator.core.errors import StoreError
from orchestrator.store import queries
from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_files_are_the_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "state" / "orchestrator.db"
    umask = os.umask(0)
    try:
        store = Store(sqlite_url(path))
        store.write(_pragmas)
        with sqlite3.connect(path) as held:
            held.execute("BEGIN IMMEDIATE")
            files = {file.name: mode(file) for file in path.parent.iterdir()}
        held.close()
    finally:
        os.umask(umask)
    assert mode(path.parent) == 0o700
    assert set(files.values()) == {0o600}
    assert path.name in files
    store.close()


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Store(sqlite_url(tmp_path / "orchestrator.db")).close()
    assert mode(tmp_path) == 0o750


def _pragmas(connection: Any) -> dict[str, Any]:
    names = ("journal_mode", "synchronous", "busy_timeout")
    return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


def test_every_connection_is_durable_and_patient(ledger: Any) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000}
    assert ledger.store.write(_pragmas) == wanted
    assert ledger.store.read(_pragmas) == wanted


def test_who_writes_holds_the_write_lock_from_the_start(ledger: Any) -> None:
    def another_tries(_connection: Any) -> str:
        other = sqlite3.connect(ledger.store.database.path, timeout=0, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return str(error)
        finally:
            other.close()
        return "it could"

    assert "locked" in ledger.store.write(another_tries)
    assert ledger.store.read(another_tries) == "it could"


@pytest.mark.parametrize("name", ["with space", "hash#tag", "ünïcode", "a;b&c=d"])
def test_a_database_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "orchestrator.db"
    store = Store(sqlite_url(path))
    assert store.database.path == path
    assert store.read(queries.paused_jobs) == {}
    store.close()
    assert path.exists()


@pytest.mark.parametrize("name", ["what?", "per%20cent"])
def test_a_database_may_lie_in_a_folder_whose_name_means_something_in_a_url(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "orchestrator.db"
    Store(sqlite_url(path)).close()
    assert path.exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="name a file"):
        Store(url)


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(StoreError, match="sqlite:///"):
        Store("mysql://here/there")


def test_a_database_that_is_not_there_is_not_made_by_who_only_looks(tmp_path: Path) -> None:
    path = tmp_path / "var" / "orchestrator.db"
    with pytest.raises(StoreError, match="no state database"):
        Store(sqlite_url(path), create=False)
    assert not path.parent.exists()


def test_a_folder_that_can_not_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't make the state database"):
        Store(sqlite_url(tmp_path / "file" / "orchestrator.db"))


def test_a_folder_that_another_process_makes_meanwhile_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: not path.is_relative_to(tmp_path) and exists(path))
    Store(sqlite_url(tmp_path / "orchestrator.db")).close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="state database"):
        Store(sqlite_url(tmp_path / "orchestrator.db"))


def test_a_folder_in_place_of_the_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't open the state database"):
        Store(sqlite_url(tmp_path))


def test_a_file_that_is_no_database_is_a_store_error_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.db"
    text = "jobs:\n  this: is another file\n" * 100
    path.write_text(text)
    with pytest.raises(StoreError, match="not a database"):
        Store(sqlite_url(path))
    assert path.read_text() == text


def test_a_damaged_database_is_a_store_error(ledger: Any) -> None:
    ledger.create(*[ledger.new(f"job-{n}") for n in range(2000)])
    ledger.store.close()
    path = ledger.store.database.path
    content = bytearray(path.read_bytes())
    content[4096 * 4 :] = b"\xff" * len(content[4096 * 4 :])
    path.write_bytes(content)

    def read_all() -> None:
        store = Store(sqlite_url(path))
        store.read(queries.list_runs, queries.RunFilter(limit=10_000))

    with pytest.raises(StoreError, match=r"malformed|not a database"):
        read_all()


def test_a_locked_database_is_a_store_error_in_the_end(ledger: Any) -> None:
    def impatient(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 10")

    event.listen(ledger.store.database.writing, "connect", impatient)
    other = sqlite3.connect(ledger.store.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        ledger.queued()
    assert ledger.states() == {}  # reading goes on meanwhile
    other.execute("ROLLBACK")
    other.close()
    assert ledger.queued()


def test_opening_to_look_waits_for_nobody_s_write_lock(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "orchestrator.store.database._PRAGMAS", ("PRAGMA journal_mode = WAL", "PRAGMA busy_timeout = 10")
    )
    other = sqlite3.connect(ledger.store.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        Store(str(ledger.store.database.url), create=False).close()
    finally:
        other.close()


def test_closing_leaves_one_file(ledger: Any) -> None:
    ledger.queued()
    ledger.store.close()
    assert [file.name for file in ledger.store.database.path.parent.iterdir()] == ["orchestrator.db"]
