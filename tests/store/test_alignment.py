"""Runs that wait follow their jobs to the kind of worker that these ask for now."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import RunState
from orchestrator.store import alignment


def align(ledger: Any, **jobs: Isolation) -> int:
    return ledger.store.write(alignment.align_isolation, jobs, Isolation.PROCESS)  # type: ignore[no-any-return]


@pytest.mark.parametrize("state", [RunState.SCHEDULED, RunState.QUEUED])
def test_a_waiting_run_moves_to_its_job_s_workers(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    run_id = ledger.in_state(state, owner)
    assert align(ledger, tidy=Isolation.ASYNC) == 1
    assert align(ledger, tidy=Isolation.ASYNC) == 0
    ledger.later(hours=2)
    assert ledger.claim(owner).runs == []
    assert [run.id for run in ledger.claim(owner, capacity={Isolation.ASYNC: 1}).runs] == [run_id]


def test_a_waiting_run_of_a_job_that_is_gone_goes_where_somebody_looks(ledger: Any) -> None:
    owner = ledger.engine()
    run_id = ledger.queued("gone", isolation=Isolation.THREAD)
    assert align(ledger) == 1
    assert ledger.take(owner).id == run_id


def test_what_runs_or_is_finished_stays_as_it_is(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.running(owner)
    ledger.in_state(RunState.SUCCEEDED, owner)
    assert align(ledger, tidy=Isolation.ASYNC) == 0
