"""`orchestrator events`: what happened lately, and what happens."""

from __future__ import annotations

import json

import pytest

from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  good: {call: work.good}
  bad: {call: work.bad, retry: {max_attempts: 2, delay: 0s}}
"""
WORK = """\
from orchestrator import Context

def good(context: Context):
    context.progress(1, 2)

def bad():
    raise ValueError("no good")
"""


@pytest.fixture
def busy(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def test_what_happened_lately_and_where_to_go_on(busy: Project) -> None:
    with busy.engine():
        busy.cli("trigger", "good", "--wait").ok()
        busy.cli("trigger", "bad", "--wait")
    lines = busy.cli("events", "--resume", "position").ok().lines
    assert [line.split("  ")[1].strip() for line in lines] == [
        *("created", "started", "progress", "succeeded"),
        *("created", "started", "retrying", "started", "failed"),
    ]
    assert "run 1 of good, attempt 1, 1 of 2 (50%)" in lines[2]
    assert "ValueError: no good" in lines[-1]
    assert busy.cli("events", "--resume", "position").ok().lines == []
    busy.cli("trigger", "good").ok()
    (one,) = busy.cli("events", "--resume", "position", "--json").ok().lines
    assert (json.loads(one)["what"], json.loads(one)["run_id"]) == ("created", 3)
    assert len(busy.cli("events", "--job", "bad").ok().lines) == 5
    assert len(busy.cli("events", "--since", "2").ok().lines) == 1
    assert len(busy.cli("events", "--since", "1h").ok().lines) == 10
    assert busy.cli("events", "--since", "1", "--resume", "position").code == 2


def test_following_a_run_ends_with_it(busy: Project) -> None:
    busy.cli("trigger", "bad").ok()
    with (
        busy.start("events", "-f", "--run", "1", "--json") as listening,
        busy.start("events", "-f", "--since", "1h") as all_of_them,
    ):
        listening.wait_line("created")
        with busy.engine():
            assert listening.wait() == 0
            all_of_them.wait_line("failed")
    assert [json.loads(line)["what"] for line in listening.lines][-2:] == ["started", "failed"]
