"""`orchestrator backfill`: real commands, a real engine, and a kill half-way."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.project import Project

JOBS = """\
version: 1
timezone: Europe/Berlin
jobs:
  report: {call: work.go, cron: "0 3 * * *", params: {day: "{{ run.fire_time.isoformat() }}"}}
  slow: {call: work.slow, cron: "*/10 * * * *", concurrency: 4, overlap: allow}
  often: {call: work.quick, every: 90 seconds}
  second: {call: work.quick, cron: "* * * * * *", overlap: allow}
  byhand: {call: work.quick}
"""
WORK = """\
import time
from pathlib import Path

def note(text):
    with open("done.txt", "a") as file:
        file.write(text + "\\n")

def go(day: str):
    note(day)

def slow():
    now = time.monotonic()
    time.sleep(0.05)
    note(f"{now} {time.monotonic()}")

def quick():
    pass
"""


@pytest.fixture
def past(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def test_a_dry_run_lists_what_is_missing_and_creates_nothing(past: Project) -> None:
    shown = past.cli("backfill", "report", "--from", "2026-03-28", "--to", "2026-03-31", "--dry-run").ok()
    assert "2026-03-29 03:00:00 CEST" in shown.out
    assert "3 runs of report would be created; 0 had one already" in shown.out
    assert past.runs() == []


def test_each_fire_time_runs_once_however_often_it_is_asked_for(past: Project) -> None:
    first = past.cli("backfill", "report", "--from", "2026-03-28", "--to", "2026-03-31", "--json").ok().json
    assert [first[key] for key in ("created", "kept")] == [3, 0]
    with past.engine() as engine:
        engine.wait_for(lambda: len(past.runs(job="report", state="succeeded")) == 3)
        again = past.cli("backfill", "report", "--from", "2026-03-27", "--to", "2026-03-31", "--json").ok().json
        assert [again[key] for key in ("created", "kept")] == [1, 3]
        engine.wait_for(lambda: len(past.runs(job="report", state="succeeded")) == 4)
    assert {run["cause"] for run in past.runs(job="report")} == {"backfill"}
    assert sorted(past.read("done.txt").split()) == [
        *("2026-03-27T02:00:00+00:00", "2026-03-28T02:00:00+00:00"),
        *("2026-03-29T01:00:00+00:00", "2026-03-30T01:00:00+00:00"),
    ]


def done(past: Project) -> list[dict[str, Any]]:
    return [run for run in past.runs(job="slow", state="succeeded") if run["cause"] == "backfill"]


def test_never_more_at_once_than_max_parallel(past: Project) -> None:
    past.cli("backfill", "slow", "--from", "2026-03-01", "--to", "2026-03-01T04:00", "--max-parallel", "2").ok()
    with past.engine() as engine:
        engine.wait_for(
            lambda: len([r for r in past.runs(job="slow", state="succeeded") if r["cause"] == "backfill"]) == 24
        )
    spans = [tuple(map(float, line.split())) for line in past.read("done.txt").splitlines()]
    live = len(past.runs(job="slow")) - 24
    assert max(sum(1 for begin, end in spans if begin <= at < end) for at, _ in spans) <= 2 + live


def test_a_backfill_that_is_killed_half_way_is_completed_by_repeating_it(past: Project) -> None:
    period = ("second", "--from", "2026-03-01", "--to", "2026-03-01T02:00")
    deadline = time.monotonic() + 30
    with past.start("backfill", *period, "--max-parallel", "3") as filling:
        while not past.runs(job="second", count=1):
            assert time.monotonic() < deadline
        filling.kill()
    had = len(past.runs(job="second", count=10_000))
    report = past.cli("backfill", *period, "--json").ok().json
    assert report["kept"] == had
    assert report["created"] + report["kept"] == 7200
    runs = past.runs(job="second", count=10_000)
    assert len({run["fire_time"] for run in runs}) == len(runs) == 7200
    assert len([run for run in runs if run["state"] == "queued"]) == 3
    assert len([run for run in runs if run["state"] == "waiting"]) == 7197


def test_large_ranges_are_asked_about(past: Project) -> None:
    period = ("second", "--from", "2026-03-01", "--to", "2026-03-01T03:00")
    refused = past.cli("backfill", *period)
    assert refused.code == 2
    assert "more than 10,000 fire times" in refused.err
    assert "--yes" in refused.err
    assert past.runs() == []
    counted = past.cli("backfill", *period, "--dry-run", "--json").ok().json
    assert (counted["created"], len(counted["fires"]), counted["left_out"]) == (10_800, 50, 10_750)


def test_fire_times_that_were_skipped_can_be_run_after_all(past: Project) -> None:
    with past.engine() as engine:
        past.cli("pause", "second").ok()
        engine.wait_for(lambda: past.runs(job="second", state="skipped"))
    skipped = past.runs(job="second", state="skipped")[-1]
    begin = datetime.fromisoformat(skipped["fire_time"])
    period = ("second", "--from", begin.isoformat(), "--to", (begin + timedelta(milliseconds=1)).isoformat())
    kept = past.cli("backfill", *period).ok()
    assert "1 of these had been skipped: --replace-skipped" in kept.out
    replaced = past.cli("backfill", *period, "--replace-skipped", "--json").ok().json
    assert (replaced["replaced"], replaced["fires"][0]["run_id"]) == (1, skipped["id"])
    assert past.show(skipped["id"])["run"]["state"] == "queued"


def test_an_interval_is_counted_back_from_what_the_engine_served(past: Project) -> None:
    now = datetime.now(UTC)
    period = ("--from", (now - timedelta(hours=1)).isoformat(), "--to", (now - timedelta(minutes=15)).isoformat())
    unseen = past.cli("backfill", "often", *period)
    assert unseen.code == 1
    assert "none has" in unseen.err
    with past.engine():
        pass
    first = past.cli("backfill", "often", *period, "--json").ok().json
    assert first["created"] == 30
    with past.engine():
        again = past.cli("backfill", "often", *period, "--json").ok().json
    assert (again["created"], again["kept"]) == (0, 30)
    times = [datetime.fromisoformat(line["fire_time"]) for line in again["fires"]]
    assert {b - a for a, b in pairwise(times)} == {timedelta(seconds=90)}


def test_what_can_not_be_filled_says_why(past: Project) -> None:
    assert "has no schedule" in past.cli("backfill", "byhand", "--from", "2026-03-01").err
    future = past.cli("backfill", "report", "--from", "2026-03-01", "--to", "2999-01-01")
    assert (future.code, "in the future" in future.err) == (2, True)
    assert "later than --from" in past.cli("backfill", "report", "--from", "2026-03-02", "--to", "2026-03-01").err
    assert "is not a time" in past.cli("backfill", "report", "--from", "yesterday").err
    old = past.cli("backfill", "report", "--from", "2020-03-01", "--to", "2020-03-03", "--dry-run", "--json").ok()
    assert "forgotten" in old.err
    assert json.loads(old.out)["created"] == 2
