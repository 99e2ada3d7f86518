"""`init`, `validate`, `jobs`, `next`, `explain`, `pause`, `plugins`, `schema`: before and around the running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import COMMANDS, app
from orchestrator.cli.reference import reference
from tests.project import Project

JOBS = """\
version: 1
timezone: Europe/Berlin
plugins: [plugins]
jobs:
  report:
    call: work.report
    description: The weekly report
    cron: "0 9 * * 1"
  night: {call: work.report, cron: "30 2 * * *"}
  chained: {call: work.report, after: report}
  off: {call: work.report, every: 10 minutes, enabled: false}
"""
WORK = '''\
from orchestrator import job

@job
def report(days: int = 7):
    """Write the report.

    With more words that a listing leaves out.
    """
'''


@pytest.fixture
def planned(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


class TestInit:
    def test_a_new_project_is_valid_and_its_first_job_runs(self, project: Project) -> None:
        made = project.cli("init", "my jobs").ok()
        assert "cd 'my jobs'" in made.out
        assert project.cli("validate", folder="my jobs").ok().out == "jobs.yaml is valid: 1 job, 1 queue, 1 callable\n"
        project.cli("schema", "--check", folder="my jobs").ok()
        result = project.cli("run", "--once", "hello", folder="my jobs").ok()
        assert "hello, world" in result.out

    def test_nothing_that_exists_is_overwritten(self, planned: Project) -> None:
        result = planned.cli("init")
        assert result.code == 2
        assert "has jobs.yaml already" in result.err
        assert planned.read("jobs.yaml") == JOBS
        assert not (planned.folder / "schemas").exists()


class TestValidate:
    def test_mistakes_are_told_with_their_place_and_exit_2(self, planned: Project) -> None:
        planned.write(
            "jobs.yaml", JOBS.replace('cron: "0', 'corn: "0').replace("work.report, after", "work.raport, after")
        )
        result = planned.cli("validate")
        assert result.code == 2
        assert "jobs.yaml:8:5: error: unknown key `corn`" in result.out
        assert "work.raport" in result.out
        assert result.err == ""
        found = planned.cli("validate", "--json")
        assert found.code == 2
        assert not found.json["valid"]
        assert {diagnostic["line"] for diagnostic in found.json["diagnostics"]} >= {8, 10}

    def test_a_folder_without_jobs_names_the_next_step(self, project: Project) -> None:
        result = project.cli("validate", "--config", ".")
        assert result.code == 2
        assert result.err.startswith("error: there is no jobs.yaml in ")
        assert "orchestrator init" in result.err


class TestJobs:
    def test_schedules_are_in_words_and_fires_in_the_jobs_own_timezone(self, planned: Project) -> None:
        listed = planned.cli("jobs").ok()
        assert "At 09:00 on Monday (Europe/Berlin)" in listed.out
        assert "After report (success)" in listed.out
        assert "09:00:00 CE" in listed.out
        assert "disabled" in listed.out
        assert not planned.database.exists()

    def test_programs_get_the_same_as_data(self, planned: Project) -> None:
        jobs = {job["name"]: job for job in planned.cli("jobs", "--json").ok().json}
        assert jobs["report"]["next_fire"].endswith("Z")
        assert jobs["report"]["last_run"] is None
        assert jobs["off"]["next_fire"] is None

    def test_next_lists_fire_times_and_marks_the_days_on_which_clocks_change(self, planned: Project) -> None:
        fires = planned.cli("next", "night", "-n", "370", "--json").ok().json
        assert len(fires) == 370
        assert sum("clocks go" in fire["note"] for fire in fires) in (2, 3)
        assert planned.cli("next", "report", "-n", "3").ok().out.count(" 09:00:00 CE") == 3

    def test_next_says_why_there_is_nothing(self, planned: Project) -> None:
        assert "After report (success)" in planned.cli("next", "chained").ok().out
        assert "disabled" in planned.cli("next", "off").ok().err
        assert "did you mean report?" in planned.cli("next", "reports").err


class TestPause:
    def test_a_paused_job_says_so_until_it_is_resumed(self, planned: Project) -> None:
        assert planned.cli("pause", "report").ok().out == "report is paused\n"
        assert planned.cli("pause", "report").ok().out == "report was paused already\n"
        assert "paused" in planned.cli("jobs").ok().out
        assert planned.cli("resume", "report").ok().out == "report is resumed\n"
        assert planned.cli("resume", "report").ok().out == "report was not paused\n"

    def test_an_unknown_job_is_refused_with_close_names(self, planned: Project) -> None:
        result = planned.cli("pause", "raport")
        assert result.code == 2
        assert "did you mean report?" in result.err


class TestPlugins:
    def test_callables_are_listed_with_signature_and_place(self, planned: Project) -> None:
        listed = planned.cli("plugins").ok().out
        assert "work.report(days: int = 7)" in listed
        assert "Write the report." in listed
        assert "more words" not in listed
        assert "plugins/work.py:" in listed

    def test_a_broken_plugin_is_told_beside_the_others(self, planned: Project) -> None:
        planned.plugin("broken", "1/0")
        result = planned.cli("plugins")
        assert result.code == 1
        assert "work.report" in result.out
        assert "broken.py:1: error:" in result.err
        assert planned.cli("plugins", "--json").json["problems"][0]["line"] == 1


class TestExplain:
    @pytest.mark.parametrize(
        ("schedule", "words"),
        [
            ("0 9 * * 1", "At 09:00 on Monday (UTC)"),
            ("EVERY_30_SECONDS", "Every 30 seconds (UTC)"),
            ("10 minutes", "Every 10 minutes, counted from the previous fire"),
            ("every monday at 09:00", "Every Monday at 09:00 (UTC)"),
            ("@daily", "At 00:00 every day (UTC)"),
        ],
    )
    def test_a_schedule_of_any_kind_is_put_into_words(self, schedule: str, words: str) -> None:
        result = CliRunner().invoke(app, ["explain", schedule])
        assert result.exit_code == 0
        assert result.stdout.splitlines()[0] == words
        assert len(result.stdout.splitlines()) == 8

    def test_what_is_probably_not_meant_is_warned_about(self) -> None:
        result = CliRunner().invoke(app, ["explain", "*/7 * * * *", "--json"])
        assert "uneven" in json.loads(result.stdout)["warnings"][0]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [(["0 9 * * 9"], "day-of-week"), (["10 minuts"], "minutes"), (["@daily", "-z", "Europe/Berlim"], "Berlin")],
    )
    def test_what_cannot_be_read_is_a_mistake_with_a_hint(
        self, project: Project, arguments: list[str], said: str
    ) -> None:
        result = project.cli("explain", *arguments)
        assert result.code == 2
        assert "hint:" in result.err
        assert said in result.err


class TestSchema:
    def test_the_file_is_written_where_editors_look_and_checked(self, project: Project) -> None:
        assert project.cli("schema", "--check").code == 2
        project.cli("schema").ok()
        project.cli("schema", "--check").ok()
        assert project.cli("schema", "--output", "-").ok().json == json.loads(project.read("schemas/jobs.schema.json"))
        project.write("schemas/jobs.schema.json", "{}")
        assert project.cli("schema", "--check").code == 1


def test_the_reference_of_commands_is_what_the_commands_say() -> None:
    written = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m orchestrator.cli.reference docs/cli.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_what_a_command_does_fits_a_line_of_the_overview() -> None:
    overview = CliRunner().invoke(app, ["--help"]).stdout
    assert "..." not in overview.replace("[ARGS]...", "")


def test_an_unknown_command_is_answered_with_what_comes_close(project: Project) -> None:
    result = project.cli("rnu")
    assert result.code == 2
    assert "run" in result.err


def test_the_version_is_told_with_or_without_other_options(project: Project) -> None:
    assert project.cli("--version").ok().out == project.cli("--db", "x.db", "--version").ok().out
