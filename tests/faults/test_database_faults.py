"""The state database locked, full, read-only, corrupted, missing or of another version."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store
from tests.faults.processes import nobody_left
from tests.project import Project, Result

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: 20s
defaults: {timeout: 60s, catch_up: all, overlap: allow}
jobs:
  tick: {call: work.tick, cron: EVERY_SECOND}
"""
WORK = """\
def tick():
    print("tick")
"""
SECOND = timedelta(seconds=1)


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; only root can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_database(path: Path) -> None:
    """A database as an engine leaves it when it stops: without a log file beside it."""
    Store(sqlite_url(path)).close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def fire_times(database: Path) -> list[tuple[datetime, str]]:
    """Fire times and states of the job's runs, in order."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT fire_time, state FROM runs WHERE job = 'tick' ORDER BY fire_time").fetchall()
    return [(datetime.fromtimestamp(micros / 1e6).astimezone(), state) for micros, state in rows]


def assert_nothing_lost(database: Path) -> None:
    """Each second between the first fire and the last has its run, and all but the last few succeeded."""
    fires = fire_times(database)
    instants = [at for at, _ in fires]
    assert {later - earlier for earlier, later in pairwise(instants)} == {SECOND}
    assert {state for _, state in fires} <= {"succeeded", "queued"}


def refused(result: Result) -> Result:
    """A clear error of exit status 3."""
    assert "Traceback" not in result.err
    assert result.code == 3, repr(result)
    assert result.err.startswith("error: ")
    return result


def test_a_lock_that_another_process_holds_is_told_and_outlasted(at_work: Project, mark: str) -> None:
    with at_work.engine() as engine:
        engine.wait_for(lambda: at_work.runs(state="succeeded"))
        locker = sqlite3.connect(at_work.database, timeout=20)
        locker.execute("BEGIN EXCLUSIVE")
        engine.wait_line(r"store\.retrying.*locked")
        assert engine.code is None
        locker.rollback()
        locker.close()
        newest = at_work.runs()[0]["id"]
        engine.wait_for(lambda: at_work.runs(state="succeeded")[0]["id"] > newest)
        assert engine.terminate() == 0
    assert_nothing_lost(at_work.database)
    assert nobody_left(mark)


def test_a_full_disk_is_told_and_outlasted(at_work: Project, mark: str, small_disk: Path) -> None:
    database = small_disk / "state.db"
    with at_work.engine("--db", str(database)) as engine:
        engine.wait_for(lambda: [1 for _, state in fire_times(database) if state == "succeeded"])
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        engine.wait_line(r"store\.retrying.*full|i/o error", 60)
        assert engine.code is None
        filler.unlink()
        done = len([1 for _, state in fire_times(database) if state == "succeeded"])
        engine.wait_for(lambda: len([1 for _, state in fire_times(database) if state == "succeeded"]) > done + 1)
        assert engine.terminate() == 0
    assert_nothing_lost(database)
    assert nobody_left(mark)


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_folder_is_a_clear_error(at_work: Project, mark: str, small_disk: Path, exists: bool) -> None:
    database = small_disk / "state.db"
    if exists:
        make_database(database)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(at_work.cli("--db", str(database), "run"))
    refused(at_work.cli("--db", str(database), "trigger", "tick"))


def overwrite_all(path: Path) -> None:
    path.write_bytes(b"this is not a database at all\n" * 1000)


def overwrite_pages(path: Path) -> None:
    """The header stays: it opens, and is malformed inside."""
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def overwrite_runs(path: Path) -> None:
    """Only the table of runs is damaged: nothing notices before it is looked at."""
    with sqlite3.connect(path) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()[0]
    data = bytearray(path.read_bytes())
    data[4096 * (page - 1) : 4096 * page] = b"\xa5" * 4096
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def make_foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (title TEXT)")


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILING = [
    overwrite_all,
    overwrite_pages,
    cut_off,
    make_foreign,
    make_newer,
    make_folder,
]


@pytest.mark.parametrize("spoil", SPOILING)
def test_a_database_that_cannot_be_used_is_a_clear_error(
    at_work: Project, mark: str, spoil: Callable[[Path], None]
) -> None:
    make_database(at_work.database)
    spoil(at_work.database)
    refused(at_work.cli("run"))
    assert nobody_left(mark)


def test_a_damaged_table_is_told_by_every_command_and_by_the_engine(at_work: Project, mark: str) -> None:
    make_database(at_work.database)
    overwrite_runs(at_work.database)
    refused(at_work.cli("runs"))
    refused(at_work.cli("trigger", "tick"))
    ended = refused(at_work.cli("run"))
    assert len(ended.err.splitlines()) == 1
    assert "is damaged" in ended.err
    assert "backup" in ended.err
    assert "malformed" not in ended.out
    assert nobody_left(mark)


def test_a_table_that_is_damaged_while_the_engine_works_ends_it(at_work: Project, mark: str) -> None:
    with at_work.engine() as engine:
        engine.wait_for(lambda: at_work.runs(state="succeeded"))
        with closing(sqlite3.connect(at_work.database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite_runs(at_work.database)
        assert engine.wait() == 3
    (line,) = engine.error_lines
    assert "is damaged" in line
    assert nobody_left(mark)


def test_a_newer_database_says_what_to_do(at_work: Project, mark: str) -> None:
    make_database(at_work.database)
    make_newer(at_work.database)
    assert "upgrade" in refused(at_work.cli("runs")).err


@pytest.mark.parametrize("database", ["/proc/nowhere/state.db", "/dev/full", "http://x"])
def test_a_place_that_cannot_hold_a_database_is_a_clear_error(at_work: Project, mark: str, database: str) -> None:
    refused(at_work.cli("--db", database, "run"))


def test_an_empty_file_becomes_a_database(at_work: Project, mark: str) -> None:
    at_work.database.parent.mkdir()
    at_work.database.touch()
    at_work.cli("run", "--once", "tick").ok()


def test_a_database_copied_while_in_use_and_put_back_serves_on(at_work: Project, mark: str, tmp_path: Path) -> None:
    """A crash-consistent copy, log file included, as a snapshot of a file system makes it."""
    with at_work.engine() as engine:
        engine.wait_for(lambda: len(at_work.runs(state="succeeded")) > 1)
        shutil.copytree(at_work.folder / "var", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
        engine.kill()
    shutil.rmtree(at_work.folder / "var")
    shutil.copytree(tmp_path / "copy", at_work.folder / "var")
    before = {run["id"] for run in at_work.runs()}
    with at_work.engine() as engine:
        engine.wait_for(lambda: len({run["id"] for run in at_work.runs(state="succeeded")} - before) > 1)
        assert engine.terminate() == 0
    assert_nothing_lost(at_work.database)
