"""`dead`: what failed for good is listed, retried, dropped."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import dead as command
from orchestrator.core.errors import ConflictError
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
defaults: {retry: {max_attempts: 1}}
jobs:
  fail: {call: work.go}
  other: {call: work.go}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs 1 to 3, all of them dead letters: two of `fail`, one of `other`."""
    project = Project(tmp_path_factory.mktemp("dead"))
    project.write("jobs.yaml", JOBS)
    project.plugin(
        "work", "import pathlib\ndef go():\n    if not pathlib.Path('well').exists(): raise ValueError('bad')"
    )
    for job in ("fail", "fail", "other"):
        assert project.cli("run", "--once", job).code == 1
    return project.folder


@pytest.fixture
def failed(template: Path, project: Project) -> Project:
    """A copy of it, to do with as one likes."""
    shutil.copytree(template, project.folder, dirs_exist_ok=True)
    return project


def states(project: Project) -> list[str]:
    return [run["state"] for run in reversed(project.runs())]


def test_they_are_listed_newest_first(failed: Project) -> None:
    listed = failed.cli("dead", "list").ok()
    assert [line.split()[:2] for line in listed.lines[1:]] == [["3", "other"], ["2", "fail"], ["1", "fail"]]
    assert "bad" in listed.out
    found = failed.cli("dead", "list", "--job", "fail", "-n", "1", "--json").ok().json
    assert [run["id"] for run in found] == [2]
    elsewhere = failed.cli("--db", str(failed.database), "dead", "list", "--json", folder="plugins").ok().json
    assert [run["id"] for run in elsewhere] == [3, 2, 1]


def test_retried_ones_run_again_at_once(failed: Project) -> None:
    failed.write("well", "")
    with failed.engine() as engine:
        said = failed.cli("dead", "retry", "--job", "fail").ok().out
        engine.wait_for(lambda: states(failed) == ["succeeded", "succeeded", "failed"], deadline=10)
        assert engine.terminate() == 0
    assert said == "2 dead letters queued again\n"
    assert "no engine is running" in failed.cli("dead", "retry", "3").ok().out
    assert failed.cli("dead", "list").ok().out == "no dead letters\n"


def test_of_several_numbers_all_are_dead_letters_or_nothing_happens(failed: Project) -> None:
    result = failed.cli("dead", "drop", "1", "99")
    assert result.code == 1
    assert "run 99 is no dead letter" in result.err
    assert states(failed) == ["failed"] * 3
    assert failed.cli("dead", "drop", "1", "3", "1").ok().out == "2 dead letters dropped\n"
    assert [run["id"] for run in failed.runs()] == [2]


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["--job", "fail", "--all"]])
def test_which_ones_is_said_in_exactly_one_way(failed: Project, arguments: list[str]) -> None:
    result = failed.cli("dead", "drop", *arguments)
    assert result.code == 2
    assert "--all" in result.err
    assert states(failed) == ["failed"] * 3


def test_a_job_without_dead_letters_is_answered_with_what_comes_close(failed: Project) -> None:
    result = failed.cli("dead", "retry", "--job", "fial")
    assert result.code == 2
    assert "did you mean fail?" in result.err


@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("y", 0)])
def test_on_a_terminal_dropping_is_confirmed(failed: Project, answer: str, left: int) -> None:
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-P", "-m", "orchestrator", "dead", "drop", "--all"]
    with subprocess.Popen(arguments, cwd=failed.folder, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.write(ours, f"{answer}\n".encode())
        process.wait(30)
    os.close(theirs)
    os.close(ours)
    assert len(failed.runs()) == left
    assert failed.cli("dead", "drop", "--all", "--yes").ok().out.startswith(str(left))


def test_one_that_somebody_else_took_meanwhile_is_left_out() -> None:
    taken: list[int] = []

    def work(ids: object) -> None:
        assert isinstance(ids, list)
        if 7 in ids:
            raise ConflictError("run 7 is no dead letter")
        taken.extend(ids)

    wanted = list(range(command.AT_ONCE + 10))
    assert command._each(wanted, named=False, work=work) == len(wanted) - 1
    assert sorted(taken) == [number for number in wanted if number != 7]
