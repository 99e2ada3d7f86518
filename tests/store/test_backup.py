"""A backup is whole, sound and private, whatever goes on meanwhile; and never in the way of what is there."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from orchestrator.core import result_files
from orchestrator.core.errors import ConflictError, StoreError
from orchestrator.core.result_files import ResultFile, beside, whole, write
from orchestrator.core.runs import Cause
from orchestrator.store import backup
from orchestrator.store.backup import back_up
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.forgetting import delete_runs
from orchestrator.store.queries import RunFilter, get_run, list_runs
from orchestrator.store.result_backup import Gathered, gather
from orchestrator.store.result_check import check_results
from orchestrator.store.soundness import examine
from orchestrator.store.store import Store
from orchestrator.store.tables import runs


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


class TestResultFiles:
    """What a copy names, it has."""

    def large(self, store: Store, count: int = 2) -> list[int]:
        """Runs that have large results."""
        write_pair(store)
        ids = [run.id for run in store.read(list_runs, RunFilter(limit=count))]
        for run_id in ids:
            file = write(store.database.results, run_id, 1, b"[%d]" % run_id)
            store.write(name_files, run_id, [file])
        return sorted(ids)

    def test_they_are_copied_beside_it_and_read_from_there(self, store: Store, tmp_path: Path) -> None:
        ids = self.large(store)
        (store.database.results / "99-1.json").write_text("an orphan")
        target = tmp_path / "out" / "copy.db"
        target.parent.mkdir()
        copied = back_up(store.database.path, target)
        assert copied.results.names == {f"{run_id}-1.json" for run_id in ids}
        assert {path.name for path in target.parent.iterdir()} == {"copy.db", "copy.db.results"}
        assert stat.S_IMODE(beside(target).stat().st_mode) == 0o700
        assert {path.name for path in beside(target).iterdir()} == copied.results.names
        restored = Store(f"sqlite:///{target}", create=False)
        for run_id in ids:
            run = restored.read(get_run, run_id)
            assert run.result_files is not None
            assert whole(None, run.result_files, restored.database.results) == [run_id]
        found = check_results(restored, full=True)
        assert (found.count, found.lost) == (2, [])

    def test_the_next_copy_of_the_name_has_its_own_files_only(self, store: Store, tmp_path: Path) -> None:
        first, second = self.large(store)
        target = tmp_path / "copy.db"
        back_up(store.database.path, target)
        store.write(delete_runs, [first])
        back_up(store.database.path, target, overwrite=True)
        assert [path.name for path in beside(target).iterdir()] == [f"{second}-1.json"]
        store.write(delete_runs, [second])
        back_up(store.database.path, target, overwrite=True)
        assert not beside(target).exists()

    def test_files_of_another_copy_stay_unless_they_are_to_be_replaced(self, store: Store, tmp_path: Path) -> None:
        self.large(store)
        target = tmp_path / "copy.db"
        beside(target).mkdir()
        with pytest.raises(ConflictError, match=r"copy\.db\.results is there already"):
            back_up(store.database.path, target)
        assert not target.exists()
        back_up(store.database.path, target, overwrite=True)
        assert len(list(beside(target).iterdir())) == 2

    def test_what_was_deleted_while_it_was_copied_is_forgotten_in_the_copy(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = self.large(store)

        def pruned_meanwhile(source: Path, copy: Path, folder: Path) -> Gathered:
            result_files.delete(store.database.results, store.write(delete_runs, [first]))
            return gather(source, copy, folder)

        monkeypatch.setattr(backup, "gather", pruned_meanwhile)
        target = tmp_path / "copy.db"
        copied = back_up(store.database.path, target).results
        assert (copied.forgotten, copied.lost, copied.names) == (1, [], {f"{second}-1.json"})
        restored = Store(f"sqlite:///{target}", create=False)
        assert restored.read(get_run, first).result_files is None
        assert check_results(restored, full=True).lost == []

    def test_what_is_lost_is_told_and_the_rest_copied(self, store: Store, tmp_path: Path) -> None:
        first, second = self.large(store)
        (store.database.results / f"{first}-1.json").write_bytes(b"[?]")
        copied = back_up(store.database.path, tmp_path / "copy.db").results
        assert (copied.forgotten, copied.names) == (0, {f"{second}-1.json"})
        assert [f"run {first} is lost" in why for why in copied.lost] == [True]

    def test_one_that_fails_leaves_the_last_one_whole(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.large(store)
        target = tmp_path / "copy.db"
        back_up(store.database.path, target)
        before = {path: path.read_bytes() for path in (target, *beside(target).iterdir())}
        self.large(store)

        def full(path: Path, data: bytes) -> None:
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr("orchestrator.store.result_backup.write_new", full)
        with pytest.raises(StoreError, match="No space left"):
            back_up(store.database.path, target, overwrite=True)
        assert {path: path.read_bytes() for path in (target, *beside(target).iterdir())} == before
        assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def name_files(connection: Connection, run_id: int, files: list[ResultFile]) -> None:
    connection.execute(update(runs).where(runs.c.id == run_id).values(result_files=files, state="succeeded"))
