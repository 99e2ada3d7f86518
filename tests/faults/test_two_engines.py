"""Several engines on one database: no fire is doubled, and who lives takes over from who dies."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

from tests.faults.processes import family, listening, nobody_left
from tests.faults.storing import ask, enqueue, outcomes
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
shutdown_grace: 20s
workers: {{processes: 3}}
defaults: {{timeout: 60s, overlap: allow, catch_up: all, retry: {{max_attempts: 5, delay: 0s}}}}
jobs:
  hold: {{call: work.hold}}
"""
TICK = "  tick-{number}: {{call: work.tick, cron: EVERY_SECOND, start: '{start}', end: '{end}'}}\n"
WORK = """\
import os, time
from orchestrator import Context

def note(line):
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{line}\\n".encode())
    os.close(journal)

def tick(context: Context):
    note(f"{context.job} {context.fire_time.timestamp():.0f}")

def hold(context: Context):
    note(f"hold {context.run_id} {os.getppid()}")
    if context.attempt == 1:
        time.sleep(600)
"""
JOB_COUNT = 20
SECONDS = 4


def at_work(project: Project) -> set[datetime]:
    """A project whose jobs fire each second for a while; gives the instants."""
    first = (datetime.now(UTC) + timedelta(seconds=8)).replace(microsecond=0)
    end = first + timedelta(seconds=SECONDS - 1)  # both ends are fire times
    ticks = "".join(
        TICK.format(number=number, start=first.isoformat(), end=end.isoformat()) for number in range(JOB_COUNT)
    )
    project.write("jobs.yaml", JOBS.format() + ticks)
    project.plugin("work", WORK)
    return {first + timedelta(seconds=number) for number in range(SECONDS)}


def check_fires(project: Project, fires: set[datetime]) -> None:
    """One run for each job and fire time, and it succeeded."""
    runs = [run for run in project.runs(count=10_000) if run["job"].startswith("tick")]
    counted = Counter((run["job"], datetime.fromisoformat(run["fire_time"])) for run in runs)
    assert set(counted) == {(f"tick-{number}", fire) for number in range(JOB_COUNT) for fire in fires}
    assert set(counted.values()) == {1}
    assert {run["state"] for run in runs} == {"succeeded"}


def ticked(project: Project) -> list[str]:
    return [line for line in project.read("journal").splitlines() if line.startswith("tick")]


def test_each_fire_is_one_run_and_executed_once(project: Project, mark: str) -> None:
    fires = at_work(project)
    with project.start("run") as first, project.start("run") as second:
        first.wait_for(lambda: len(set(ticked(project))) == JOB_COUNT * SECONDS)
        assert listening(set(family(mark))) == set()
        assert first.terminate() == 0
        assert second.terminate() == 0
    check_fires(project, fires)
    assert set(Counter(ticked(project)).values()) == {1}
    assert nobody_left(mark)


def test_the_survivor_recovers_what_the_dead_one_was_executing(project: Project, mark: str) -> None:
    fires = at_work(project)
    with project.engine() as first:
        (held,) = enqueue(project, "hold")
        first.wait_for(lambda: f"hold {held} {first.pid}" in project.read("journal"))
        with project.engine() as second:
            second.wait_for(lambda: len(set(ticked(project))) > JOB_COUNT)
            first.signal(signal.SIGKILL)
            first.wait()
            second.wait_for(lambda: len(set(ticked(project))) == JOB_COUNT * SECONDS)
            second.wait_for(lambda: not [run for run in project.runs(count=10_000) if run["state"] != "succeeded"])
            assert second.terminate() == 0
    assert outcomes(project, held) == ["crashed", "succeeded"]
    check_fires(project, fires)
    assert nobody_left(mark)


def test_of_three_that_start_at_once_each_serves(project: Project, mark: str) -> None:
    """They race for the same new database file."""
    at_work(project)
    with project.engine() as first, project.engine() as second, project.engine() as third:
        engines = [first, second, third]
        from orchestrator.store import instances

        assert len(ask(project, instances.living)) == len(engines)
        assert [engine.terminate() for engine in engines] == [0, 0, 0]
    assert nobody_left(mark)
