"""`orchestrator run` as a person or a supervisor sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.cli.signals import ONE_PRESS
from tests.project import Project, Running

JOBS = """\
version: 1
timezone: Europe/Berlin
plugins: [plugins]
shutdown_grace: 20s
jobs:
  tick: {call: work.tick, every: 1 seconds}
  greet: {call: work.greet, params: {name: world}}
  fail: {call: work.fail, retry: {max_attempts: 2, delay: 50ms, jitter: none}}
  wait: {call: work.wait, params: {seconds: 60}}
"""
WORK = """\
import time
from orchestrator import Context, job

@job
def tick(): pass

@job
def greet(name: str, context: Context):
    print("hello", name)
    return {"greeted": name}

@job
def fail():
    print("about to fail")
    raise ValueError("no good")

@job
def wait(seconds: float):
    print("waiting", flush=True)
    time.sleep(seconds)
"""


@pytest.fixture
def at_work(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def wait_for_a_running_wait(project: Project, engine: Running) -> None:
    project.cli("trigger", "wait", "--no-check").ok()
    engine.wait_for(lambda: project.runs(job="wait", state="running"))


def test_the_banner_says_what_will_happen_and_events_follow(at_work: Project) -> None:
    with at_work.engine() as engine:
        engine.wait_line(r"^\d\d:\d\d:\d\d  ✓ tick +run \d+  \d")
        assert engine.terminate() == 0
    banner = "\n".join(engine.lines[:8])
    for fact in ("4, from", str(at_work.database), "Europe/Berlin", "tick", str(engine.pid)):
        assert fact in banner
    assert engine.lines[-1].endswith("stopped")
    assert engine.error_lines == []


def test_json_events_are_one_object_a_line_from_the_first_to_the_last(at_work: Project) -> None:
    with at_work.start("run", "--log-format", "json") as engine:
        engine.wait_line("run.succeeded")
        assert engine.terminate() == 0
    events = [json.loads(line) for line in engine.lines]
    assert events[-1]["event"] == "engine.stopped"
    assert {"engine.started", "run.succeeded"} <= {event["event"] for event in events}


def test_a_second_signal_interrupts_what_runs_and_gives_it_back(at_work: Project) -> None:
    with at_work.engine() as engine:
        wait_for_a_running_wait(at_work, engine)
        engine.signal(signal.SIGINT)
        engine.wait_line("stopping")
        assert engine.code is None
        time.sleep(ONE_PRESS)  # sooner, it would be the same wish
        engine.signal(signal.SIGTERM)
        engine.wait_line("hurrying")
        assert engine.wait() == 0
    run = at_work.runs(job="wait")[0]
    assert run["state"] == "queued"
    assert at_work.show(run["id"])["run"]["uncharged"] == run["attempt"]


def test_signals_that_come_together_are_one_wish(at_work: Project) -> None:
    with at_work.engine() as engine:
        at_work.cli("trigger", "wait", "--no-check", "--param", "seconds=1").ok()
        engine.wait_for(lambda: at_work.runs(job="wait", state="running"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            engine.signal(number)
        assert engine.wait() == 0
        assert not any("hurrying" in line for line in engine.lines)
    assert at_work.runs(job="wait")[0]["state"] == "succeeded"


def test_a_hang_up_before_the_engine_has_started_is_no_end(at_work: Project) -> None:
    at_work.plugin("slow", "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(1)")
    with at_work.start("run") as engine:
        engine.wait_for((at_work.folder / "importing").exists)
        engine.signal(signal.SIGHUP)
        engine.wait_line("reloaded")
        assert engine.terminate() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_engines_process_loads_nothing_of_config_and_leaves_no_process(at_work: Project) -> None:
    with at_work.engine() as engine:
        engine.wait_line("✓ tick")
        maps = Path(f"/proc/{engine.pid}/maps").read_text()
        family = children_of(engine.pid)
        assert family
        assert engine.terminate() == 0
    for library in ("pydantic_core", "yaml/_yaml"):
        assert library not in maps
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


def test_an_invalid_configuration_is_told_in_full_and_nothing_starts(at_work: Project) -> None:
    at_work.write("jobs.yaml", JOBS.replace("every: 1 seconds", "evry: 1 seconds").replace("work.greet", "work.gret"))
    result = at_work.cli("run")
    assert result.code == 2
    assert "did you mean" in result.err
    assert "evry" in result.err
    assert "Traceback" not in result.err
    assert at_work.cli("run", "--once", "tick").code == 2
    assert not at_work.database.parent.exists()


def test_a_broken_plugin_takes_only_its_own_jobs_with_it(at_work: Project) -> None:
    at_work.plugin("broken", "import nothing_of_the_kind")
    at_work.write("jobs.yaml", JOBS + "  lost: {call: broken.go, every: 1 seconds}\n")
    with at_work.engine() as engine:
        engine.wait_line("✓ tick")
        assert engine.terminate() == 0
    assert "nothing_of_the_kind" in "\n".join(engine.error_lines)
    assert any("1 unusable" in line for line in engine.lines)


def test_without_a_jobs_file_the_next_step_is_named(project: Project) -> None:
    result = project.cli("run")
    assert result.code == 2
    assert "orchestrator init" in result.err
    assert not project.database.exists()


def test_a_stop_before_the_engine_has_started_is_graceful_too(at_work: Project) -> None:
    at_work.plugin("slow", "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(15)")
    with at_work.start("run") as engine:
        engine.wait_for((at_work.folder / "importing").exists)
        assert engine.terminate(deadline=10) == 0


def test_output_that_nobody_reads_does_not_stop_the_jobs(at_work: Project) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-P", "-m", "orchestrator", "run"]
    with subprocess.Popen(command, cwd=at_work.folder, stdout=writing, stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        engine = Running(("run",), process)
        engine.wait_for(lambda: len(at_work.runs(job="tick", state="succeeded")) > 1)
        assert engine.terminate() == 0


class TestOnce:
    def test_its_output_and_outcome_are_the_commands_own(self, at_work: Project) -> None:
        environment = {"TZ": "Asia/Kathmandu"}
        result = at_work.cli("run", "--once", "greet", "--param", "name=Ann", environment=environment).ok()
        assert [line.split("  ", 1)[1] for line in result.lines] == ["stdout   hello Ann"]
        assert "✓ greet" in result.err
        # Both in the timezone of jobs.yaml, wherever this machine is.
        clocks = [datetime.strptime(text[:8] + "+0000", "%H:%M:%S%z") for text in (result.lines[0], result.err)]
        assert abs(clocks[0] - clocks[1]) < timedelta(minutes=1)
        run = at_work.show(at_work.runs()[0]["id"])["run"]
        assert (run["cause"], run["result"]) == ("manual", {"greeted": "Ann"})

    def test_a_failure_uses_its_attempts_and_exits_1(self, at_work: Project) -> None:
        result = at_work.cli("run", "--once", "fail")
        assert result.code == 1
        assert result.out.count("about to fail") == 2
        assert "no good" in result.err
        assert "Traceback" not in result.err

    def test_wrong_parameters_create_no_run(self, at_work: Project) -> None:
        result = at_work.cli("run", "--once", "greet", "--param", "nam=Ann")
        assert result.code == 2
        assert "did you mean 'name'" in result.err
        assert at_work.runs() == []

    def test_an_unknown_job_is_refused_with_close_names(self, at_work: Project) -> None:
        result = at_work.cli("run", "--once", "gret")
        assert result.code == 2
        assert "did you mean greet?" in result.err

    def test_interrupted_it_gives_the_run_back(self, at_work: Project) -> None:
        with at_work.start("run", "--once", "wait") as foreground:
            foreground.wait_line("waiting")
            foreground.signal(signal.SIGINT)
            assert foreground.wait() == 130
        assert at_work.runs()[0]["state"] in ("queued", "scheduled")
