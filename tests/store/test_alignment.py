"""Runs that wait follow their jobs to the kind of worker that these ask for now."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.keys import KeyPath
from orchestrator.core.plan import Job, Plan, Queue
from orchestrator.core.policies import Isolation, PerKey
from orchestrator.core.runs import RunState
from orchestrator.store import alignment, plans, requests


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


def test_a_finished_run_that_starts_over_gets_the_key_its_queue_has_got_meanwhile(ledger: Any) -> None:
    owner = ledger.engine()
    run_ids = [ledger.queued(params={"tenant": tenant}) for tenant in ("acme", "acme", "globex")]
    bare = ledger.queued("other", queue="bare")
    ledger.store.write(requests.cancel_many, [*run_ids, bare], ledger.now)
    by = (KeyPath(("tenant",)),)
    queue = Queue(name="default", per_key=PerKey(by=by, concurrency=1))
    jobs = {"tidy": Job(name="tidy", call="m.f", group_by=by), "other": Job(name="other", call="m.f", queue="bare")}
    plan = Plan(path="jobs.yaml", root="", timezone="UTC", jobs=jobs, queues={"default": queue})
    ledger.store.write(plans.keep_plan, plan, ledger.now)
    ledger.store.write(requests.retry_many, [*run_ids, bare], ledger.now)
    assert [ledger.run(run_id).group_key for run_id in (*run_ids, bare)] == ["acme", "acme", "globex", None]
    claimed = ledger.claim(owner, ruled={"default": queue}).runs
    assert sorted(run.id for run in claimed) == [run_ids[0], run_ids[2]]
