"""`doctor`: every ailment is found, named, and comes with what to do."""

from __future__ import annotations

import json
import sqlite3
from collections import namedtuple
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import doctor_machine
from orchestrator.cli.findings import Finding, Verdict
from orchestrator.core.runs import Cause
from orchestrator.store import instances
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store
from tests.project import Project

JOBS = "version: 1\nplugins: [plugins]\njobs:\n  go: {call: work.go, cron: '0 9 * * *'}\n"


@pytest.fixture
def patient(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", "import os\ndef go():\n    if os.environ.get('ILL'): raise ValueError('ill')\n")
    project.cli("run", "--once", "go").ok()
    return project


def examined(project: Project, *arguments: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    result = project.cli("doctor", "--json", *arguments)
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(result.out):
        found.setdefault(finding["check"], []).append(finding)
    return result.code, found


def verdict(found: dict[str, list[dict[str, Any]]], check: str) -> tuple[str, str]:
    worst = max(found[check], key=lambda finding: ("ok", "warn", "fail").index(finding["verdict"]))
    if worst["verdict"] != "ok":
        assert worst["mend"], "it says what to do"
    return worst["verdict"], worst["what"]


def test_with_an_engine_at_work_all_is_well(patient: Project) -> None:
    with patient.engine() as engine:
        code, found = examined(patient, "--full")
        shown = patient.cli("doctor").ok().out
        assert engine.terminate() == 0
    assert code == 0
    assert {finding["verdict"] for findings in found.values() for finding in findings} == {"ok"}
    assert list(found) == [
        "config",
        "plugins",
        "timezones",
        "clock",
        "disk",
        "permissions",
        "database",
        "schema",
        "engines",
        "runs",
        "dead letters",
        "results",
    ]
    assert f"(pid {engine.pid}) works" in shown


def test_before_anything_ran_nothing_is_made_and_nothing_fails(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", "def go(): pass")
    code, found = examined(project)
    assert code == 0
    assert "will be made" in found["database"][0]["what"]
    assert not project.database.parent.exists()


def test_a_wrong_configuration_and_a_broken_plugin_fail(patient: Project) -> None:
    patient.plugin("broken", "1/0")
    code, found = examined(patient)
    assert code == 1
    assert "broken" in verdict(found, "plugins")[1]
    patient.write("jobs.yaml", JOBS.replace("cron", "corn"))
    code, found = examined(patient)
    assert verdict(found, "config")[0] == "fail"
    assert "corn" in verdict(found, "config")[1]


def test_rights_that_are_too_wide_are_told(patient: Project) -> None:
    patient.database.chmod(0o644)
    assert verdict(examined(patient)[1], "permissions")[0] == "warn"
    patient.database.parent.chmod(0o755)
    code, found = examined(patient)
    assert (code, verdict(found, "permissions")[0]) == (0, "warn")
    patient.database.parent.chmod(0o777)
    code, found = examined(patient)
    assert (code, verdict(found, "permissions")[0]) == (1, "fail")


def test_a_damaged_database_fails_and_the_backup_is_named(patient: Project) -> None:
    patient.database.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    code, found = examined(patient)
    assert code == 1
    assert verdict(found, "database")[0] == "fail"
    assert "backup" in found["database"][0]["mend"]


@pytest.mark.parametrize(("revision", "expected"), [("9999", "fail"), ("0000", "warn")])
def test_tables_of_another_version_are_told_and_left_alone(patient: Project, revision: str, expected: str) -> None:
    with closing(sqlite3.connect(patient.database)) as file, file:
        file.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert verdict(examined(patient)[1], "schema")[0] == expected
    with closing(sqlite3.connect(patient.database)) as file:
        assert file.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)


def test_runs_that_a_dead_engine_holds_are_stuck_until_one_starts(patient: Project) -> None:
    patient.plugin("work", "import time\ndef go(): time.sleep(60)")
    with patient.engine() as engine:
        patient.cli("trigger", "go", "--no-check").ok()
        engine.wait_for(lambda: patient.runs(state="running"))
        engine.kill()
    found = examined(patient)[1]
    assert verdict(found, "engines")[0] == "warn"
    assert "last sign of life" in verdict(found, "engines")[1]
    store = Store(f"sqlite:///{patient.database}")
    store.write(instances.retire, store.read(instances.living)[0].id, datetime.now(UTC))
    store.close()
    assert verdict(examined(patient)[1], "runs") == ("warn", "runs 2 are held by engines that are gone")


def test_what_waits_too_long_and_what_failed_is_told(patient: Project) -> None:
    assert patient.cli("run", "--once", "go", environment={"ILL": "1"}).code == 1
    store = Store(f"sqlite:///{patient.database}")
    at = datetime.now(UTC) - timedelta(minutes=6)
    store.write(create_runs, [NewRun(job="go", cause=Cause.MANUAL, created_at=at, due_at=at)])
    store.close()
    code, found = examined(patient)
    assert code == 0
    assert verdict(found, "runs") == ("warn", "1 are due and wait")
    assert verdict(found, "dead letters") == ("warn", "go 1")


def test_facts_from_the_future_mean_that_the_clock_went_back(patient: Project) -> None:
    store = Store(f"sqlite:///{patient.database}")
    at = datetime.now(UTC) + timedelta(days=1)
    store.write(create_runs, [NewRun(job="go", cause=Cause.MANUAL, created_at=at, due_at=at)])
    store.close()
    code, found = examined(patient)
    assert code == 1
    assert verdict(found, "clock")[0] == "fail"
    assert "behind" in verdict(found, "clock")[1]


class TestMachine:
    def test_little_room_is_told_and_none_fails(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
        verdicts = []
        for free in (10 * 2**30, 100 * 2**20, 2**20):
            monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _, free=free: usage(0, 0, free))
            verdicts.append(doctor_machine._disk(tmp_path / "not" / "yet").verdict)
        assert verdicts == [Verdict.OK, Verdict.WARN, Verdict.FAIL]

    def test_a_clock_that_nobody_set_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def told_at(year: int) -> Finding:
            class Then(datetime):
                @classmethod
                def now(cls, tz: Any = None) -> Any:
                    return datetime(year, 1, 1, tzinfo=tz)

            monkeypatch.setattr(doctor_machine, "datetime", Then)
            return doctor_machine._clock()

        assert told_at(1970).verdict is Verdict.FAIL
        assert told_at(2030).verdict is Verdict.OK
