"""What systemd hears, on a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.cli.supervisor import Supervisor
from orchestrator.store.store import Store
from tests.project import Project

JOBS = "version: 1\nplugins: [plugins]\njobs:\n  one: {call: work.go}\n"
ENVIRON = 'import os\ndef go():\n    return [name for name in os.environ if "NOTIFY" in name or "WATCHDOG" in name]\n'


class Ear:
    """A supervisor's end: every datagram as its assignments."""

    def __init__(self, address: str) -> None:
        self.messages: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(0.05)
        self._closing = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                lines = self._socket.recv(65536).decode().split("\n")
                self.messages.append(dict(line.split("=", 1) for line in lines))

    def heard(self, key: str) -> list[str]:
        return [message[key] for message in self.messages if key in message]

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._socket.close()


ADDRESSES = ["path", pytest.param("@", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has them"))]


@pytest.fixture(params=ADDRESSES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"@orchestrator-test-{os.getpid()}" if request.param == "@" else str(tmp_path / "notify.sock")


@pytest.fixture
def ear(address: str) -> Iterator[Ear]:
    ear = Ear(address)
    yield ear
    ear.close()


def test_an_engine_tells_its_whole_life(project: Project, ear: Ear, address: str) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", ENVIRON)
    project.environment |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    with project.engine() as engine:
        engine.wait_for(lambda: ear.heard("READY"))
        assert ear.heard("STATUS")[0] == f"1 jobs from {project.folder}/jobs.yaml"
        engine.wait_for(lambda: len(ear.heard("WATCHDOG")) > 2)
        project.write("jobs.yaml", JOBS + "  two: {}\n")
        engine.wait_for(lambda: len(ear.heard("READY")) == 2)
        assert "refused" in ear.heard("STATUS")[-1]
        assert int(ear.heard("MONOTONIC_USEC")[0]) <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        project.cli("trigger", "one", "--no-check", environment={"NOTIFY_SOCKET": ""})
        engine.signal(signal.SIGTERM)
        engine.wait_for(lambda: ear.heard("STOPPING"))
        assert engine.wait() == 0
    order = [key for message in ear.messages for key in message if key in ("READY", "RELOADING", "STOPPING")]
    assert order == ["READY", "RELOADING", "READY", "STOPPING"]


def test_jobs_do_not_inherit_the_supervisors_address(project: Project, ear: Ear, address: str) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", ENVIRON)
    project.environment |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"}
    with project.engine() as engine:
        project.cli("trigger", "one", "--no-check").ok()
        engine.wait_for(lambda: project.runs(job="one", state="succeeded"))
    assert project.runs(job="one")[0]["result"] == []


def test_no_sign_of_life_while_the_writer_hangs(tmp_path: Path) -> None:
    address = str(tmp_path / "notify.sock")
    ear = Ear(address)
    release = threading.Event()

    async def until(fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - it comes true in a thread
            await asyncio.sleep(0.005)

    async def body() -> None:
        store = Store(f"sqlite:///{tmp_path / 'o.db'}")
        store.start_writer(lambda _: None)
        living = asyncio.create_task(Supervisor(address, 0.02).keep_alive(store))
        await until(lambda: len(ear.heard("WATCHDOG")) > 1)
        hanging = store.submit(lambda _: release.wait(30))
        await asyncio.sleep(0.1)  # for a sign that was under way
        heard = len(ear.messages)
        await asyncio.sleep(0.2)  # ten periods
        assert len(ear.messages) == heard
        release.set()
        await hanging
        await until(lambda: len(ear.messages) > heard)
        living.cancel()
        await store.aclose()

    asyncio.run(body())
    ear.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000"}, 30.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),
        ({}, None),
    ],
)
def test_the_environment_says_whether_a_sign_of_life_is_wanted(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Supervisor.from_environment(environment).watchdog_seconds == seconds
    assert environment == {}


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "/" + "x" * 300, "@" + "x" * 300])
def test_a_supervisor_that_is_not_there_is_no_trouble(address: str) -> None:
    Supervisor(address).ready("works")
