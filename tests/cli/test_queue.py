"""`queue`: looked at, held back, emptied, forgotten; and what is asked of many runs."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core.runs import Cause
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
queues:
  mail: {concurrency: 1, rate_limit: 50/1h, per_key: {by: "{{ params.tenant }}", concurrency: 1}}
jobs:
  send: {call: work.send, queue: mail}
  hold: {call: work.hold, queue: mail}
  fail: {call: work.fail, retry: false}
"""
WORK = """\
import os, time

def send(tenant: str = ""):
    os.write(os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT), f"{tenant}\\n".encode())

def hold():
    while not os.path.exists("release"):
        time.sleep(0.01)

def fail():
    raise ValueError("bad")
"""


@pytest.fixture
def mail(project: Project) -> Project:
    """A project with a queue, and a state database without an engine."""
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    Store(f"sqlite:///{project.database}").close()
    return project


def add(project: Project, *keys: str, job: str = "send", queue: str = "mail", **fields: object) -> list[int]:
    """Runs of a key each; gives their ids."""
    now = datetime.now(UTC)
    common = {"cause": Cause.MANUAL, "created_at": now, "due_at": now, "queue": queue, "job": job, **fields}
    store = Store(f"sqlite:///{project.database}")
    new = [NewRun(**{"group_key": key, "params": {"tenant": key}, **common}) for key in keys]  # type: ignore[arg-type]
    made = store.write(create_runs, new)
    store.close()
    return [one.id for one in made if one.id is not None]


def states(project: Project) -> list[str]:
    return [run["state"] for run in reversed(project.runs())]


def later(minutes: int) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def test_the_list_shows_what_waits_and_what_holds_it_back(mail: Project) -> None:
    add(mail, "a", "a", "b")
    add(mail, "c", due_at=later(9))
    add(mail, "x", queue="old")
    mail.cli("queue", "pause", "mail").ok()
    listed = mail.cli("queue", "list").ok()
    assert [line.split()[:5] for line in listed.lines[1:]] == [
        ["default", "0", "0", "0", "0"],
        ["mail", "0", "3", "1", "0"],
        ["old", "0", "1", "0", "0"],
    ]
    assert "0 of 50/1h" in listed.lines[2]
    assert "paused for" in listed.lines[2]
    assert "not in jobs.yaml" in listed.lines[3]
    found = {one["name"]: one for one in mail.cli("queue", "list", "--json").ok().json}
    assert found["mail"]["runs"] == {"queued": 3, "scheduled": 1}
    assert found["mail"]["rate"] == {"limit": "50/1h", "used": 0, "next_start": None}
    assert found["mail"]["per_key"] == {"by": "{{ params.tenant }}", "concurrency": 1, "rate_limit": None}
    assert found["mail"]["paused_since"]
    assert found["old"]["declared"] is False


def test_one_queue_is_shown_with_its_keys(mail: Project) -> None:
    add(mail, "a", "a", "b")
    shown = mail.cli("queue", "show", "mail").ok()
    assert [line.split() for line in shown.lines[-3:]] == [
        ["KEY", "QUEUED", "RUNNING"],
        ["a", "2", "0"],
        ["b", "1", "0"],
    ]
    assert "50/1h: 0 used" in shown.out
    assert "{{ params.tenant }}, 1 at once" in shown.out
    keys = mail.cli("queue", "show", "mail", "--json").ok().json["keys"]
    assert keys == [{"key": "a", "queued": 2, "running": 0}, {"key": "b", "queued": 1, "running": 0}]


@pytest.mark.parametrize("command", ["show", "pause", "resume", "drain", "obliterate"])
def test_a_queue_that_nobody_knows_is_answered_with_what_comes_close(mail: Project, command: str) -> None:
    result = mail.cli("queue", command, "mial")
    assert result.code == 2
    assert "there is no queue 'mial'" in result.err
    assert "did you mean mail?" in result.err


