"""Runs that are asked for within the application's own transaction share its fate."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from orchestrator import AsyncClient, Client
from orchestrator.core.errors import RequestError, StoreError
from tests.project import Project

ClientOf = Callable[..., Client]


@pytest.fixture
def app(shop: Project, client_of: ClientOf) -> Iterator[tuple[Client, Engine]]:
    """A client, and the application's own engine on the same file, as anybody would make it."""
    client = client_of(shop)
    client.enqueue("add", {"a": 0})
    engine = create_engine(f"sqlite:///{shop.database}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    yield client, engine
    engine.dispose()


def asked(shop: Project) -> list[int]:
    return sorted(run["params"]["order"] for run in shop.runs(job="charge"))


def orders(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT id FROM orders ORDER BY id")).scalars())


def test_what_is_committed_is_executed_and_what_is_rolled_back_never_was(
    shop: Project, app: tuple[Client, Engine]
) -> None:
    client, engine = app
    with shop.engine():
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO orders VALUES (1)"))
            first = client.enqueue("charge", {"order": 1}, connection=connection)
            assert asked(shop) == []
        assert client.result(first.id, timeout=30) == 1
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO orders VALUES (2)"))
            client.enqueue("charge", {"order": 2}, connection=connection)
            connection.rollback()
        with Session(engine) as session:
            session.execute(text("INSERT INTO orders VALUES (3)"))
            many = client.enqueue_many([{"job": "charge", "params": {"order": n}} for n in (3, 3, 4)], session=session)
            session.commit()
            assert [one.duplicate for one in many] == [False, True, False]
        assert client.result(many[2].id, timeout=30) == 4
    assert (orders(engine), asked(shop)) == ([1, 3], [1, 3, 4])


def test_a_savepoint_that_is_undone_takes_its_runs_along(shop: Project, app: tuple[Client, Engine]) -> None:
    client, engine = app
    with Session(engine) as session:
        client.enqueue("charge", {"order": 1}, session=session)
        with session.begin_nested() as savepoint:
            client.enqueue("charge", {"order": 2}, session=session)
            savepoint.rollback()
        client.enqueue("charge", {"order": 3}, session=session)
        session.commit()
    assert asked(shop) == [1, 3]


def test_engines_are_told_after_the_commit_and_not_before(
    shop: Project, app: tuple[Client, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    client, engine = app
    told = threading.Event()
    seen: list[list[int]] = []

    def wake() -> None:
        seen.append(asked(shop))
        told.set()

    monkeypatch.setattr(client, "_wake", wake)
    for number in (1, 2):
        with engine.begin() as connection:
            client.enqueue("charge", {"order": number}, connection=connection)
            client.enqueue("charge", {"order": number + 10}, connection=connection)
            assert len(seen) == number - 1
        assert told.wait(30)
        told.clear()
    assert seen == [[1, 11], [1, 2, 11, 12]]


def test_a_transaction_that_is_none_of_ours_is_refused(
    shop: Project, app: tuple[Client, Engine], tmp_path: Any
) -> None:
    client, engine = app
    for url in (f"sqlite:///{tmp_path}/other.db", "sqlite://"):
        other = create_engine(url)
        with other.begin() as connection, pytest.raises(StoreError, match="but the state is in"):
            client.enqueue("charge", {"order": 1}, connection=connection)
        other.dispose()
    at_once = engine.execution_options(isolation_level="AUTOCOMMIT")
    with at_once.connect() as connection, pytest.raises(StoreError, match="AUTOCOMMIT"):
        client.enqueue("charge", {"order": 1}, connection=connection)
    assert asked(shop) == []


KILLED = """
import os, signal, sys
from sqlalchemy import create_engine, text
from orchestrator import Client
client = Client("jobs.yaml")
engine = create_engine(f"sqlite:///{client._place.database}")
for number in range(1000):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders VALUES (:n)"), {"n": number})
        client.enqueue("charge", {"order": number}, connection=connection, check=False)
        print("asked", number, flush=True)
        if sys.argv[1] == "before" and number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    print("committed", number, flush=True)
"""


@pytest.mark.parametrize("when", ["before", "any"])
def test_killed_at_any_moment_an_order_and_its_run_are_both_there_or_neither(
    shop: Project, app: tuple[Client, Engine], when: str
) -> None:
    _, engine = app
    process = subprocess.Popen([sys.executable, "-c", KILLED, when], cwd=shop.folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.split())
        if when == "any" and len(said) == 25:
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    committed = {int(number) for word, number in said if word == "committed"}
    there = asked(shop)
    assert orders(engine) == there
    assert committed <= set(there)
    if when == "before":
        assert there == list(range(5))


def test_the_async_client_takes_what_can_run_sync(shop: Project, app: tuple[Client, Engine]) -> None:
    """What SQLAlchemy's AsyncSession does, without a driver for it."""
    _, engine = app

    class Wrapped:
        def __init__(self, session: Session) -> None:
            self.session = session

        async def run_sync(self, function: Callable[[Session], Any]) -> Any:
            return function(self.session)

    async def ask() -> None:
        async with AsyncClient(shop.folder) as client:
            with Session(engine) as session:
                wrapped: Any = Wrapped(session)
                await client.enqueue("charge", {"order": 1}, session=wrapped)
                session.rollback()
                await client.enqueue("charge", {"order": 2}, connection=wrapped)
                session.commit()
                plain: Any = session
                with pytest.raises(RequestError, match="from here"):
                    await client.enqueue("charge", {"order": 3}, session=plain)

    asyncio.run(ask())
    assert asked(shop) == [2]
