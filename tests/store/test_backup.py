"""A backup is whole, sound and private, whatever goes on meanwhile; and never in the way of what is there."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.core.errors import ConflictError, StoreError
from orchestrator.core.runs import Cause
from orchestrator.store.backup import back_up
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.queries import RunFilter, list_runs
from orchestrator.store.soundness import examine
from orchestrator.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'state' / 'o.db'}")


def write_pair(store: Store) -> None:
    """Two runs in one transaction: a copy has both or neither."""
    now = datetime.now(UTC)
    store.write(create_runs, [NewRun(job="a", cause=Cause.MANUAL, created_at=now, due_at=now) for _ in range(2)])


def runs_in(path: Path) -> int:
    copy = Store(f"sqlite:///{path}", create=False)
    try:
        return len(copy.read(list_runs, RunFilter(limit=100_000)))
    finally:
        copy.close()


def test_while_others_write_the_copy_is_of_one_moment(store: Store, tmp_path: Path) -> None:
    write_pair(store)
    stopping = threading.Event()

    def keep_writing() -> None:
        while not stopping.is_set():
            write_pair(store)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        copies = [tmp_path / f"{number}.db" for number in range(5)]
        for copy in copies:
            assert back_up(store.database.path, copy).size == copy.stat().st_size
    finally:
        stopping.set()
        writer.join()
    counts = [runs_in(copy) for copy in copies]
    assert all(count >= 2 and count % 2 == 0 for count in counts)
    assert counts == sorted(counts)


def test_it_is_one_file_for_its_owner_alone_and_leaves_nothing_else(store: Store, tmp_path: Path) -> None:
    write_pair(store)
    target = tmp_path / "out" / "copy.db"
    target.parent.mkdir()
    back_up(store.database.path, target)
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert examine(target, full=True).problems == []


def test_what_is_there_stays_unless_it_is_to_be_replaced(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(ConflictError, match="already"):
        back_up(store.database.path, target)
    assert target.read_text() == "precious"
    back_up(store.database.path, target, overwrite=True)
    assert runs_in(target) == 0


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_the_database_does_not_overwrite_itself(store: Store, suffix: str) -> None:
    own = Path(f"{store.database.path}{suffix}")
    with pytest.raises(ConflictError, match="itself"):
        back_up(store.database.path, own, overwrite=True)


def test_a_link_to_the_database_is_the_database(store: Store, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.hardlink_to(store.database.path)
    with pytest.raises(ConflictError, match="itself"):
        back_up(store.database.path, link, overwrite=True)


def test_a_damaged_database_gives_no_backup_and_leaves_the_last_one(store: Store, tmp_path: Path) -> None:
    for _ in range(200):
        write_pair(store)
    store.close()
    target = tmp_path / "copy.db"
    back_up(store.database.path, target)
    with store.database.path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(StoreError):
        back_up(store.database.path, target, overwrite=True)
    assert runs_in(target) == 400
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


def test_a_folder_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        back_up(store.database.path, tmp_path / "nowhere" / "copy.db")


class TestExamine:
    def test_a_sound_file_has_the_newest_revision(self, store: Store) -> None:
        found = examine(store.database.path)
        assert (found.problems, found.revision) == ([], found.newest_revision)
        assert not found.outdated
        assert not found.too_new

    def test_something_else_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        path.write_text("hello" * 1000)
        assert "not a database" in examine(path).problems[0]

    def test_a_revision_of_a_later_version_is_told(self, store: Store) -> None:
        with closing(sqlite3.connect(store.database.path)) as file, file:
            file.execute("UPDATE alembic_version SET version_num = '9999'")
        assert examine(store.database.path).too_new

    def test_nothing_is_made_where_nothing_is(self, tmp_path: Path) -> None:
        assert examine(tmp_path / "x.db").problems
        assert list(tmp_path.iterdir()) == []
