"""`result`, and what other commands say of large results and do about their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.result_files import beside
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
defaults: {retry: false}
jobs:
  small: {call: work.small}
  none: {call: work.none}
  large: {call: work.large}
  ill: {call: work.ill}
"""
WORK = """\
def small(): return {"a": [1, "ä"]}
def none(): pass
def large(): return ["x" * 1000] * 1000
def ill(): raise ValueError("ill")
"""
LARGE = ["x" * 1000] * 1000


@pytest.fixture
def worked(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def once(project: Project, job: str) -> int:
    project.cli("run", "--once", job)
    return int(project.runs(job=job)[0]["id"])


def file_of(project: Project, run_id: int) -> Path:
    return beside(project.database) / f"{run_id}-1.json"


def results_finding(project: Project, *arguments: str) -> tuple[int, dict[str, Any]]:
    asked = project.cli("doctor", "--json", *arguments)
    return asked.code, next(finding for finding in asked.json if finding["check"] == "results")


def test_it_prints_what_a_run_gave_and_says_why_there_is_nothing(worked: Project) -> None:
    small, none, large, ill = (once(worked, job) for job in ("small", "none", "large", "ill"))
    assert worked.cli("result", str(small)).ok().out == '{"a":[1,"ä"]}\n'
    assert worked.cli("result", str(none)).ok().out == "null\n"
    assert json.loads(worked.cli("result", str(large)).ok().out) == LARGE
    failed = worked.cli("result", str(ill))
    assert (failed.code, "has no result, it is failed: ValueError: ill" in failed.err) == (1, True)
    assert worked.cli("result", "999").code == 2
    file_of(worked, large).unlink()
    lost = worked.cli("result", str(large))
    assert (lost.code, lost.out, "Traceback" in lost.err) == (1, "", False)
    assert f"the result of run {large} is lost: its file {file_of(worked, large)} is missing" in lost.err
    # Whoever only looks at the run is not kept from it.
    assert f"{large}-1.json" in worked.cli("show", str(large)).ok().out


def test_doctor_misses_files(worked: Project) -> None:
    small = once(worked, "small")
    assert "none is so large" in results_finding(worked)[1]["what"]
    first, second = once(worked, "large"), once(worked, "large")
    assert results_finding(worked)[1]["what"].startswith("2 in files, 1.9 MiB")
    path = file_of(worked, first)
    path.write_bytes(path.read_bytes().replace(b"x", b"y", 1))
    assert results_finding(worked)[0] == 0
    code, found = results_finding(worked, "--full")
    assert (code, found["verdict"], "backup" in found["mend"]) == (1, "fail", True)
    assert f"run {first} is lost" in found["what"]
    path.unlink()
    file_of(worked, second).write_bytes(b"[]")
    code, found = results_finding(worked)
    assert (code, "is missing (and 1 more)" in found["what"], small > 0) == (1, True, True)


def test_a_backup_is_a_state_with_its_large_results(worked: Project) -> None:
    large = once(worked, "large")
    told = worked.cli("backup", "copy.db").ok().out
    assert "1 large results are copied to copy.db.results" in told
    assert json.loads(worked.cli("result", str(large), "--db", "copy.db").ok().out) == LARGE
    file_of(worked, large).unlink()
    again = worked.cli("backup", "copy.db", "--force").ok()
    assert f"warning: the result of run {large} is lost" in again.err
    assert not beside(worked.folder / "copy.db").exists()


def test_an_obliterated_queue_leaves_no_files(worked: Project) -> None:
    large = once(worked, "large")
    assert file_of(worked, large).exists()
    worked.cli("queue", "obliterate", "default", "--yes").ok()
    assert worked.runs() == []
    assert list(beside(worked.database).iterdir()) == []
