"""`orchestrator simulate` shows a period of a project without executing anything."""

from __future__ import annotations

import re

import pytest

from tests.project import Project

JOBS = """\
    version: 1
    timezone: Europe/Berlin
    jobs:
      nightly: {call: work.go, cron: "30 2 * * *"}
      report: {call: work.go, after: nightly}
      hourly: {call: work.go, cron: "0 * * * *", catch_up: skip}
"""
PERIOD = ("--from", "2026-03-28", "--to", "2026-03-31")


@pytest.fixture
def declared(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", "def go(): ...")
    return project


def test_fires_overlaps_and_clock_changes_are_listed(declared: Project) -> None:
    told = declared.cli("simulate", *PERIOD, "--duration", "hourly=90m").ok().out
    assert "2026-03-29: clocks go forward 60 min that day (Europe/Berlin)" in told
    assert re.search(r"2026-03-29 03:00:00 CEST +nightly +fire", told)
    assert "an earlier run of the job was not finished (overlap: skip)" in told
    assert "more; --all lists them" in told
    assert not declared.database.exists()


def test_json_has_the_figures_of_every_job_and_the_same_twice(declared: Project) -> None:
    arguments = ("simulate", *PERIOD, "--json", "--all", "--down", "2026-03-28T12:00/3h30m")
    found = declared.cli(*arguments).ok().json
    jobs = found["result"]["jobs"]
    assert (jobs["nightly"]["runs"], jobs["report"]["runs"]) == (3, 3)
    assert (jobs["hourly"]["fires"], jobs["hourly"]["runs"]) == (70, 66)
    assert found["left_out"] == 0
    (skipped,) = [one for one in found["happenings"] if one["outcome"] == "skipped"]
    assert "4 fire times" in skipped["reason"]
    assert declared.cli(*arguments).ok().json == found


def test_one_job_is_shown_alone(declared: Project) -> None:
    found = declared.cli("simulate", *PERIOD, "--job", "nightly", "--json").ok().json
    assert list(found["result"]["jobs"]) == ["nightly"]
    assert {one["job"] for one in found["happenings"]} == {"nightly"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--from", "tomorrow"), "'tomorrow' is not a time"),
        (("--from", "2026-03-31", "--to", "2026-03-28"), "--to must be later than --from"),
        (("--duration", "nightly=soon"), "soon"),
        (("--job", "nighty"), "nighty"),
    ],
)
def test_what_makes_no_sense_is_refused(declared: Project, arguments: tuple[str, ...], complaint: str) -> None:
    refused = declared.cli("simulate", *arguments)
    assert refused.code == 2
    assert complaint in refused.err
