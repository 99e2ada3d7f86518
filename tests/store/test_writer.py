"""Group commit: an answer comes after the disk has it; one failure is one failure; trouble is told and outlived."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import IntegrityError

from orchestrator.core.errors import ConflictError, StoreError
from orchestrator.store import creation, queries, requests, writer
from orchestrator.store.database import sqlite_url
from orchestrator.store.queries import RunFilter
from orchestrator.store.store import Store
from orchestrator.store.tables import pauses

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENCE = 30.0
"""Seconds after which something that should have happened counts as never happening."""


class Office:
    """A store with a writer, and the troubles that it told of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(sqlite_url(path))
        self.troubles: list[str] = []
        self.on_trouble: Callable[[], None] = lambda: None
        self.commits = 0
        event.listen(self.store.database.writing, "commit", self._count)

    def impatient(self) -> None:
        """Wait for other processes' locks a moment only."""

        @event.listens_for(self.store.database.writing, "connect")
        def configure(connection: sqlite3.Connection, _record: Any) -> None:
            connection.execute("PRAGMA busy_timeout = 20")

    def start(self) -> None:
        self.store.start_writer(self._trouble)

    def pause(self, job: str) -> asyncio.Future[bool]:
        return self.store.submit(lambda c: bool(c.execute(insert(pauses).values(job=job, paused_at=NOON))))

    def outside(self) -> set[str]:
        """The paused jobs, as another connection sees them."""
        connection = sqlite3.connect(self.path)
        try:
            return {job for (job,) in connection.execute("SELECT job FROM pauses")}
        finally:
            connection.close()

    def _trouble(self, message: str) -> None:
        self.troubles.append(message)
        self.on_trouble()

    def _count(self, _connection: Connection) -> None:
        self.commits += 1


@asynccontextmanager
async def office(path: Path, *, started: bool = True) -> AsyncIterator[Office]:
    opened = Office(path / "orchestrator.db")
    if started:
        opened.start()
    try:
        async with asyncio.timeout(PATIENCE):
            yield opened
    finally:
        await opened.store.aclose()


