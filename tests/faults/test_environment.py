"""Odd surroundings: no home, strange timezones and locales, closed streams, long paths, few descriptors, process 1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import instances, wake
from tests.faults.processes import children, nobody_left
from tests.faults.storing import ask, enqueue
from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: 20s
defaults: {timeout: 60s, overlap: allow}
jobs:
  tick: {call: work.tick, cron: EVERY_SECOND}
  orphan: {call: work.orphan}
"""
WORK = """\
import os, subprocess, sys

def tick():
    print("tick ✓")

def orphan():
    subprocess.run([sys.executable, "-c", "import os; os.fork() and os._exit(0); os.setsid(); os._exit(0)"])
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
"""
RUN = [sys.executable, "-P", "-m", "orchestrator", "run"]


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def ticks(project: Project, engine: Running) -> None:
    """Wait until the engine has executed something since now."""
    newest = max((run["id"] for run in project.runs()), default=0)
    engine.wait_for(lambda: any(run["id"] > newest for run in project.runs(job="tick", state="succeeded")))


@contextmanager
def launched(project: Project, command: list[str], **more: Any) -> Iterator[Running]:
    """A command of any kind in the project's folder; whatever happens, it has ended afterwards."""
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env={**os.environ, **project.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **more,
    )
    with Running(tuple(command), process) as running:
        yield running


SURROUNDINGS: dict[str, dict[str, str]] = {
    "nothing is where it should be": {
        "HOME": "",
        "PATH": "",
        "TERM": "",
        "USER": "",
        "XDG_RUNTIME_DIR": "/nowhere",
        "TMPDIR": "/nowhere",
        "TZ": "Nowhere/Atlantis",
    },
    "the C locale, a timezone that is a path, asserts left out": {
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONOPTIMIZE": "2",
        "TZ": ":/etc/passwd",
    },
    "warnings are errors, and a timezone with odd rules": {
        "PYTHONWARNINGS": "error",
        "TZ": "XXX-25:30:30YYY,J60/0,J300",
    },
    "a tiny terminal and no timezone": {"COLUMNS": "1", "LINES": "1", "FORCE_COLOR": "1", "TZ": ""},
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_the_engine_works_whatever_the_environment(at_work: Project, mark: str, name: str) -> None:
    at_work.environment.update(SURROUNDINGS[name])
    with at_work.start("run") as engine:
        ticks(at_work, engine)
        assert engine.terminate() == 0
    assert engine.error_lines == []
    assert nobody_left(mark)


def test_the_reader_of_its_output_may_leave_at_any_time(at_work: Project, mark: str) -> None:
    script = f"({' '.join(RUN)}) 2>errors | head -1"
    with launched(at_work, ["sh", "-c", script], process_group=0) as pipeline:
        pipeline.wait_line("orchestrator")
        ticks(at_work, pipeline)
        ticks(at_work, pipeline)
        os.killpg(pipeline.pid, signal.SIGTERM)
        pipeline.wait()
    assert nobody_left(mark)
    assert at_work.read("errors") == ""


@pytest.mark.parametrize(
    "redirection",
    [
        ">/dev/full 2>/dev/full",
        ">&-",
        "<&- >&- 2>&-",
    ],
)
def test_streams_that_are_closed_or_full_stop_no_job(at_work: Project, mark: str, redirection: str) -> None:
    with launched(at_work, ["sh", "-c", f"exec {' '.join(RUN)} {redirection}"]) as engine:
        ticks(at_work, engine)
        assert engine.terminate() == 0
    assert nobody_left(mark)


def test_a_listing_to_a_full_disk_says_so_without_a_traceback(at_work: Project, mark: str) -> None:
    at_work.cli("pause", "tick").ok()
    with launched(at_work, ["sh", "-c", f"exec {' '.join(RUN[:-1])} jobs >/dev/full"]) as listing:
        assert listing.wait() == 1
    assert "No space left" in "".join(listing.error_lines)
    assert "Traceback" not in "".join(listing.error_lines)


def test_jobs_file_and_plugins_may_go_while_it_runs(at_work: Project, mark: str) -> None:
    with at_work.engine() as engine:
        ticks(at_work, engine)
        (at_work.folder / "jobs.yaml").unlink()
        (at_work.folder / "plugins" / "work.py").unlink()
        ticks(at_work, engine)
        ticks(at_work, engine)
        assert at_work.cli("runs").ok()
        assert at_work.cli("trigger", "tick").code == 2
        assert engine.terminate() == 0


@pytest.mark.parametrize(
    "name",
    [
        "x" * 200,
        "a b  c #1 50%20off what?&x=1 ünï✓ 'q' \"q\" {{ 7*7 }} -",
    ],
)
def test_folders_of_any_name_hold_a_project(tmp_path: Path, mark: str, project: Project, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    odd = Project(folder)
    odd.environment = project.environment
    odd.write("jobs.yaml", JOBS)
    odd.plugin("work", WORK)
    done = odd.cli("run", "--once", "tick")
    assert done.code == 0, repr(done)
    assert odd.database.exists()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name not in (name, "project")] == []


@pytest.mark.parametrize("temporary", ["t", "t" * 100])
def test_a_socket_whose_path_would_be_too_long_lies_elsewhere(
    tmp_path: Path, mark: str, project: Project, temporary: str
) -> None:
    """Unix sockets have names of about a hundred bytes; folders have not."""
    deep = Project(tmp_path / ("d" * 120))
    deep.folder.mkdir()
    (tmp_path / temporary).mkdir()
    deep.environment = {**project.environment, "TMPDIR": str(tmp_path / temporary)}
    deep.write("jobs.yaml", JOBS)
    deep.plugin("work", WORK)
    with deep.engine() as engine:
        (instance,) = ask(deep, instances.living)
        assert Path(instance.wake_path).is_socket()
        assert wake.is_listening(instance.wake_path)
        assert engine.terminate() == 0
    assert not Path(instance.wake_path).exists()


def test_few_descriptors_are_enough(at_work: Project, mark: str) -> None:
    with launched(at_work, ["sh", "-c", f"ulimit -n 64; exec {' '.join(RUN)}"]) as engine:
        ticks(at_work, engine)
        assert engine.terminate() == 0
    assert engine.error_lines == []


def test_as_process_1_of_a_container_it_stops_gracefully(at_work: Project, mark: str) -> None:
    """Nobody ignores signals for it there, and orphans become its children."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a process namespace")
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *RUN]
    with launched(at_work, command) as container:
        ticks(at_work, container)
        (engine,) = children(container.pid)
        enqueue(at_work, *["orphan"] * 5)
        container.wait_for(lambda: len(at_work.runs(job="orphan", state="succeeded")) == 5)
        os.kill(engine, signal.SIGTERM)
        assert container.wait() == 0
    assert container.error_lines == []


def test_ten_thousand_jobs_start(project: Project, mark: str) -> None:
    project.plugin("work", WORK)
    jobs = "".join(f"  job-{number}: {{call: work.tick, cron: '0 3 1 1 *'}}\n" for number in range(10_000))
    project.write(
        "jobs.yaml", f"version: 1\nplugins: [plugins]\njobs:\n  tick: {{call: work.tick, cron: '* * * * * *'}}\n{jobs}"
    )
    with project.engine() as engine:
        ticks(project, engine)
        assert engine.terminate() == 0
    assert nobody_left(mark)