def test_nothing_of_a_paused_queue_starts_until_it_is_resumed(mail: Project) -> None:
    assert mail.cli("queue", "pause", "mail").ok().out == "queue mail is paused\n"
    assert mail.cli("queue", "pause", "mail").ok().out == "queue mail was paused already\n"
    add(mail, "a", "b")
    (other,) = add(mail, "", job="fail", queue="default")
    with mail.engine() as engine:
        engine.wait_for(lambda: mail.runs(state="failed"))
        mail.cli("trigger", "send").ok()
        assert [run["state"] for run in mail.runs() if run["id"] != other] == ["queued"] * 3
        status = mail.cli("status", "--json").json
        assert list(status["paused_queues"]) == ["mail"]
        assert status["oldest_due"] is None
        assert "paused since" in mail.cli("status", "--quick").out
        assert mail.cli("queue", "resume", "mail").ok().out == "queue mail is resumed\n"
        engine.wait_for(lambda: len(mail.runs(state="succeeded")) == 3)
    assert mail.cli("queue", "resume", "mail").ok().out == "queue mail was not paused\n"


def test_draining_cancels_what_waits_and_with_delayed_what_is_due_later(mail: Project) -> None:
    add(mail, *"abc")
    add(mail, "d", due_at=later(9))
    add(mail, "x", queue="default")
    assert mail.cli("queue", "drain", "mail").ok().out == "3 runs cancelled\n"
    assert states(mail) == ["cancelled"] * 3 + ["scheduled", "queued"]
    assert mail.cli("queue", "drain", "mail", "--delayed", "--json").ok().json == {"cancelled": 1}
    assert states(mail) == ["cancelled"] * 4 + ["queued"]


def test_a_deep_queue_is_drained_and_forgotten_in_steps(mail: Project) -> None:
    add(mail, *(["a"] * 1234))
    add(mail, "x", queue="default")
    add(mail, *(["b"] * 1234))
    assert mail.cli("queue", "drain", "mail").ok().out == "2468 runs cancelled\n"
    assert mail.cli("queue", "obliterate", "mail").ok().out == "2468 runs deleted\n"
    assert states(mail) == ["queued"]


def test_obliterating_is_refused_while_something_runs_unless_forced(mail: Project) -> None:
    with mail.engine() as engine:
        mail.cli("trigger", "fail").ok()
        mail.cli("trigger", "send").ok()
        engine.wait_for(lambda: states(mail) == ["failed", "succeeded"])
        mail.cli("trigger", "hold").ok()
        engine.wait_for(lambda: mail.runs(state="running"))
        add(mail, "a", "b")
        refused = mail.cli("queue", "obliterate", "mail")
        assert refused.code == 1
        assert "1 run of queue mail is running" in refused.err
        said = mail.cli("queue", "obliterate", "mail", "--force").ok().out
        assert said == "3 runs deleted, 2 of them cancelled first; 1 run asked to stop\n"
        engine.wait_for(lambda: states(mail) == ["failed", "cancelled"])
        assert engine.terminate() == 0


def test_fires_of_the_last_minutes_keep_their_record(mail: Project) -> None:
    add(mail, "a", fire_time=later(-1), skip_reason="x")
    add(mail, "a", fire_time=later(-9), skip_reason="x")
    found = mail.cli("queue", "obliterate", "mail", "--json").ok().json
    assert found == {"deleted": 1, "cancelled": 0, "asked_to_stop": 0, "kept": 1}


@pytest.mark.parametrize(
    "arguments", [("queue", "drain", "mail"), ("queue", "obliterate", "mail"), ("cancel", "--all")]
)
def test_on_a_terminal_one_is_asked_first(mail: Project, arguments: tuple[str, ...]) -> None:
    add(mail, "a")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "orchestrator", *arguments]
    with subprocess.Popen(command, cwd=mail.folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, b"n\n")
        assert process.wait(60) == 1
    os.close(ours)
    assert states(mail) == ["queued"]


# What is asked of many runs.


def test_several_numbers_are_each_done_or_refused(mail: Project) -> None:
    add(mail, *"abcd")
    assert mail.cli("cancel", "1").ok().out == "run 1 is cancelled\n"
    result = mail.cli("cancel", "1", "2", "3", "99")
    assert result.code == 1
    assert result.out == "2 runs are cancelled\n"
    assert (
        result.err
        == "run 1 is cancelled: there is nothing to cancel\nthere is no run 99; `orchestrator runs` lists them\n"
    )
    assert states(mail) == ["cancelled"] * 3 + ["queued"]
    retried = mail.cli("retry", "2", "4", "--json")
    assert retried.code == 1
    assert retried.json == {
        "changed": {"2": "queued"},
        "refused": {"4": "run 4 is queued: only a finished run can be retried"},
    }