def test_many_at_once_are_committed_in_groups(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            gate = threading.Event()
            first = here.store.submit(lambda _: gate.wait(PATIENCE))
            rest = [here.pause(f"job-{n}") for n in range(500)]
            before = here.commits
            gate.set()
            await asyncio.gather(first, *rest)
            assert here.commits - before <= 2 + 500 // writer.MAX_GROUP
            assert len(here.outside()) == 500

    asyncio.run(scenario())


def test_operations_happen_in_the_order_in_which_they_were_submitted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            for n in range(300):
                here.store.submit(requests.pause, f"job-{n}", NOON)
                if n % 2:
                    here.store.submit(requests.resume, f"job-{n}", NOON)
            await here.store.submit(queries.paused_jobs)
            assert here.outside() == {f"job-{n}" for n in range(0, 300, 2)}

    asyncio.run(scenario())


def test_results_and_errors_come_back_to_who_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            answers = [here.store.submit(lambda _, n=n: n) for n in range(100)]
            refusal = here.store.submit(requests.pause, "a", NOON), here.store.submit(requests.pause, "a", NOON)
            assert await asyncio.gather(*answers) == list(range(100))
            assert [await one for one in refusal] == [True, False]

    asyncio.run(scenario())


def test_an_operation_that_fails_is_rolled_back_alone(tmp_path: Path) -> None:
    def half(connection: Connection) -> None:
        requests.pause(connection, "half", NOON)
        raise ConflictError("no")

    def twice(connection: Connection) -> None:
        requests.pause(connection, "twice", NOON)
        connection.execute(insert(pauses).values(job="twice", paused_at=NOON))

    async def scenario() -> None:
        async with office(tmp_path) as here:
            gate = threading.Event()
            here.store.submit(lambda _: gate.wait(PATIENCE))
            futures: list[asyncio.Future[Any]] = [
                here.pause("before"),
                here.store.submit(half),
                here.store.submit(twice),
                here.pause("after"),
            ]
            gate.set()
            good, refused, broken, good_too = await asyncio.gather(*futures, return_exceptions=True)
            assert (good, good_too) == (True, True)
            assert isinstance(refused, ConflictError)
            assert isinstance(broken, (IntegrityError, StoreError))
            assert here.outside() == {"before", "after"}
            assert here.troubles == []

    asyncio.run(scenario())


def test_the_answer_comes_after_the_commit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            early: list[bool] = []
            futures: list[asyncio.Future[bool]] = []

            @event.listens_for(here.store.database.writing, "commit")
            def look(_connection: Connection) -> None:
                early.extend(future.done() for future in futures)

            missing: list[str] = []

            def check(name: str) -> None:
                if name not in here.outside():
                    missing.append(name)

            for n in range(100):
                name = f"job-{n}"
                futures.clear()  # the commit may come before the line that notes its future
                future = here.pause(name)
                future.add_done_callback(lambda _, name=name: check(name))
                futures[:] = [future]
                await future
            assert missing == []
            assert not any(early)

    asyncio.run(scenario())


def test_a_database_locked_by_another_process_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_PAUSES", (0.01,) * 5)

    async def scenario() -> None:
        async with office(tmp_path, started=False) as here:
            here.impatient()
            other = sqlite3.connect(here.path, isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            here.on_trouble = lambda: other.execute("ROLLBACK") if len(here.troubles) == 2 else None
            here.start()
            assert await here.pause("late")
            assert len(here.troubles) == 2
            assert "locked" in here.troubles[0]
            assert here.outside() == {"late"}
            other.close()

    asyncio.run(scenario())


def test_a_database_that_stays_locked_is_an_error_in_the_end_and_the_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_PAUSES", (0.01, 0.01))

    async def scenario() -> None:
        async with office(tmp_path, started=False) as here:
            here.impatient()
            other = sqlite3.connect(here.path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            here.start()
            results = await asyncio.gather(here.pause("a"), here.pause("b"), return_exceptions=True)
            assert [type(result) for result in results] == [StoreError, StoreError]
            assert "locked" in str(results[0])
            assert set(map(type, here.troubles)) == {str}
            other.execute("ROLLBACK")
            assert await here.pause("c")
            assert here.outside() == {"c"}
            other.close()

    asyncio.run(scenario())


def test_an_operation_runs_again_from_the_start_after_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_PAUSES", (0.01,) * 5)

    async def scenario() -> None:
        async with office(tmp_path) as here:
            tries: list[int] = []

            def stumble(connection: Connection) -> int:
                paused = len(connection.execute(select(pauses)).all())
                tries.append(paused)
                requests.pause(connection, "mine", NOON)
                if len(tries) < 3:
                    error = sqlite3.OperationalError("disk I/O error")
                    error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[misc]
                    connection._handle_dbapi_exception(error, "INSERT", None, None, None)
                return paused

            futures = [here.pause("neighbour"), here.store.submit(stumble)]
            assert await asyncio.gather(*futures) == [True, tries[-1]]
            assert len(tries) == 3
            assert len(here.troubles) == 2
            assert here.outside() == {"neighbour", "mine"}

    asyncio.run(scenario())


def test_a_full_disk_is_told_and_outlived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_PAUSES", (0.01,) * 5)
    big = "x" * 200_000

    async def scenario() -> None:
        async with office(tmp_path, started=False) as here:
            held: list[sqlite3.Connection] = []
            event.listen(here.store.database.writing, "connect", lambda connection, _: held.append(connection))
            here.start()
            await here.pause("before")

            def fill(connection: Connection) -> None:
                pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")

            def make_room() -> None:
                if len(here.troubles) == 3:
                    held[-1].execute("PRAGMA max_page_count = 1000000")

            here.on_trouble = make_room
            await here.store.submit(fill)
            assert await here.pause(big)
            assert len(here.troubles) == 3
            assert "full" in here.troubles[0]
            assert here.outside() == {"before", big}

    asyncio.run(scenario())


def test_a_disk_that_stays_full_loses_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_PAUSES", (0.01,))

    async def scenario() -> None:
        async with office(tmp_path) as here:
            await here.pause("before")

            def fill(connection: Connection) -> None:
                pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")

            await here.store.submit(fill)
            answered = {"before"}
            for n in range(20):
                name = f"{n:05}" * 2000
                (answer,) = await asyncio.gather(here.pause(name), return_exceptions=True)
                if answer is True:
                    answered.add(name)
                else:
                    assert isinstance(answer, StoreError)
                    assert "full" in str(answer)
            assert len(answered) < 20
            assert here.outside() == answered

    asyncio.run(scenario())


def test_a_caller_that_stopped_waiting_disturbs_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            gate = threading.Event()
            here.store.submit(lambda _: gate.wait(PATIENCE))
            gone, there = here.pause("gone"), here.pause("there")
            gone.cancel()
            gate.set()
            assert await there
            assert here.outside() == {"gone", "there"}

    asyncio.run(scenario())


def test_closing_writes_what_was_submitted(tmp_path: Path) -> None:
    async def scenario() -> set[str]:
        here = Office(tmp_path / "orchestrator.db")
        here.start()
        futures = [here.pause(f"job-{n}") for n in range(200)]
        await here.store.aclose()
        assert all(await asyncio.gather(*futures))
        return here.outside()

    assert len(asyncio.run(scenario())) == 200


def test_a_store_without_a_writer_says_so(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "orchestrator.db"))
    with pytest.raises(StoreError, match="writer"):
        store.submit(queries.paused_jobs)
    store.close()


def test_reading_off_the_loop_sees_what_was_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            new = creation.NewRun(job="a", cause=creation.Cause.MANUAL, created_at=NOON, due_at=NOON)
            (created,) = await here.store.submit(creation.create_runs, [new])
            (run,) = await here.store.read_soon(queries.list_runs, RunFilter())
            assert run.id == created.id

    asyncio.run(scenario())


def test_what_is_submitted_while_the_store_closes_is_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        here = Office(tmp_path / "orchestrator.db")
        here.start()
        busy, gate = threading.Event(), threading.Event()
        here.store.submit(lambda _: busy.set() or gate.wait(PATIENCE))
        await asyncio.to_thread(busy.wait, PATIENCE)
        closing = asyncio.create_task(here.store.aclose())
        await asyncio.sleep(0)
        try:
            late = here.pause("late")
        except StoreError:
            late = None
        gate.set()
        await closing
        if late is not None:
            await asyncio.wait({late}, timeout=1)
            assert late.done()

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("trouble", ["it can't connect", "who is told of trouble fails"])
def test_a_writer_that_can_not_go_on_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(writer, "RETRY_PAUSES", (0.01,))

    def fail(*_: Any) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    async def scenario() -> None:
        async with office(tmp_path, started=False) as here:
            if trouble == "it can't connect":
                event.listen(here.store.database.writing, "connect", fail)
            else:
                here.impatient()
                here.on_trouble = fail
                other = sqlite3.connect(here.path, isolation_level=None)
                other.execute("BEGIN IMMEDIATE")
            here.start()
            # Its thread may be quicker than we are: then it refuses what comes, else it answers.
            with pytest.raises(StoreError):
                await asyncio.wait_for(here.pause("a"), 10)

    asyncio.run(scenario())


def test_a_damaged_database_is_a_store_error_to_who_submits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with office(tmp_path) as here:
            damaged = sqlite3.DatabaseError("database disk image is malformed")
            damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT  # type: ignore[misc]

            def read(connection: Connection) -> None:
                connection._handle_dbapi_exception(damaged, "SELECT", None, None, None)

            with pytest.raises(StoreError, match="malformed"):
                await here.store.submit(read)

    asyncio.run(scenario())
