"""History is forgotten by age and count, a few rows at a time; what still matters never is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from orchestrator.core.runs import ACTIVE, LogLine, RunState
from orchestrator.store import batches, instances, pruning
from orchestrator.store.batches import Batch
from orchestrator.store.output import SavedValue
from orchestrator.store.pruning import Rule
from orchestrator.store.tables import attempts, checkpoints, logs


def prune_all(ledger: Any, *, count: int = 0, before: datetime | None = None, step: int = 1000) -> int:
    before = before or ledger.at(days=-1)
    rule = Rule(count=count, before=before, failed_before=before, served_after=ledger.at(minutes=-5), now=ledger.now)
    deleted, position = 0, 0
    while True:
        pruned = ledger.store.write(pruning.prune, "tidy", rule, position, step)
        deleted += pruned.deleted
        if pruned.position is None:
            return deleted
        assert pruned.position > position
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