@pytest.mark.parametrize(
    ("filters", "meant"),
    [
        (["--job", "fail"], [5]),
        (["--queue", "default"], [5]),
        (["--key", "a"], [1, 3]),
        (["--key", "a", "--state", "scheduled"], [3]),
        (["--since", "1h"], [1, 2, 3, 5]),
        (["--until", "1h"], [4]),
        (["--all"], [1, 2, 3, 4, 5]),
    ],
)
def test_a_filter_means_what_it_says_and_a_dry_run_does_nothing(
    mail: Project, filters: list[str], meant: list[int]
) -> None:
    add(mail, "a", "b")
    add(mail, "a", due_at=later(9))
    add(mail, "c", created_at=later(-120), due_at=later(-120))
    add(mail, "d", job="fail", queue="default")
    before = states(mail)
    assert mail.cli("cancel", *filters, "--dry-run", "--json").ok().json == {"runs": meant}
    assert len(mail.cli("cancel", *filters, "--dry-run").ok().lines) == len(meant) + 1
    assert states(mail) == before
    assert list(mail.cli("cancel", *filters, "--json").ok().json["changed"]) == [str(run_id) for run_id in meant]
    assert [run_id for run_id, state in enumerate(states(mail), 1) if state == "cancelled"] == meant


def test_a_filter_for_retries_means_what_failed_unless_it_says_otherwise(mail: Project) -> None:
    add(mail, *"abc")
    mail.cli("cancel", "1").ok()
    connection = sqlite3.connect(mail.database)
    connection.execute("UPDATE runs SET state = 'failed', finished_at = 1 WHERE id = 2")
    connection.commit()
    connection.close()
    assert mail.cli("retry", "--queue", "mail", "--dry-run", "--json").ok().json == {"runs": [2]}
    result = mail.cli("retry", "--queue", "mail", "--state", "cancelled").ok()
    assert result.out == "run 1 is queued again; no engine is running, so it waits until `orchestrator run` starts\n"
    refused = mail.cli("retry", "--state", "running")
    assert refused.code == 2
    assert "this can't be asked of running runs" in refused.err


@pytest.mark.parametrize("command", ["retry", "cancel", "promote", "reprioritise"])
@pytest.mark.parametrize("which", [[], ["1", "--all"], ["--job", "send", "--all"], ["1", "--job", "send"]])
def test_which_runs_is_said_in_exactly_one_way(mail: Project, command: str, which: list[str]) -> None:
    add(mail, "a")
    more = ["--priority", "1"] if command == "reprioritise" else []
    result = mail.cli(command, *which, *more)
    assert result.code == 2
    assert "--all" in result.err
    assert states(mail) == ["queued"]


def test_a_promoted_run_is_due_now(mail: Project) -> None:
    add(mail, "a", "b", due_at=later(60))
    with mail.engine() as engine:
        assert mail.cli("promote", "2").ok().out == "run 2 is due now\n"
        engine.wait_for(lambda: states(mail) == ["scheduled", "succeeded"])
        refused = mail.cli("promote", "2")
        assert refused.code == 1
        assert "run 2 is succeeded: only a scheduled run can be promoted" in refused.err
        mail.cli("promote", "--all").ok()
        engine.wait_for(lambda: states(mail) == ["succeeded"] * 2)


def test_reprioritised_runs_start_in_their_new_order(mail: Project) -> None:
    add(mail, *"abc", group_key="same")
    assert mail.cli("reprioritise", "3", "--priority", "9").ok().out == "run 3 is reprioritised\n"
    assert mail.cli(
        "reprioritise", "--key", "same", "--state", "queued", "-p", "9", "--dry-run", "--json"
    ).ok().json == {"runs": [1, 2, 3]}
    assert mail.cli("reprioritise", "2", "-p", "5").ok()
    with mail.engine() as engine:
        engine.wait_for(lambda: states(mail) == ["succeeded"] * 3)
    assert mail.read("journal") == "c\nb\na\n"
