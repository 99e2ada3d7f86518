"""`orchestrator enqueue`: one run with all that can be wanted of it, and files of them, whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.client.requests import read_request
from orchestrator.core.errors import RequestError
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  send: {call: mail.send, params: {subject: hello}}
  charge: {call: mail.charge, unique: {by: [order]}}
  broken: {call: gone.away}
"""
MAIL = """\
def send(to: str, subject: str, copies: int = 1):
    print("sent to", to, copies)

def charge(order: int):
    return order * 2
"""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("mail", MAIL)
    project.plugin("gone", "import nothing_of_the_kind")
    return project


def test_a_run_with_everything_that_can_be_wanted(shop: Project) -> None:
    before = datetime.now(UTC)
    options = ("--delay", "10m", "--priority", "5", "--key", "k-1", "--expires-in", "1h", "--json")
    made = shop.cli("enqueue", "send", "-p", "to=ann", *options).ok().json
    assert (made["job"], made["state"], made["priority"], made["duplicate"]) == ("send", "scheduled", 5, False)
    assert made["params"] == {"subject": "hello", "to": "ann"}
    due = datetime.fromisoformat(made["due_at"])
    assert timedelta(minutes=10) <= due - before < timedelta(minutes=12)
    assert datetime.fromisoformat(made["expires_at"]) - due == timedelta(hours=1)
    again = shop.cli("enqueue", "send", "-p", "to=bob", "--key", "k-1").ok()
    assert "run 1 of send has the same key" in again.out
    assert [run["id"] for run in shop.runs()] == [1]


def test_it_waits_for_the_end_and_exits_with_it(shop: Project) -> None:
    with shop.engine():
        done = shop.cli("enqueue", "send", "-p", "to=ann", "--wait").ok()
    assert "sent to ann 1" in done.out
    assert "run 1 of send succeeded" in done.lines[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sned",), "did you mean send?"),
        (("send",), "to"),
        (("send", "-p", "to=ann", "-p", "copies=many"), "copies"),
        (("send", "-p", "to=a", "--delay", "soon"), "not a duration"),
        (("send", "-p", "to=a", "--delay", "1m", "--at", "2030-01-01"), "two times"),
        (("send", "-p", "to=a", "--at", "noon"), "not an instant"),
        (("send", "-p", "to=a", "--priority", "10"), "0 to 9"),
        (("send", "-p", "to=a", "--key", ""), "not empty"),
        (("broken",), "can't run"),
        ((), "no job is named"),
        (("--from", "x.jsonl", "--delay", "1m"), "--delay says nothing with --from"),
        (("--from", "x.jsonl"), "can't be read"),
    ],
)
def test_what_cannot_be_is_refused_with_a_mend_and_creates_nothing(
    shop: Project, arguments: tuple[str, ...], said: str
) -> None:
    refused = shop.cli("enqueue", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert "Traceback" not in refused.err
    assert shop.runs() == []


LINES = [
    '{"job": "send", "params": {"to": "ann"}, "delay": "1h", "priority": 3}',
    "",
    '{"params": {"to": "bob", "copies": "many"}}',
    '{"job": "sned"}',
    "{",
    '{"job": "send", "params": {"to": "eve"}, "dealy": "1h"}',
    '{"job": "charge", "params": {"order": 7}}',
    '{"job": "charge", "params": {"order": 7}}',
    "[1]",
]


def test_every_bad_line_is_told_by_its_number_and_nothing_is_created(shop: Project) -> None:
    shop.write("runs.jsonl", "\n".join(LINES))
    refused = shop.cli("enqueue", "send", "--from", "runs.jsonl")
    assert refused.code == 2
    told = {int(line.split()[1].rstrip(":")) for line in refused.err.splitlines() if line.startswith("line ")}
    assert told == {3, 4, 5, 6, 9}
    assert "5 lines can't be used; nothing was created" in refused.err
    assert shop.runs() == []


def test_bad_lines_can_be_left_out(shop: Project) -> None:
    shop.write("runs.jsonl", "\n".join(LINES))
    made = shop.cli("enqueue", "send", "--from", "runs.jsonl", "--skip-bad", "--json").ok().json
    assert (made["created"], made["duplicates"]) == (2, 1)
    assert [(run["line"], run["duplicate"]) for run in made["runs"]] == [(1, False), (7, False), (8, True)]
    assert made["runs"][1]["id"] == made["runs"][2]["id"]
    assert sorted({one["line"] for one in made["bad"]}) == [3, 4, 5, 6, 9]
    assert Counter(run["job"] for run in shop.runs()) == {"send": 1, "charge": 1}


def test_ten_thousand_lines_are_one_transaction(shop: Project) -> None:
    lines = [json.dumps({"job": "charge", "params": {"order": n}}) for n in range(10_000)]
    shop.write("runs.jsonl", "\n".join(lines))
    assert shop.cli("enqueue", "--from", "runs.jsonl").ok().out == "10,000 runs created\n"
    assert shop.cli("enqueue", "--from", "runs.jsonl").ok().out == "0 runs created, 10,000 duplicates ignored\n"
    runs = shop.runs(count=20_000)
    assert len(runs) == 10_000
    assert len({run["created_at"] for run in runs}) == 1


def test_trigger_tells_of_a_duplicate(shop: Project) -> None:
    assert shop.cli("trigger", "charge", "-p", "order=3").ok().out == "run 1 of charge is queued\n"
    assert "run 1 of charge has the same key and is queued" in shop.cli("trigger", "charge", "-p", "order=3").ok().out


NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_times_are_text_numbers_or_pythons_own() -> None:
    for delay in ("90s", "1m30s", 90, 90.0, timedelta(seconds=90)):
        assert read_request({"job": "a", "delay": delay}, NOW).asked.due_at == NOW + timedelta(seconds=90)
    for at in ("2026-03-02T13:00+01:00", "2026-03-02T12:30Z", NOW + timedelta(minutes=1)):
        due = read_request({"job": "a", "at": at}, NOW).asked.due_at
        assert due is not None
        assert due >= NOW
    assert read_request({"job": "a", "at": NOW - timedelta(days=1)}, NOW).asked.due_at == NOW


@pytest.mark.parametrize(
    "fields",
    [
        {"job": 3},
        {"params": {}},
        {"job": "a", "params": [1]},
        {"job": "a", "params": {3: 4}},
        {"job": "a", "delay": -1},
        {"job": "a", "delay": True},
        {"job": "a", "delay": 1e300},
        {"job": "a", "delay": float("nan")},
        {"job": "a", "at": "9999-12-31"},
        {"job": "a", "at": 5},
        {"job": "a", "priority": "5"},
        {"job": "a", "priority": True},
        {"job": "a", "key": 1.5},
        {"job": "a", "expires_in": []},
    ],
)
def test_values_of_the_wrong_kind_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        read_request(fields, NOW)
