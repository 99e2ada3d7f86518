"""History is forgotten by age and count, a few rows at a time; what still matters never is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, insert, select

from orchestrator.core.errors import ConflictError
from orchestrator.core.runs import ACTIVE, LogLine, RunState
from orchestrator.store import batches, flow_retries, forgetting, instances, pruning
from orchestrator.store.batches import Batch
from orchestrator.store.output import SavedValue, append_logs
from orchestrator.store.pruning import Pruned, Rule
from orchestrator.store.tables import attempts, checkpoints, flows, logs


def prune_all(ledger: Any, *, count: int = 0, before: datetime | None = None, step: int = 1000) -> int:
    before = before or ledger.at(days=-1)
    rule = Rule(count=count, before=before, failed_before=before, served_after=ledger.at(minutes=-5), now=ledger.now)
    deleted, position = 0, 0
    while True:
        pruned = ledger.store.write(pruning.prune, "tidy", rule, position, step)
        deleted += pruned.deleted
        if pruned.position is None:
            return deleted
        assert pruned.position > position or pruned.deleted
        position = pruned.position


def test_the_newest_runs_are_kept_whatever_the_size_of_a_step(ledger: Any) -> None:
    owner = ledger.engine()
    ids = [ledger.in_state(RunState.SUCCEEDED, owner) for _ in range(25)]
    other = ledger.in_state(RunState.SUCCEEDED, owner, "other")
    assert prune_all(ledger, count=10, step=4) == 15
    assert sorted(ledger.states()) == [*ids[15:], other]


def test_old_runs_are_forgotten_and_young_ones_kept(ledger: Any) -> None:
    owner = ledger.engine()
    old = [ledger.in_state(RunState.SUCCEEDED, owner) for _ in range(3)]
    ledger.later(days=2)
    young = ledger.in_state(RunState.FAILED, owner)
    assert prune_all(ledger, count=100, step=2) == len(old)
    assert set(ledger.states()) == {young}


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_an_unfinished_run_is_kept_however_old(ledger: Any, state: RunState) -> None:
    run_id = ledger.in_state(state, ledger.engine())
    ledger.later(days=400)
    assert prune_all(ledger) == 0
    assert set(ledger.states()) == {run_id}


def test_a_run_is_forgotten_with_all_that_is_its_own(ledger: Any) -> None:
    owner = ledger.engine()
    for state in (RunState.FAILED, RunState.QUEUED):
        run = ledger.running(owner)
        line = LogLine(run_id=run.id, attempt=1, at=ledger.now, stream="stdout", text="hello")
        saved = SavedValue(run_id=run.id, attempt=1, value=1)
        ends = [ledger.ending(run, owner, state)]
        ledger.store.write(
            batches.write_batch, Batch(owner=owner, logs=[line], saved=[saved], endings=ends), ledger.now
        )
    ledger.later(days=2)
    assert prune_all(ledger) == 1
    for table in (logs, attempts, checkpoints):
        query = select(func.count()).select_from(table)
        assert ledger.store.read(lambda connection, query=query: connection.execute(query).scalar()) == 1


def test_engines_that_stopped_long_ago_are_forgotten_unless_they_hold_runs(ledger: Any) -> None:
    living, holding, gone = ledger.engine(), ledger.engine(), ledger.engine()
    ledger.running(holding)
    for owner in (holding, gone):
        ledger.store.write(instances.retire, owner, ledger.now)
    assert ledger.store.write(pruning.prune_instances, ledger.at(days=-1)) == 0
    assert ledger.store.write(pruning.prune_instances, ledger.at(days=1)) == 1
    assert [one.id for one in ledger.store.read(instances.living)] == [living]
    assert ledger.store.read(instances.orphan_owners) == [holding]


def test_the_id_of_a_forgotten_engine_is_never_another_s(ledger: Any) -> None:
    ledger.engine()
    gone = ledger.engine()
    ledger.store.write(instances.retire, gone, ledger.now)
    ledger.store.write(pruning.prune_instances, ledger.at(days=1))
    assert ledger.engine() > gone


def test_a_fire_whose_run_is_forgotten_does_not_fire_again(ledger: Any) -> None:
    owner = ledger.engine()
    fire = ledger.new(fire_time=ledger.now)
    ledger.create(fire)
    ledger.end(ledger.take(owner), owner)
    prune_all(ledger, count=0)
    (late,) = ledger.create(fire)  # by an engine that was stopped for a moment between its wake-up and its write
    assert late.id is None


def test_what_still_holds_a_key_is_kept_whatever_the_retention(ledger: Any) -> None:
    owner = ledger.engine()
    (held,) = ledger.create(ledger.new(unique_key="k", unique_until=ledger.at(hours=2)))
    ledger.end(ledger.take(owner), owner)
    ledger.queued()
    ledger.later(hours=1)
    rule = Rule(count=1, before=ledger.now, failed_before=ledger.now, served_after=ledger.now, now=ledger.now)
    assert ledger.store.write(pruning.prune, "tidy", rule, 0, 10).deleted == 0
    later = msgspec.structs.replace(rule, now=ledger.at(hours=1))
    assert ledger.store.write(pruning.prune, "tidy", later, 0, 10).deleted == 1
    assert held.id not in ledger.states()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows in a transaction."""
    monkeypatch.setattr(forgetting.forget_some, "__defaults__", (10,))


