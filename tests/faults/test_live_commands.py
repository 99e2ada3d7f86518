"""The command line beside a live engine: what a person does while jobs run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.faults.processes import MARK, family, listening, nobody_left
from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: 20s
jobs:
  greet: {call: work.greet, params: {name: world}}
  fail: {call: work.fail, retry: {max_attempts: 2, delay: 0s}}
  talk: {call: work.talk, timeout: 60s}
  talk-async: {call: work.talk_async, timeout: 60s}
  stubborn: {call: work.stubborn, timeout: 60s, grace: 300ms}
  tick: {call: work.tick, cron: EVERY_SECOND, overlap: allow}
  later: {call: work.greet, retry: {max_attempts: 2}, params: {name: x}, enabled: false}
"""
WORK = """\
import asyncio, pathlib, time
from orchestrator import Context

def greet(name: str):
    print("hello", name)
    return {"greeted": name}

def fail():
    if not pathlib.Path("mended").exists():
        raise ValueError("no good")

def talk(context: Context):
    for number in range(1_000_000):
        print("line", number, flush=True)
        context.progress(number, 1_000_000)
        for _ in range(5):
            if pathlib.Path("enough").exists():
                return number
            time.sleep(0.02)

async def talk_async():
    print("on the loop", flush=True)
    await asyncio.sleep(600)

def stubborn():
    print("here to stay", flush=True)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def tick():
    pass
"""


class Shop:
    """A project and its engine."""

    def __init__(self, project: Project, engine: Running) -> None:
        self.project = project
        self.engine = engine

    def trigger(self, *arguments: str) -> int:
        run: int = self.project.cli("trigger", *arguments, "--no-check", "--json").ok().json["id"]
        return run

    def wait_state(self, run: int, *states: str) -> str:
        def reached() -> str:
            found = {one["id"]: one["state"] for one in self.project.runs(count=100_000)}
            return found[run] if found[run] in states else ""

        return self.engine.wait_for(reached)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    project = Project(tmp_path_factory.mktemp("live"))
    mark = project.environment[MARK] = uuid.uuid4().hex
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    with project.start("run", "--log-format", "json") as engine:
        engine.wait_line("engine.started")
        yield Shop(project, engine)
        assert engine.terminate() == 0
    assert nobody_left(mark)
    assert engine.error_lines == []
    assert all(json.loads(line)["event"] for line in engine.lines)


def test_trigger_waits_prints_and_exits_with_the_outcome(shop: Shop) -> None:
    done = shop.project.cli("trigger", "greet", "--param", "name=Ann", "--wait").ok()
    assert "hello Ann" in done.out
    assert shop.project.cli("trigger", "fail", "--wait").code == 1


def test_a_running_run_is_cancelled(shop: Shop) -> None:
    for job in ("talk", "talk-async", "stubborn"):
        run = shop.trigger(job)
        shop.wait_state(run, "running")
        assert shop.project.cli("cancel", str(run)).ok()
        assert shop.wait_state(run, "cancelled", "succeeded", "failed") == "cancelled"
        assert shop.project.cli("cancel", str(run)).code == 1


def test_a_failed_run_is_retried_with_its_history(shop: Shop) -> None:
    run = shop.trigger("fail")
    shop.wait_state(run, "failed")
    shop.project.write("mended", "")
    assert "queued again" in shop.project.cli("retry", str(run)).ok().out
    shop.wait_state(run, "succeeded")
    assert [one["outcome"] for one in shop.project.show(run)["attempts"]] == ["failed", "failed", "succeeded"]
    assert shop.project.cli("cancel", str(run)).code == 1
    (shop.project.folder / "mended").unlink()


def test_logs_follow_a_run_while_it_talks(shop: Shop) -> None:
    run = shop.trigger("talk")
    with shop.project.start("logs", str(run), "-f") as reader:
        reader.wait_line(r"line 3$")
        assert reader.code is None
        assert shop.project.runs(job="talk", state="running")[0]["progress"][1] == 1_000_000
        shop.project.write("enough", "")
        assert reader.wait() == 0
    (shop.project.folder / "enough").unlink()
    assert shop.wait_state(run, "succeeded")


def test_logs_of_a_killed_reader_harm_nobody(shop: Shop) -> None:
    run = shop.trigger("talk")
    with shop.project.start("logs", str(run), "-f") as reader:
        reader.wait_line("line 1")
        reader.kill()
    shop.project.write("enough", "")
    shop.wait_state(run, "succeeded")
    (shop.project.folder / "enough").unlink()


def test_a_paused_job_skips_its_fires_and_resumes(shop: Shop) -> None:
    shop.project.cli("pause", "tick").ok()
    skipped = shop.engine.wait_for(lambda: shop.project.runs(job="tick", state="skipped"))
    assert "paused" in skipped[0]["reason"]
    shop.project.cli("resume", "tick").ok()
    newest = shop.project.runs(job="tick")[0]["id"]
    shop.engine.wait_for(lambda: shop.project.runs(job="tick", state="succeeded")[0]["id"] > newest)


def test_events_tell_each_end(shop: Shop) -> None:
    run = shop.trigger("fail")
    for event in ("run.retrying", "run.failed"):
        told = json.loads(shop.engine.wait_line(rf'"event":"{event}".*"run_id":{run}\b'))
        assert told["job"] == "fail"
        assert "no good" in told["reason"]


def test_run_once_beside_the_engine_is_executed_by_itself(shop: Shop) -> None:
    done = shop.project.cli("run", "--once", "greet", "--param", "name=Bob").ok()
    assert "hello Bob" in done.out
    assert shop.project.cli("run", "--once", "fail").code == 1
    once = shop.project.runs(job="greet")[0]
    assert [one["outcome"] for one in shop.project.show(once["id"])["attempts"]] == ["succeeded"]
    assert shop.engine.code is None


def test_no_process_of_it_listens_on_tcp(shop: Shop) -> None:
    members = set(family(shop.project.environment[MARK]))
    assert shop.engine.pid in members
    assert listening(members) == set()


def test_many_commands_at_once_are_all_served(shop: Shop) -> None:
    with (
        shop.project.start("trigger", "greet", "--wait") as one,
        shop.project.start("trigger", "greet", "--wait") as two,
        shop.project.start("runs", "--json") as three,
        shop.project.start("jobs", "--json") as four,
    ):
        assert [command.wait() for command in (one, two, three, four)] == [0, 0, 0, 0]
