"""Batches on the whole way: many runs in one call, each with its own end, through kills."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from orchestrator.client.compile import load_project
from orchestrator.core.runs import Cause
from orchestrator.engine.newruns import new_run
from orchestrator.store import instances
from orchestrator.store.creation import create_runs
from orchestrator.store.store import Store
from orchestrator.store.wake import wake
from tests.project import Project

JOBS = """
    version: 1
    shutdown_grace: 1s
    jobs:
      letters:
        call: post.send
        batch: {size: 10, wait: 200ms}
        retry: {max_attempts: 3, delay: 50ms}
        concurrency: 2
"""
POST = """
    import os, time
    from orchestrator import Batch, Context

    def send(batch: Batch, ctx: Context):
        with open("calls.txt", "a") as calls:
            calls.write(" ".join(str(item.run_id) for item in batch) + "\\n")
        print(f"{len(batch)} letters")
        while not os.path.exists("go"):
            time.sleep(0.01)
        for item in batch:
            if item.params["n"] % 5 == 0 and item.attempt < 3:
                item.fail("the box was full")
            else:
                item.succeed(item.params["n"] * 2)
"""


def ask(project: Project, count: int) -> list[int]:
    """Create runs, as an application would, and wake the engine."""
    plan = load_project(project.folder / "jobs.yaml", inspect=False).plan
    assert plan is not None
    store = Store(f"sqlite:///{project.database}")
    new = [new_run(plan.jobs["letters"], Cause.MANUAL, datetime.now(UTC), params={"n": n}) for n in range(count)]
    made = store.write(create_runs, new)
    wake(store.read(instances.living))
    store.close()
    return [one.id for one in made if one.id is not None]


def calls(project: Project) -> list[list[int]]:
    return [[int(run_id) for run_id in line.split()] for line in project.read("calls.txt").splitlines()]


def finished(project: Project) -> list[dict[str, Any]]:
    return [run for run in project.runs() if run["state"] in ("succeeded", "failed")]


def test_runs_go_together_and_end_each_by_itself(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("post", POST)
    project.write("go", "")
    project.cli("validate").ok()
    with project.engine() as engine:
        made = ask(project, 43)
        engine.wait_for(lambda: len(finished(project)) == 43)
    by_id = {run["id"]: run for run in project.runs()}
    assert {by_id[run_id]["state"] for run_id in made} == {"succeeded"}
    assert [by_id[run_id]["result"] for run_id in made] == [n * 2 for n in range(43)]
    assert [by_id[run_id]["attempt"] for run_id in made] == [3 if n % 5 == 0 else 1 for n in range(43)]
    assert max(map(len, calls(project))) == 10
    assert len(calls(project)) < 43
    told = Counter(run_id for call in calls(project) for run_id in call)
    assert told == {run_id: by_id[run_id]["attempt"] for run_id in made}
    other = next(run for run in by_id.values() if run["batch_id"])
    assert f"batch with run {other['batch_id']}" in project.cli("show", str(other["id"])).ok().out


def test_a_killed_engine_s_batches_are_executed_again(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("post", POST)
    with project.engine() as engine:
        made = ask(project, 25)
        engine.wait_for(lambda: len(calls(project)) == 2)
        engine.kill()
    project.write("go", "")
    with project.engine() as engine:
        engine.wait_for(lambda: len(finished(project)) == 25)
    runs = {run["id"]: run for run in project.runs()}
    assert {run["state"] for run in runs.values()} == {"succeeded"}
    begun = {run_id for call in calls(project)[:2] for run_id in call}
    # The attempt that was killed is charged to each run of the batch.
    assert {runs[run_id]["attempt"] for n, run_id in enumerate(made) if n % 5 and run_id in begun} == {2}
    assert {runs[run_id]["attempt"] for n, run_id in enumerate(made) if n % 5 and run_id not in begun} <= {1}


def test_a_cancelled_run_stops_its_call_and_costs_the_others_nothing(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("post", POST)
    with project.engine() as engine:
        made = ask(project, 10)
        engine.wait_for(lambda: len(calls(project)) == 1)
        project.cli("cancel", str(made[0])).ok()
        engine.wait_for(lambda: project.show(made[0])["run"]["state"] == "cancelled")
        project.write("go", "")
        engine.wait_for(lambda: len(finished(project)) == 9)
    runs = {run["id"]: run for run in project.runs()}
    assert {runs[run_id]["state"] for run_id in made[1:]} == {"succeeded"}
    assert {runs[run_id]["attempt"] - runs[run_id]["uncharged"] for run_id in made[1:5]} == {1}


def test_a_cancelled_member_lets_its_call_go_on_and_is_not_tried_again(project: Project) -> None:
    project.write("jobs.yaml", JOBS + "      told: {call: post.tell, after: {job: letters, on: end}}\n")
    project.plugin("post", POST + "\n    def tell(): pass\n")
    with project.engine() as engine:
        made = ask(project, 10)
        engine.wait_for(lambda: len(calls(project)) == 1)
        said = project.cli("cancel", str(made[1]), str(made[5])).ok()
        assert f"run {made[5]} is worked off in one call with run {made[0]}, which goes on" in said.err
        project.write("go", "")
        engine.wait_for(lambda: {run["parent_id"] for run in project.runs(job="told")} == set(made))
    runs = {run["id"]: run for run in project.runs(job="letters")}
    assert {run_id for run_id in made if runs[run_id]["state"] != "succeeded"} == {made[5]}
    assert (runs[made[5]]["state"], runs[made[5]]["attempt"]) == ("cancelled", 1)
    assert runs[made[5]]["reason"] == "cancelled on request (RuntimeError: the box was full)"
