"""Large results in workflows, from end to end: who reads them finds them, wherever they lie; who can't says why."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AsyncClient, Client, ResultFileError, RunFailedError
from orchestrator.core.result_files import beside
from tests.project import Project

PLUGIN = """
    def rows(count=3):
        return [{"id": n, "text": "x" * 50_000} for n in range(count)]

    def grow(row):
        return {"id": row["id"], "text": row["text"] * 2} if row["id"] else "small"

    async def measure(all):
        return {"ids": [one["id"] if isinstance(one, dict) else one for one in all], "text": str(all)}

    def first(of):
        return of[0]["id"]

    def length(of):
        return len(of["measure"]["text"])
"""
JOBS = """
    version: 1
    defaults: {retry: false}
    jobs:
      whole:
        steps:
          rows: {call: work.rows}
          first: {call: work.first, needs: rows, params: {of: "{{ steps.rows.result }}"}}
          grow: {call: work.grow, needs: rows, foreach: "{{ steps.rows.result }}", params: {row: "{{ item }}"}}
          measure:
            call: work.measure
            needs: grow
            when: "{{ steps.grow.result | length == 3 }}"
            params: {all: "{{ steps.grow.result }}"}
          state: {call: work.first, needs: grow, params: {of: [{id: "{{ steps.grow.state }}"}]}}
      outer:
        steps:
          inner: {job: whole}
          length: {call: work.length, needs: inner, params: {of: "{{ steps.inner.result }}"}}
          each: {call: work.rows, foreach: [1, 2], params: {count: "{{ item }}"}}
