"""`status`: what a person wants to know, and what a health check must not miss."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import StoreError
from orchestrator.core.runs import Cause
from orchestrator.store import instances, requests
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.store import Store
from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  daily: {call: work.go, cron: "0 9 * * *"}
  fail: {call: work.fail, retry: {max_attempts: 1}}
"""
WORK = "def go(): pass\ndef fail(): raise ValueError('no good')\n"


@pytest.fixture
def known(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    return project


def opened(project: Project) -> Store:
    return Store(f"sqlite:///{project.database}")


def due_since(project: Project, age: timedelta) -> None:
    store = opened(project)
    at = datetime.now(UTC) - age
    store.write(create_runs, [NewRun(job="daily", cause=Cause.MANUAL, created_at=at, due_at=at)])
    store.close()


def test_before_anything_ran_it_is_unhealthy_and_says_why(known: Project) -> None:
    result = known.cli("status")
    assert result.code == 1
    assert "no engine is running" in result.out
    assert not known.database.parent.exists()


def test_a_working_engine_is_healthy_and_the_figures_are_there(known: Project) -> None:
    with known.engine() as engine:
        known.cli("trigger", "fail", "--no-check").ok()
        engine.wait_for(lambda: known.runs(job="fail", state="failed"))
        found = known.cli("status", "--json").ok().json
        shown = known.cli("status", "--quick").ok().out
    assert (found["healthy"], found["problems"], found["dead_letters"]) == (True, [], 1)
    assert found["engines"][0]["pid"] == engine.pid
    assert found["engines"][0]["well"]
    assert found["next_fire"]["job"] == "daily"
    assert found["last_failure"]["job"] == "fail"
    assert "healthy" in shown.splitlines()[0]
    assert "no good" in shown
    assert "next fire" not in shown


def test_an_engine_that_was_killed_is_noticed_at_once(known: Project) -> None:
    with known.engine() as engine:
        engine.kill()
    result = known.cli("status", "--quick")
    assert result.code == 1
    assert "no engine is alive" in result.out
    assert "its process is gone" in result.out


def _stopped_since(engine: Running, store: Store, instance: int, past: datetime) -> bool:
    engine.signal(signal.SIGSTOP)
    try:
        store.write(instances.heartbeat, instance, past, past)
    except StoreError:
        engine.signal(signal.SIGCONT)
        time.sleep(1)  # for what it has to write now
        return False
    return True


def test_an_engine_that_hangs_is_unhealthy_once_its_lease_has_run_out(known: Project) -> None:
    with known.engine() as engine:
        store = opened(known)
        found = store.read(instances.living)[0]
        past = datetime.now(UTC) - timedelta(seconds=1)
        # As if it had hung for that long. Stopped in the middle of a write it holds the lock: then once more.
        engine.wait_for(lambda: _stopped_since(engine, store, found.id, past), deadline=120)
        store.close()
        assert known.cli("status", "--quick").code == 1
        engine.signal(signal.SIGCONT)
        engine.wait_for(lambda: known.cli("status", "--quick").code == 0)
        assert engine.terminate() == 0


def test_a_refused_configuration_is_unhealthy_until_it_is_mended(known: Project) -> None:
    with known.engine() as engine:
        known.write("jobs.yaml", JOBS.replace("cron:", "corn:"))
        engine.wait_line("not reloaded")
        result = known.cli("status")
        assert result.code == 1
        assert "unknown key `corn`" in result.out
        known.write("jobs.yaml", JOBS)
        engine.wait_line("reloaded .*jobs: 2")
        known.cli("status").ok()
        assert engine.terminate() == 0


def test_what_is_due_for_too_long_is_unhealthy_unless_its_job_is_paused(known: Project) -> None:
    due_since(known, timedelta(minutes=6))
    result = known.cli("status", "--quick")
    assert "run 1 of daily has been due for 6m" in result.out
    assert "has been due" not in known.cli("status", "--quick", "--max-wait", "10m").out
    store = opened(known)
    store.write(requests.pause, "daily", datetime.now(UTC))
    store.close()
    found: Any = known.cli("status", "--json").json
    assert found["problems"] == ["no engine is running"]
    assert found["queues"] == {"default": {"queued": 1}}
    assert found["next_fire"] is None


def test_a_wait_that_cannot_be_read_is_a_mistake_of_the_command(known: Project) -> None:
    result = known.cli("status", "--max-wait", "soon")
    assert result.code == 2
    assert "soon" in result.err


def test_it_works_without_the_configuration(known: Project, tmp_path: Path) -> None:
    due_since(known, timedelta(seconds=1))
    result = known.cli("status", "--config", str(tmp_path), "--db", str(known.database))
    assert result.code == 1
    assert "no engine is running" in result.out
