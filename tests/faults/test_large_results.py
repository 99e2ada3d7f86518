"""A worker killed between the writing of a large result and its report: nothing is lost, and the file is swept."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from orchestrator.core.result_files import beside
from tests.faults.processes import nobody_left
from tests.faults.storing import outcomes
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
defaults: {retry: {max_attempts: 3, delay: 0s}}
jobs:
  killed: {call: work.large}
  killed-async: {call: work.large_async}
  killed-thread: {call: work.large, isolation: thread}
  once: {call: work.large, at_most_once: true}
"""
WORK = """\
import os, signal
from pathlib import Path
from orchestrator.worker import keeping
from orchestrator import Context

def deadly(folder, run_id, number, data, write=keeping.write):
    file = write(folder, run_id, number, data)
    if not Path(f"killed-{run_id}").exists():
        Path(f"killed-{run_id}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return file

keeping.write = deadly

def large(context: Context):
    return [context.run_id] * 50_000

async def large_async(context: Context):
    return large(context)
"""


def names(project: Project) -> set[str]:
    return {path.name for path in beside(project.database).iterdir()}


def age(path: Path) -> None:
    """As if it had been written two hours ago."""
    at = time.time() - 7200
    os.utime(path, (at, at))


def test_a_worker_killed_between_writing_and_reporting(project: Project, mark: str) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    for job in ("killed", "killed-async", "killed-thread"):
        project.cli("run", "--once", job).ok()
        (run,) = project.runs(job=job)
        # Where attempts share a worker, none is charged for an end that nothing explains.
        assert outcomes(project, run["id"]) in (["crashed", "succeeded"], ["released", "succeeded"])
        assert job != "killed" or outcomes(project, run["id"])[0] == "crashed"
        assert [file["name"] for file in run["result_files"]] == [f"{run['id']}-2.json"]
        assert json.loads(project.cli("result", str(run["id"])).ok().out) == [run["id"]] * 50_000
        assert {f"{run['id']}-1.json", f"{run['id']}-2.json"} <= names(project)
    assert project.cli("run", "--once", "once").code == 1
    (run,) = project.runs(job="once")
    assert (run["state"], run["result_files"]) == ("failed", None)
    for path in beside(project.database).iterdir():
        age(path)
    orphans = {name for name in names(project) if name.endswith("-1.json")}
    named = names(project) - orphans
    assert (len(orphans), len(named)) == (4, 3)
    with project.engine() as engine:
        engine.wait_for(lambda: names(project) == named)
    assert names(project) == named
    assert project.cli("doctor", "--full", "--json").json[-1]["verdict"] == "ok"
    assert nobody_left(mark)