"""


@pytest.fixture
def work(project: Project) -> Project:
    project.plugin("work", PLUGIN)
    project.write("jobs.yaml", JOBS)
    return project


def folder_of(project: Project) -> Path:
    return beside(project.database)


def files_of(project: Project) -> set[str]:
    return {path.name for path in folder_of(project).iterdir()} if folder_of(project).exists() else set()


def step_run(project: Project, job: str, index: int | None = None) -> dict[str, Any]:
    return next(run for run in project.runs(job=job) if run["item_index"] == index)


GROWN = ["small", {"id": 1, "text": "x" * 100_000}, {"id": 2, "text": "x" * 100_000}]


def test_every_reader_finds_what_lies_in_files(work: Project) -> None:
    work.cli("run", "--once", "whole").ok()
    (flow,) = work.runs(job="whole")
    assert (flow["state"], flow["result"]) == ("succeeded", {"first": 0, "measure": None, "state": "succeeded"})
    measured = {"ids": ["small", 1, 2], "text": str(GROWN)}
    wanted = {"first": 0, "measure": measured, "state": "succeeded"}
    assert json.loads(work.cli("result", str(flow["id"])).ok().out) == wanted
    with Client(config=work.folder / "jobs.yaml") as client:
        assert client.result(flow["id"]) == wanted
        assert client.wait(flow["id"]).result == wanted
        rows = step_run(work, "whole/rows")
        assert client.run(rows["id"]).result is None
        assert [len(row["text"]) for row in client.result(rows["id"])] == [50_000] * 3
    shown = work.cli("show", str(rows["id"])).ok().out
    (file,) = work.show(rows["id"])["run"]["result_files"]
    assert f"{folder_of(work)}/{rows['id']}-1.json" in shown
    assert f"orchestrator result {rows['id']}" in shown
    assert (file["name"], file["size"] > 150_000, len(shown) < 2000) == (f"{rows['id']}-1.json", True, True)
    # Of what the step of many items found out, and of the items, those that are large.
    prepared, small = (step_run(work, "whole/grow", index) for index in (None, 0))
    assert (prepared["result"], small["result"], small["result_files"]) == (None, "small", None)
    assert len(files_of(work)) == 5


def test_workflows_within_workflows_hand_large_results_up(work: Project) -> None:
    work.cli("run", "--once", "outer").ok()
    (flow,) = work.runs(job="outer")
    found = json.loads(work.cli("result", str(flow["id"])).ok().out)
    assert found["length"] == len(str(GROWN))
    assert [[row["id"] for row in one] for one in found["each"]] == [[0], [0, 1]]

    async def asked() -> Any:
        async with AsyncClient(config=work.folder / "jobs.yaml") as client:
            return await client.result(flow["id"]), (await client.wait(flow["id"])).result

    assert asyncio.run(asked()) == (found, found)


def test_a_step_whose_input_is_lost_fails_and_says_so(work: Project) -> None:
    work.cli("run", "--once", "whole").ok()
    (flow,) = work.runs(job="whole")
    rows = step_run(work, "whole/rows")
    path = folder_of(work) / f"{rows['id']}-1.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"x", b"y", 1))
    with work.engine() as engine:
        work.cli("retry", str(flow["id"]), "--from", "first").ok()
        engine.wait_for(lambda: work.runs(job="whole")[0]["state"] == "failed")
    told = work.cli("show", str(flow["id"])).ok().out
    assert f"the result of run {rows['id']} is lost: its file {path} is damaged" in told
    asked = work.cli("result", str(rows["id"]))
    assert (asked.code, "Traceback" in asked.err) == (1, False)
    assert f"run {rows['id']} is lost" in asked.err
    with Client(config=work.folder / "jobs.yaml") as client:
        with pytest.raises(ResultFileError, match="damaged"):
            client.result(rows["id"])
        with pytest.raises(ResultFileError, match="damaged"):
            client.wait(rows["id"])
        with pytest.raises(RunFailedError):
            client.result(flow["id"])
    # The step that only asks how the other ended needs no file; what stays is read anew once the file is right again.
    path.write_bytes(whole)
    with work.engine() as engine:
        work.cli("retry", str(flow["id"])).ok()
        engine.wait_for(lambda: work.runs(job="whole")[0]["state"] == "succeeded")
    assert json.loads(work.cli("result", str(flow["id"])).ok().out)["first"] == 0


def test_what_stays_of_a_retried_workflow_keeps_its_files(work: Project) -> None:
    work.cli("run", "--once", "whole").ok()
    (flow,) = work.runs(job="whole")
    before = files_of(work)
    with work.engine() as engine:
        work.cli("retry", str(flow["id"]), "--from", "measure").ok()
        engine.wait_for(lambda: work.runs(job="whole")[0]["state"] == "succeeded")
    again = json.loads(work.cli("result", str(flow["id"])).ok().out)
    assert again["measure"]["text"] == str(GROWN)
    assert len(files_of(work) - before) == 1
    assert before <= files_of(work)


def test_a_state_only_reader_needs_no_file(work: Project) -> None:
    work.cli("run", "--once", "whole").ok()
    (flow,) = work.runs(job="whole")
    for index in (1, 2):
        (folder_of(work) / f"{step_run(work, 'whole/grow', index)['id']}-1.json").unlink()
    with work.engine() as engine:
        work.cli("retry", str(flow["id"]), "--from", "state").ok()
        engine.wait_for(lambda: work.runs(job="whole")[0]["state"] == "succeeded")


def test_items_that_were_lost_before_they_could_be_read_are_found_again(work: Project) -> None:
    work.plugin(
        "work",
        PLUGIN
        + """
    from pathlib import Path
    from orchestrator.core import result_files
    from orchestrator.worker import keeping

    def losing(folder, run_id, attempt, data, write=result_files.write):
        file = write(folder, run_id, attempt, data)
        if data.startswith(b'{"items"') and not Path("lost").exists():
            Path("lost").touch()
            (folder / file.name).unlink()
        return file
    keeping.write = losing
""",
    )
    work.write("jobs.yaml", JOBS.replace("retry: false", "retry: {max_attempts: 2, delay: 0s}"))
    work.cli("run", "--once", "whole").ok()
    prepared = step_run(work, "whole/grow")
    outcomes = [attempt["outcome"] for attempt in work.show(prepared["id"])["attempts"]]
    assert (outcomes, prepared["result_files"][0]["name"]) == (["failed", "succeeded"], f"{prepared['id']}-2.json")
    assert "is missing" in work.show(prepared["id"])["attempts"][0]["error"]["message"]
