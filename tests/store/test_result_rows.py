"""Rows name files: which are needed, and which go with the runs that are forgotten."""

from __future__ import annotations

from typing import Any

from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import RunState
from orchestrator.store import dead, forgetting, pruning, queues, result_rows
from orchestrator.store.pruning import Rule


def file_of(run_id: int, attempt: int = 1, **fields: Any) -> ResultFile:
    return ResultFile(name=f"{run_id}-{attempt}.json", size=70_000, digest="d", **fields)


def large(ledger: Any, owner: int, job: str = "tidy") -> int:
    """A run that has succeeded with a large result."""
    run = ledger.running(owner, job)
    ledger.end(run, owner, result_file=file_of(run.id, run.attempt))
    return int(run.id)


def test_a_run_names_the_file_of_the_attempt_that_counted(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, result="found", result_file=file_of(run.id))
    kept = ledger.run(run.id)
    assert (kept.result, kept.result_files) == (None, (file_of(run.id),))
    ledger.end(run, owner, result_file=file_of(run.id, 2))
    assert ledger.run(run.id).result_files == (file_of(run.id),)


def test_a_run_that_starts_over_names_its_file_no_more(ledger: Any) -> None:
    owner = ledger.engine()
    run_id = large(ledger, owner)
    ledger.retry(run_id)
    assert ledger.run(run_id).result_files is None
    run = ledger.take(owner)
    ledger.end(run, owner, RunState.FAILED)
    assert ledger.run(run_id).result_files is None


def test_needed_is_what_a_row_names_or_is_about_to(ledger: Any) -> None:
    owner = ledger.engine()
    named = large(ledger, owner)
    retried = large(ledger, owner)
    ledger.retry(retried)
    second = ledger.take(owner)
    waiting = ledger.queued()
    names = [
        *(f"{named}-1.json", f"{named}-2.json"),
        *(f"{retried}-1.json", f"{retried}-{second.attempt}.json"),
        *(f"{waiting}-1.json", "999-1.json"),
    ]
    found = ledger.store.read(result_rows.needed, names)
    assert found == {f"{named}-1.json", f"{retried}-{second.attempt}.json"}
    owned = ledger.store.read(lambda connection: list(result_rows.all_owned(connection)))
    assert [(one.run_id, one.file.name) for one in owned] == [(named, f"{named}-1.json")]


def test_what_is_forgotten_gives_its_files_to_delete(ledger: Any) -> None:
    owner = ledger.engine()
    run_id = large(ledger, owner)
    ledger.in_state(RunState.SUCCEEDED, owner)
    ledger.later(days=2)
    kept = large(ledger, owner)
    at = ledger.at(days=-1)
    rule = Rule(count=10, before=at, failed_before=at, served_after=ledger.now, now=ledger.now)
    pruned = ledger.store.write(pruning.prune, "tidy", rule, 0, 100)
    assert (pruned.deleted, list(pruned.files)) == (2, [f"{run_id}-1.json"])
    newest = ledger.store.read(queues.newest_id)
    forgotten = ledger.store.write(queues.forget, "default", 0, newest, ledger.now)
    assert (forgotten.deleted, list(forgotten.files)) == (1, [f"{kept}-1.json"])


def test_a_dropped_dead_letter_has_none(ledger: Any) -> None:
    run_id = ledger.in_state(RunState.FAILED, ledger.engine())
    assert ledger.store.write(dead.drop_dead, [run_id]) == []


def test_a_workflow_takes_along_the_files_of_its_steps_once_each(ledger: Any) -> None:
    from sqlalchemy import update

    from orchestrator.store.tables import runs

    owner = ledger.engine()
    flow, step = ledger.running(owner, "flow"), ledger.running(owner, "flow/a")
    ledger.end(step, owner, result_file=file_of(step.id))
    ledger.end(flow, owner)
    parts = [file_of(step.id, at=("a",))]

    def part_of(connection: Any) -> None:
        connection.execute(update(runs).where(runs.c.id == step.id).values(flow_id=flow.id, step="a"))
        connection.execute(update(runs).where(runs.c.id == flow.id).values(result_files=parts, result={"a": None}))

    ledger.store.write(part_of)
    assert ledger.run(flow.id).result_files == tuple(parts)
    assert ledger.store.write(forgetting.delete_runs, [flow.id]) == [f"{step.id}-1.json"]
