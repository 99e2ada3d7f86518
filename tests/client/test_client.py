"""`Client` and `AsyncClient`, with the engine in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AsyncClient, Client, RunFailedError, WaitTimeoutError
from orchestrator.core.errors import ConfigError, ConflictError, NotFoundError, RequestError
from orchestrator.core.runs import RunState
from tests.project import Project

ClientOf = Callable[..., Client]


def test_a_run_is_asked_for_and_its_result_comes_back(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    with shop.engine():
        asked = client.enqueue("add", {"a": 2, "b": 3})
        assert client.result(asked.id, timeout="30s") == 5
        run = client.wait(asked.id)
        assert (run.state, run.params) == (RunState.SUCCEEDED, {"a": 2, "b": 3})
        failed = client.enqueue("fail")
        with pytest.raises(RunFailedError, match="LookupError: no good") as caught:
            client.result(failed.id, timeout=30)
        assert caught.value.run.state is RunState.FAILED
        assert caught.value.error is not None
        assert caught.value.error.type == "LookupError"
        assert client.wait(failed.id).state is RunState.FAILED


def test_waiting_ends_in_time_and_cancelling_ends_the_run(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    with shop.engine():
        asked = client.enqueue("wait")
        with pytest.raises(WaitTimeoutError, match="still"):
            client.wait(asked.id, timeout=timedelta(milliseconds=20))
        client.cancel(asked.id)
        assert client.wait(asked.id, timeout=30).state is RunState.CANCELLED
        with pytest.raises(ConflictError):
            client.cancel(asked.id)
    with pytest.raises(NotFoundError):
        client.run(99)


def test_what_runs_after_the_end_of_a_cancelled_run_follows(shop: Project, client_of: ClientOf) -> None:
    after = "  tidy: {call: sums.fail, after: {job: add, on: end}}\n"
    shop.write("jobs.yaml", shop.read("jobs.yaml") + after)
    client = client_of(shop)
    asked = client.enqueue("add", {"a": 1})
    assert client.cancel(asked.id) is RunState.CANCELLED
    assert [(run["job"], run["parent_id"]) for run in shop.runs(job="tidy")] == [("tidy", asked.id)]


def test_everything_that_can_be_wanted(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    before = datetime.now(UTC)
    asked = client.enqueue("add", {"a": 1}, delay="10m", priority=7, key="k", expires_in=60)
    run = client.run(asked.id)
    assert (run.state, run.priority, run.unique_key) == (RunState.SCHEDULED, 7, "k")
    assert timedelta(minutes=10) <= run.due_at - before < timedelta(minutes=12)
    assert run.expires_at == run.due_at + timedelta(minutes=1)
    again = client.enqueue("add", {"a": 2}, key="k")
    assert (again.id, again.duplicate) == (asked.id, True)
    at = datetime(2126, 1, 1, tzinfo=UTC) - timedelta(days=40_000)
    assert client.run(client.enqueue("add", {"a": 1}, at=at).id).state is RunState.QUEUED


def test_what_a_job_does_not_take_is_refused_and_nothing_created(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    for job, params, said in [
        ("ad", {"a": 1}, "there is no job 'ad'"),
        ("add", {}, "a"),
        ("add", {"a": "x"}, "a"),
        ("add", {"a": 1, "c": 1}, "c"),
        ("add", {"a": {"$template": "{{ secrets.x }}"}}, "reserved"),
    ]:
        with pytest.raises(RequestError if said != "reserved" else Exception, match=said):
            client.enqueue(job, params)
    many: list[dict[str, Any]] = [{"job": "add", "params": {"a": n}} for n in range(5)]
    with pytest.raises(RequestError) as refused:
        client.enqueue_many([*many, {"job": "add", "params": {"a": "x"}}, {"job": "nobody"}, {"jab": 1}])
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == ["request 6", "request 7", "request 8"]
    assert shop.runs() == []
    unchecked = client.enqueue("add", {"a": "x"}, check=False)
    assert client.run(unchecked.id).params == {"a": "x"}


def test_many_are_one_transaction(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    asked = client.enqueue_many({"job": "charge", "params": {"order": n % 700}} for n in range(1_000))
    assert len({one.id for one in asked}) == 700
    assert sum(one.duplicate for one in asked) == 300
    runs = shop.runs(count=2_000)
    assert (len(runs), len({run["created_at"] for run in runs})) == (700, 1)


def test_the_plan_is_read_again_when_a_file_changes(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    client.enqueue("add", {"a": 1})
    jobs = shop.read("jobs.yaml")
    shop.write("jobs.yaml", jobs + "  more: {call: sums.add, params: {b: 5}}\n")
    run = client.run(_eventually(lambda: client.enqueue("more", {"a": 1}).id))
    assert run.params == {"a": 1, "b": 5}
    shop.write("jobs.yaml", "version: 1\njobs: {more: {cal: x}}\n")
    time.sleep(0.3)  # by now it has looked; what it must not do is refuse
    assert client.enqueue("more", {"a": 1}).id


def test_the_checking_process_knows_plugins_as_they_are(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    with pytest.raises(RequestError):
        client.enqueue("add", {"a": 1, "c": 2})
    shop.plugin("sums", "def add(a: int, c: int): return a + c\n")
    _eventually(lambda: client.enqueue("add", {"a": 1, "c": 2}).id)
    with pytest.raises(RequestError):
        client.enqueue("add", {"a": 1, "b": 2})


def test_a_checking_process_that_dies_is_replaced(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    client.enqueue("add", {"a": 1})
    for _ in range(2):
        assert client._checker._reader is not None
        os.kill(client._checker._reader._process.pid, signal.SIGKILL)
        with pytest.raises(RequestError):
            client.enqueue("add", {"a": "x"})
        client.enqueue("add", {"a": 1})


def test_a_check_that_ends_its_process_is_told_like_any_other(shop: Project, client_of: ClientOf) -> None:
    shop.plugin(
        "sums",
        "import os\nfrom typing import Annotated\nfrom pydantic import AfterValidator\n"
        "def add(a: Annotated[int, AfterValidator(lambda v: os._exit(3) if v == 3 else v)]): pass\n",
    )
    shop.write("jobs.yaml", "version: 1\nplugins: [plugins]\njobs: {add: {call: sums.add}}\n")
    client = client_of(shop)
    with pytest.raises(RequestError, match="ended the process with exit status 3"):
        client.enqueue("add", {"a": 3})
    assert client.enqueue("add", {"a": 2}).id


def test_without_files_the_jobs_are_those_of_the_engines(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop, db=str(shop.database))
    with pytest.raises(ConfigError, match="no engine has worked"):
        client.enqueue("add", {"a": 1})
    with shop.engine():
        assert client.result(client.enqueue("add", {"a": 1}).id, timeout=30) == 2
        shop.write("jobs.yaml", shop.read("jobs.yaml") + "  more: {call: sums.add, params: {b: 9}}\n")
        assert client.result(_eventually(lambda: client.enqueue("more", {"a": 1}).id), timeout=30) == 10
    with shop.engine():
        pass
    assert client.enqueue("add", {"a": 1}).id  # without an engine it waits for one


def test_threads_share_a_client(shop: Project, client_of: ClientOf) -> None:
    client = client_of(shop)
    ids: list[int] = []

    def ask() -> None:
        ids.extend(client.enqueue("add", {"a": n}).id for n in range(20))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == sorted({run["id"] for run in shop.runs()})
    assert len(ids) == 100


FORKING = """
import os, sys, threading
from orchestrator import Client
client = Client("jobs.yaml")
client.enqueue("add", {"a": 0})
reader = client._checker._reader._process.pid
held = threading.Lock()
client._opening.acquire()
client._checker._asking.acquire()
children = []
for n in range(3):
    child = os.fork()
    if child == 0:
        try:
            client.enqueue("add", {"a": n + 1})
            assert client._checker._reader._process.pid != reader
            client.close()
            os._exit(0)
        except BaseException:
            import traceback; traceback.print_exc()
            os._exit(1)
    children.append(child)
