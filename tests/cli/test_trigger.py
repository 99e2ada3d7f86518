"""`orchestrator trigger`: work by hand, with and without an engine to do it."""

from __future__ import annotations

import pytest

from orchestrator.cli.errors import CommandError
from orchestrator.cli.params import parse_params
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  greet: {call: work.greet, params: {name: world}}
  fail: {call: work.fail, retry: {max_attempts: 1}}
  wait: {call: work.wait, grace: 100ms}
"""
WORK = """\
import time
from orchestrator import job

@job
def greet(name: str, times: int = 1):
    print("hello", name * times)

@job
def fail():
    raise ValueError("no good")

@job
def wait():
    print("waiting", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def handy(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def test_with_an_engine_its_output_and_outcome_come_back(handy: Project) -> None:
    with handy.engine():
        greeted = handy.cli("trigger", "greet", "-p", "name=Ann", "-p", "times=2", "--wait").ok()
        assert "stdout   hello AnnAnn" in greeted.out
        assert greeted.err == ""
        failed = handy.cli("trigger", "fail", "--wait")
        assert failed.code == 1
        assert "ValueError: no good" in failed.lines[-1]


def test_a_run_can_be_followed_and_cancelled_from_elsewhere(handy: Project) -> None:
    with handy.engine(), handy.start("trigger", "wait", "--wait") as waiting:
        waiting.wait_line("waiting")
        run_id = str(handy.runs()[0]["id"])
        with handy.start("logs", run_id, "-f") as following:
            following.wait_line("waiting")
            assert "asked to stop" in handy.cli("cancel", run_id).ok().out
            assert following.wait() == 0
        assert waiting.wait() == 1
        assert "cancelled" in waiting.lines[-1]


def test_without_an_engine_the_run_is_kept_and_the_person_told(handy: Project) -> None:
    result = handy.cli("trigger", "greet").ok()
    assert result.out == "run 1 of greet is queued\n"
    assert "no engine is running" in result.err
    assert [(run["state"], run["cause"]) for run in handy.runs()] == [("queued", "manual")]


def test_parameters_the_callable_refuses_create_no_run_unless_told_not_to_check(handy: Project) -> None:
    refused = handy.cli("trigger", "greet", "--param", "times=many", "--param", "nmae=Ann")
    assert refused.code == 2
    assert "times" in refused.err
    assert "nmae" in refused.err
    assert handy.runs() == []
    created = handy.cli("trigger", "greet", "--param", "times=many", "--no-check", "--json").ok().json
    assert created["params"] == {"name": "world", "times": "many"}


def test_a_job_whose_plugin_is_broken_is_refused(handy: Project) -> None:
    handy.plugin("work", "import nothing_of_the_kind")
    result = handy.cli("trigger", "greet")
    assert result.code == 2
    assert "Traceback" not in result.err
    assert handy.runs() == []


def test_parameters_are_yaml_scalars_or_json() -> None:
    pairs = [
        "a=1",
        "b=1.5",
        "c=true",
        "d=",
        "e=text with = in it",
        'f="7"',
        "g=[1, 2]",
        'h={"k": null}',
        "i=no",
        "j=500MiB",
    ]
    assert parse_params(pairs) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "text with = in it", "f": "7", "g": [1, 2], "h": {"k": None},
        "i": "no", "j": "500MiB",
    }  # fmt: skip


@pytest.mark.parametrize("pairs", [["novalue"], ["=1"], ["a=1", "a=2"], ["a=[1"], ["a=.inf"]])
def test_parameters_that_cannot_be_read_are_refused(pairs: list[str]) -> None:
    with pytest.raises(CommandError):
        parse_params(pairs)
