"""What attempts leave: output in order, the newest progress and checkpoint; of a stale attempt only its output."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import LogLine, RunState
from orchestrator.store import batches, queries
from orchestrator.store.batches import Batch
from orchestrator.store.output import ProgressMark, SavedValue
from orchestrator.store.tables import checkpoints


def write(ledger: Any, owner: int, **fields: Any) -> Any:
    return ledger.store.write(batches.write_batch, Batch(owner=owner, **fields), ledger.now)


def line(ledger: Any, run_id: int, text: str, attempt: int = 1, **fields: Any) -> LogLine:
    return LogLine(run_id=run_id, attempt=attempt, at=ledger.now, text=text, **{"stream": "stdout", **fields})


def checkpoint(ledger: Any, run_id: int) -> Any:
    query = select(checkpoints.c.value).where(checkpoints.c.run_id == run_id)
    return ledger.store.read(lambda connection: connection.execute(query).scalar())


def test_an_empty_batch_says_so() -> None:
    assert not Batch(owner=1)
    assert Batch(owner=1, saved=[SavedValue(run_id=1, attempt=1, value=1)])


def test_output_is_kept_in_order_and_found_from_where_one_stopped_reading(ledger: Any) -> None:
    owner = ledger.engine()
    run, other = ledger.running(owner), ledger.running(owner)
    texts = [f"line {n} \x00 ünï\n" for n in range(230)]
    write(ledger, owner, logs=[line(ledger, run.id, text) for text in texts[:120]])
    write(ledger, owner, logs=[line(ledger, other.id, "between")])
    write(ledger, owner, logs=[line(ledger, run.id, text, stream="log", level="INFO") for text in texts[120:]])
    found = ledger.store.read(queries.list_logs, run.id)
    assert [kept.text for _, kept in found] == texts
    assert found[-1][1] == line(ledger, run.id, texts[-1], stream="log", level="INFO")
    rest = ledger.store.read(queries.list_logs, run.id, after_id=found[99][0])
    assert [kept.text for _, kept in rest] == texts[100:]


def test_output_of_a_stale_attempt_is_kept(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, RunState.QUEUED)
    ledger.take(owner)
    write(ledger, owner, logs=[line(ledger, run.id, "last words", attempt=1)])
    ((_, kept),) = ledger.store.read(queries.list_logs, run.id)
    assert (kept.attempt, kept.text) == (1, "last words")


def test_the_newest_progress_and_checkpoint_are_kept(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    marks = [ProgressMark(run_id=run.id, attempt=1, done=done, total=10) for done in (1, 2, 3)]
    saved = [SavedValue(run_id=run.id, attempt=1, value={"page": page}) for page in (1, 2)]
    write(ledger, owner, progress=marks, saved=saved)
    assert (ledger.run(run.id).progress, checkpoint(ledger, run.id)) == ((3, 10), {"page": 2})
    write(
        ledger,
        owner,
        progress=[ProgressMark(run_id=run.id, attempt=1, done=0, total=None)],
        saved=[SavedValue(run_id=run.id, attempt=1, value=[])],
    )
    assert (ledger.run(run.id).progress, checkpoint(ledger, run.id)) == ((0, None), [])


@pytest.mark.parametrize("stale", ["attempt", "owner", "ended"])
def test_progress_and_checkpoint_of_a_stale_attempt_are_refused(ledger: Any, stale: str) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    good = [SavedValue(run_id=run.id, attempt=1, value="good")]
    write(ledger, owner, saved=good, progress=[ProgressMark(run_id=run.id, attempt=1, done=5, total=None)])
    if stale == "attempt":
        ledger.end(run, owner, RunState.QUEUED)
        ledger.take(owner)
    if stale == "ended":
        ledger.end(run, owner, RunState.FAILED)
    before = ledger.run(run.id).progress
    late = [SavedValue(run_id=run.id, attempt=1, value="late")]
    by = ledger.engine() if stale == "owner" else owner
    write(ledger, by, saved=late, progress=[ProgressMark(run_id=run.id, attempt=1, done=9, total=None)])
    assert (ledger.run(run.id).progress, checkpoint(ledger, run.id)) == (before, "good")


def test_what_an_attempt_left_is_written_before_its_end(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    settled = write(
        ledger,
        owner,
        logs=[line(ledger, run.id, "done")],
        progress=[ProgressMark(run_id=run.id, attempt=1, done=10, total=10)],
        saved=[SavedValue(run_id=run.id, attempt=1, value="kept")],
        endings=[ledger.ending(run, owner, RunState.FAILED)],
    )
    assert settled.states == {run.id: RunState.FAILED}
    assert (ledger.run(run.id).progress, checkpoint(ledger, run.id)) == ((10, 10), "kept")


def test_a_batch_is_one_transaction(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    with pytest.raises(TypeError):
        write(
            ledger,
            owner,
            logs=[line(ledger, run.id, "done")],
            progress=[ProgressMark(run_id=run.id, attempt=1, done=10, total=10)],
            endings=[ledger.ending(run, owner, result=object())],
        )
    assert ledger.store.read(queries.list_logs, run.id) == []
    assert (ledger.run(run.id).state, ledger.run(run.id).progress) == (RunState.RUNNING, None)


def test_a_checkpoint_of_none_forgets_what_was_saved(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    write(ledger, owner, saved=[SavedValue(run_id=run.id, attempt=1, value="old")])
    write(ledger, owner, saved=[SavedValue(run_id=run.id, attempt=1, value=None)])
    ledger.end(run, owner, RunState.QUEUED)
    assert ledger.take(owner).checkpoint is None


def test_progress_beyond_what_a_column_holds_does_not_break_its_batch(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    huge = [ProgressMark(run_id=run.id, attempt=1, done=2**64 - 1, total=None)]
    settled = write(ledger, owner, progress=huge, endings=[ledger.ending(run, owner)])
    assert settled.states == {run.id: RunState.SUCCEEDED}


def test_progress_of_hundreds_of_runs_is_one_batch(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.create(*[ledger.new()] * 601)
    runs = ledger.claim(owner, capacity={Isolation.PROCESS: 1000}).runs
    marks = [ProgressMark(run_id=run.id, attempt=1, done=run.id, total=None) for run in runs]
    saved = [SavedValue(run_id=run.id, attempt=1, value=run.id) for run in runs]
    write(ledger, owner, progress=marks, saved=saved)
    found = ledger.store.read(queries.get_runs, [run.id for run in runs])
    assert all(run.progress == (run_id, None) for run_id, run in found.items())
    ledger.settle(owner, *(ledger.ending(run, owner, RunState.QUEUED) for run in runs))
    again = ledger.claim(owner, capacity={Isolation.PROCESS: 1000}).runs
    assert {run.id: run.checkpoint for run in again} == {run.id: run.id for run in runs}