client._opening.release()
client._checker._asking.release()
client.enqueue("add", {"a": 4})
assert client._checker._reader._process.pid == reader
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_a_forked_process_opens_everything_anew(shop: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=shop.folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.returncode) == ("[0, 0, 0]\n", 0), done.stderr
    assert sorted(run["params"]["a"] for run in shop.runs()) == [0, 1, 2, 3, 4]


DYING = """
import os
from orchestrator import Client
client = Client("jobs.yaml")
client.enqueue("add", {"a": 0})
print(client._checker._reader._process.pid, flush=True)
if os.fork() == 0:
    import time
    time.sleep(600)  # holds the line to the checking process open
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_checking_process_ends_with_who_asks_even_if_a_fork_lives_on(shop: Project) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DYING], cwd=shop.folder, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        reader = int(process.stdout.readline())
        process.wait(60)
        _eventually(lambda: not Path(f"/proc/{reader}/cmdline").exists() or not _cmdline(reader))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_importing_and_asking_loads_nothing_heavy(shop: Project) -> None:
    code = (
        "import sys; from orchestrator import Client\n"
        "with Client('jobs.yaml') as client: client.enqueue('add', {'a': 1})\n"
        "print({'pydantic', 'jinja2', 'yaml', 'typer', 'sums'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=shop.folder, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_async_client_does_the_same(shop: Project) -> None:
    async def ask() -> None:
        async with AsyncClient(shop.folder) as client:
            asked = await client.enqueue("add", {"a": 2, "b": 3})
            many = await client.enqueue_many([{"job": "add", "params": {"a": n}} for n in range(50)])
            results = await asyncio.gather(*(client.result(one.id, timeout=60) for one in many))
            assert results == [n + 1 for n in range(50)]
            assert await client.result(asked.id) == 5
            failed = await client.enqueue("fail")
            with pytest.raises(RunFailedError):
                await client.result(failed.id, timeout=30)
            waiting = await client.enqueue("wait")
            with pytest.raises(WaitTimeoutError):
                await client.wait(waiting.id, timeout=0.01)
            await client.cancel(waiting.id)
            assert (await client.wait(waiting.id, timeout=30)).state is RunState.CANCELLED
            assert (await client.run(asked.id)).job == "add"
            with pytest.raises(RequestError):
                await client.enqueue("add")

    with shop.engine():
        asyncio.run(ask())


def _eventually(fact: Callable[[], Any]) -> Any:
    """What a fact gives once it neither raises nor is false."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if found := fact():
                return found
        except RequestError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.05)
