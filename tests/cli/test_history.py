"""`runs`, `show`, `logs`, `retry` and `cancel`: what a person asks about what has happened. No engine runs here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  greet: {call: work.greet, params: {name: world}, description: "A greeting, with a [bold]bracket"}
  fail: {call: work.fail, retry: {max_attempts: 2, delay: 10ms, jitter: none}}
"""
WORK = """\
from orchestrator import Context, job

@job
def greet(name: str, context: Context):
    context.log.warning("careful")
    context.progress(3, 4)
    print("hello", name)
    return {"greeted": name}

@job
def fail():
    raise ValueError("no good")
"""
GREETED, FAILED = "1", "2"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two runs: one succeeded, one failed after two attempts."""
    project = Project(tmp_path_factory.mktemp("past"))
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    project.cli("run", "--once", "greet").ok()
    assert project.cli("run", "--once", "fail").code == 1
    return project


def test_runs_are_listed_newest_first_with_the_reason_of_a_failure(past: Project) -> None:
    heading, newest, oldest = past.cli("runs").ok().lines
    assert heading.split() == ["RUN", "JOB", "STATE", "CAUSE", "WHEN", "TOOK", "ATTEMPTS", "REASON"]
    assert newest.split()[:4] == [FAILED, "fail", "failed", "manual"]
    assert newest.endswith("ValueError: no good (attempt 2 of 2)")
    assert oldest.split()[:4] == [GREETED, "greet", "succeeded", "manual"]


def test_runs_can_be_narrowed_down(past: Project) -> None:
    def ids(*options: str) -> list[int]:
        listed = CliRunner().invoke(app, ["runs", "--json", "--db", str(past.database), *options])
        return [run["id"] for run in json.loads(listed.stdout)]

    assert ids() == [2, 1]
    assert ids("--job", "greet") == [1]
    assert ids("--state", "failed", "--state", "cancelled") == [2]
    assert ids("--since", "1h", "-n", "1") == [2]
    assert ids("--until", "1h") == []
    assert past.cli("runs", "--until", "1h").ok().out == "no such runs\n"


def test_show_tells_all_about_a_failure(past: Project) -> None:
    shown = past.cli("show", FAILED).ok().out
    for fact in ("job", "fail", "attempt 2 of 2", "ATTEMPT", "Traceback", "plugins/work.py", "ValueError: no good"):
        assert fact in shown


def test_show_tells_all_about_a_success(past: Project) -> None:
    shown = past.cli("show", GREETED).ok()
    for fact in ('{"name":"world"}', '{"greeted":"world"}', "hello world", "WARNING  careful"):
        assert fact in shown.out
    report = past.show(int(GREETED))
    assert report["run"]["result"] == {"greeted": "world"}
    assert [attempt["outcome"] for attempt in report["attempts"]] == ["succeeded"]
    assert [line["text"] for line in report["logs"]] == ["careful", "hello world\n"]


def test_logs_print_a_finished_run_with_and_without_following(past: Project) -> None:
    plain = past.cli("logs", GREETED).ok().out
    assert "stdout   hello world" in plain
    assert past.cli("logs", GREETED, "--follow").ok().out == plain
    assert [line["text"] for line in past.cli("logs", GREETED, "--json").ok().json] == ["careful", "hello world\n"]


def test_a_run_that_does_not_exist_is_one_line_and_exit_2(past: Project) -> None:
    result = past.cli("show", "99")
    assert (result.code, result.out) == (2, "")
    assert result.err == "error: there is no run 99; `orchestrator runs` lists them\n"


def test_a_finished_run_can_be_retried_and_then_cancelled_but_each_only_once(past: Project) -> None:
    assert "no engine is running" in past.cli("retry", FAILED).ok().out
    assert past.runs(job="fail")[0]["state"] == "queued"
    assert past.cli("retry", FAILED).code == 1
    assert past.cli("cancel", FAILED).ok().out == "run 2 is cancelled\n"
    refused = past.cli("cancel", FAILED)
    assert refused.code == 1
    assert "nothing to cancel" in refused.err


def test_jobs_show_how_the_last_run_ended_and_names_as_they_are(past: Project) -> None:
    row = past.cli("jobs").ok().lines[1]
    assert "A greeting, with a [bold]bracket" in row
    assert "succeeded" in row
    assert "by trigger only" in row


def test_history_needs_no_configuration(past: Project, tmp_path: Path) -> None:
    elsewhere = Project(tmp_path)
    assert GREETED in elsewhere.cli("runs", "--db", str(past.database)).ok().out
    assert GREETED in elsewhere.cli("--db", f"sqlite:///{past.database}", "runs").ok().out
    assert GREETED in elsewhere.cli("runs", environment={"ORCHESTRATOR_DB": str(past.database)}).ok().out
    assert GREETED in elsewhere.cli("runs", "--config", str(past.folder)).ok().out


def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    elsewhere = Project(tmp_path)
    result = elsewhere.cli("runs")
    assert result.code == 3
    assert "orchestrator run" in result.err
    assert not elsewhere.database.parent.exists()


def test_an_unreadable_time_is_a_mistake_with_a_hint(past: Project) -> None:
    result = past.cli("runs", "--since", "yesterday")
    assert result.code == 2
    assert result.err.startswith("error: 'yesterday' is not a time\nhint:  write it like")


def test_a_reader_that_goes_away_ends_the_command_quietly(past: Project) -> None:
    command = f"{sys.executable} -P -m orchestrator show {FAILED} | true"
    done = subprocess.run(
        ["sh", "-c", command], cwd=past.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""


def test_nothing_needs_a_terminal_that_knows_unicode(past: Project) -> None:
    past.cli("runs", environment={"PYTHONIOENCODING": "ascii"}).ok()
    assert past.cli("jobs", environment={"PYTHONIOENCODING": "ascii"}).ok().out.isascii()


CHAIN = """\
version: 1
plugins: [plugins]
jobs:
  fail: {call: work.fail}
  tidy: {call: work.fail, after: {job: fail, on: end}}
  cheer: {call: work.fail, after: {job: fail, on: success}}
"""


def test_what_follows_any_end_follows_a_cancelled_run_that_had_not_started(project: Project) -> None:
    project.write("jobs.yaml", CHAIN)
    project.plugin("work", WORK)
    run_id = project.cli("trigger", "fail", "--json").ok().json["id"]
    assert project.cli("cancel", str(run_id)).ok().err == ""
    assert [(run["job"], run["state"]) for run in project.runs()] == [("tidy", "queued"), ("fail", "cancelled")]


def test_a_run_can_be_cancelled_whatever_the_configuration_is_like(project: Project) -> None:
    project.write("jobs.yaml", CHAIN)
    project.plugin("work", WORK)
    run_id = project.cli("trigger", "fail", "--json").ok().json["id"]
    project.write("jobs.yaml", "jobs: [")
    cancelled = project.cli("cancel", str(run_id)).ok()
    assert "nothing follows" in cancelled.err
    assert [run["state"] for run in project.runs()] == ["cancelled"]
