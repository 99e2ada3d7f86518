"""However a command's attempt ends, by a timeout, a person, or a death of worker or engine: nothing of it is left."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builtins.conftest import needs_proc
from tests.faults.processes import eventually, family, nobody_left, workers
from tests.project import Project

pytestmark = needs_proc
JOBS = """\
version: 1
workers: {processes: 1}
jobs:
  family:
    call: shell
    timeout: {timeout}
    grace: 1s
    retry: {{max_attempts: 2, delay: 0s}}
    params:
      command: |
        {deaf}
        sleep 6001 &
        setsid sleep 6002 &
        setsid sh -c '{deaf} setsid sleep 6003 & sleep 6004' &
        env -i sleep 6005 &
        echo began >> began
        sleep 6006
"""


def project_with(project: Project, *, timeout: str = "5m", deaf: bool = False) -> Project:
    text = JOBS.replace("{processes: 1}", "{{processes: 1}}")
    project.write("jobs.yaml", text.format(timeout=timeout, deaf="trap '' TERM;" if deaf else ""))
    return project


def sleepers(mark: str) -> list[str]:
    """What the command is at; `env -i` leaves no mark, so that one is found by its parent while that lives."""
    return [command for command in family(mark).values() if command.startswith("sleep 600")]


def unmarked() -> list[int]:
    """Processes that have lost their mark."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and (folder / "cmdline").read_bytes() == b"sleep\x006005\x00":
                found.append(int(folder.name))
    return found


def all_gone(mark: str) -> bool:
    eventually(lambda: not sleepers(mark) and not unmarked())
    return True


def started(project: Project) -> bool:
    return len(sleepers_of(project)) == 5 and len(unmarked()) == 1


def sleepers_of(project: Project) -> list[str]:
    return sleepers(project.environment["FAULTS_FAMILY"])


@pytest.mark.parametrize("deaf", [False, True])
def test_a_timeout_ends_the_whole_family(project: Project, mark: str, deaf: bool) -> None:
    project_with(project, timeout="3s", deaf=deaf)
    with project.engine() as engine:
        project.cli("trigger", "family").ok()
        engine.wait_for(lambda: project.runs(job="family", state="failed"))
        assert all_gone(mark)
        shown = project.show(project.runs(job="family")[0]["id"])
        assert [attempt["outcome"] for attempt in shown["attempts"]] == ["timed_out"] * 2
    assert nobody_left(mark)


def test_a_cancelled_command_ends_with_its_family(project: Project, mark: str) -> None:
    project_with(project)
    with project.engine() as engine:
        project.cli("trigger", "family").ok()
        engine.wait_for(lambda: started(project))
        project.cli("cancel", str(project.runs()[0]["id"])).ok()
        engine.wait_for(lambda: project.runs(state="cancelled"))
        assert all_gone(mark)


def test_a_killed_worker_takes_the_command_with_it(project: Project, mark: str) -> None:
    project_with(project)
    with project.engine() as engine:
        project.cli("trigger", "family").ok()
        engine.wait_for(lambda: started(project))
        before = set(family(mark))
        for pid in workers(mark):
            os.kill(pid, signal.SIGKILL)
        engine.wait_for(lambda: project.read("began") == "began\nbegan\n" and started(project))
        assert not {pid for pid in before & set(family(mark)) if family(mark).get(pid, "").startswith("sleep")}
        project.cli("cancel", str(project.runs()[0]["id"])).ok()
        engine.wait_for(lambda: project.runs(state="cancelled"))
    assert nobody_left(mark)
    assert all_gone(mark)


def test_a_killed_engine_takes_the_command_with_it(project: Project, mark: str) -> None:
    project_with(project)
    with project.engine() as engine:
        project.cli("trigger", "family").ok()
        engine.wait_for(lambda: started(project))
        engine.kill()
    assert nobody_left(mark)
    assert all_gone(mark)


def test_output_is_in_the_log_while_it_runs_line_by_line(project: Project, mark: str) -> None:
    project.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          talk:
            call: shell
            retry: {max_attempts: 1}
            params: {command: "echo one; echo two >&2; while ! [ -e go ]; do sleep 0.05; done; exit 3"}
        """,
    )
    with project.engine() as engine:
        project.cli("trigger", "talk").ok()
        lines = engine.wait_for(lambda: [*runs_log(project)] if len(runs_log(project)) == 2 else [])
        assert sorted((line["stream"], line["text"].strip()) for line in lines) == [
            ("stderr", "two"),
            ("stdout", "one"),
        ]
        project.write("go", "")
        engine.wait_for(lambda: project.runs(state="failed"))
        assert project.runs()[0]["reason"].startswith("orchestrator.builtins.shell.CommandFailed: exit status 3: two")


def test_a_flood_ends_at_the_log_limit_and_the_command_goes_on(project: Project) -> None:
    project.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          flood: {call: shell, log_limit: 100KiB, params: {command: "yes | head -c 5000000; echo end", keep: 4B}}
        """,
    )
    assert project.cli("run", "--once", "flood").code == 0
    shown = project.show(project.runs()[0]["id"])
    assert shown["run"]["result"] == {"code": 0, "stdout": "end\n"}
    assert sum(len(line["text"]) for line in shown["logs"] if line["stream"] == "stdout") == 100 * 1024
    assert "log limit of 100KiB reached" in shown["logs"][-1]["text"]


def runs_log(project: Project) -> list[dict[str, str]]:
    runs = project.runs()
    return project.show(runs[0]["id"])["logs"] if runs else []
