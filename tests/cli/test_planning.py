"""The compiling child: its answer, and what becomes of its death."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from orchestrator.client import planning
from orchestrator.client.compile import load_project
from orchestrator.client.planning import Compilation, compile_again
from orchestrator.core.errors import ConfigError
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
defaults: {timeout: 90s}
jobs:
  one: {call: work.go, params: {n: 1}, cron: "0 9 * * 1", retry: {delay: 1h}}
  two: {call: work.go, every: 5 to 10 minutes, after: one, timeout: 1h30m}
"""


@pytest.fixture
def config(project: Project) -> Path:
    project.plugin("work", "def go(n: int = 0): pass")
    return project.write("jobs.yaml", JOBS)


def test_the_child_gives_what_this_process_would_have_found(config: Path) -> None:
    here = load_project(config)
    with Compilation(config) as compilation:
        assert compilation.result() == here
    assert asyncio.run(compile_again(config)) == here


def test_without_looking_at_plugins_the_jobs_are_known_all_the_same(config: Path, project: Project) -> None:
    project.plugin("work", "1/0")
    compiled = load_project(config, inspect=False)
    assert compiled.plan is not None
    assert list(compiled.plan.jobs) == ["one", "two"]


def test_a_child_that_dies_is_a_configuration_error(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_command", lambda _: ["sh", "-c", "kill -9 $$"])
    with Compilation(config) as compilation, pytest.raises(ConfigError, match="signal 9"):
        compilation.result()
    with pytest.raises(ConfigError, match="signal 9"):
        asyncio.run(compile_again(config))


def test_leaving_early_ends_the_child_and_all_that_it_started(config: Path, project: Project) -> None:
    project.plugin("slow", "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)")
    with project.start("jobs") as listing:
        pid = int(listing.wait_for(lambda: project.read("pid")))
        listing.signal(signal.SIGINT)
        assert listing.wait() == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_killed_command_takes_the_reading_of_plugins_along(config: Path, project: Project, command: str) -> None:
    """Even a reader that is busy, and what it has started itself."""
    project.plugin(
        "slow",
        """\
        import os, pathlib, subprocess
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path("pids").write_text(f"{os.getpid()} {os.getppid()} {child.pid}\\n")
        while True:
            pass
    """,
    )
    with project.start(command) as reading:
        pids = reading.wait_for(lambda: project.read("pids").endswith("\n") and project.read("pids").split())
        reading.kill()
    deadline = time.monotonic() + 10  # far less than what an import may take
    while (left := [pid for pid in pids if _runs(int(pid))]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def _runs(pid: int) -> bool:
    """Whether a process is there and isn't merely waiting for its end to be noticed."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    except ProcessLookupError:
        return False