def workflow(ledger: Any, owner: int, *, items: int, inner: int = 0) -> int:
    """A finished one with so many parts, each with so many parts of its own."""
    run_id = ledger.in_state(RunState.SUCCEEDED, owner)
    parts = [ledger.new("tidy/each", flow_id=run_id, step="each", item_index=i, skip_reason="-") for i in range(items)]
    made = [one.id for one in ledger.create(*parts)]
    own = [ledger.new("sub/x", flow_id=part, step="x", skip_reason="-") for part in made for _ in range(inner)]
    ledger.create(*own)
    for flow_id in (run_id, *(made if inner else ())):
        ledger.store.write(lambda c, flow_id=flow_id: c.execute(insert(flows), {"id": flow_id}))
    return int(run_id)


def pruned(ledger: Any, position: int = 0) -> Pruned:
    before = ledger.at(days=-1)
    rule = Rule(count=0, before=before, failed_before=before, served_after=before, now=ledger.now)
    return ledger.store.write(pruning.prune, "tidy", rule, position, 200)  # type: ignore[no-any-return]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("inner", [0, 3])
def test_large_workflows_are_forgotten_bit_by_bit_the_parts_first(ledger: Any, inner: int) -> None:
    owner = ledger.engine()
    for _ in range(3):
        workflow(ledger, owner, items=12, inner=inner)
    kept = ledger.in_state(RunState.SUCCEEDED, owner, "other")
    total = len(ledger.states())
    ledger.later(days=2)
    position: int | None = 0
    while position is not None:
        found = pruned(ledger, position)
        assert 0 < found.deleted <= 20
        position = found.position
        total -= found.deleted
        left = ledger.states()
        assert len(left) == total
        # Whatever dies now: each row that is left is still part of a workflow that will be looked at.
        assert all(run.flow_id in left for run in map(ledger.run, left) if run.flow_id is not None)
    assert set(ledger.states()) == {kept}


@pytest.mark.usefixtures("small")
def test_a_workflow_of_which_a_part_is_gone_is_not_retried(ledger: Any) -> None:
    run_id = workflow(ledger, ledger.engine(), items=30)
    ledger.later(days=2)
    assert pruned(ledger) == Pruned(deleted=10, position=0)
    for ask in (ledger.retry, lambda one: ledger.store.write(flow_retries.retry_flow, one, ledger.now)):
        with pytest.raises(ConflictError, match=f"run {run_id} is succeeded, and a part of it is deleted already"):
            ask(run_id)
    assert ledger.run(run_id).state is RunState.SUCCEEDED


@pytest.mark.usefixtures("small")
def test_runs_with_long_logs_are_forgotten_fewer_at_a_time(ledger: Any) -> None:
    owner = ledger.engine()
    for _ in range(2):
        run = ledger.running(owner)
        ledger.end(run, owner)
        lines = [LogLine(run_id=run.id, attempt=1, at=ledger.now, stream="stdout", text="x") for _ in range(100)]
        ledger.store.write(append_logs, lines)
    ledger.later(days=2)
    assert pruned(ledger) == Pruned(deleted=1, position=0)
    assert pruned(ledger) == Pruned(deleted=1, position=None)
