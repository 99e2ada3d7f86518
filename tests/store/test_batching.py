"""Which runs are claimed together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from orchestrator.core.plan import Queue
from orchestrator.core.policies import Batching, Isolation, RateLimit
from orchestrator.core.runs import RunState
from orchestrator.store.batching import LONGEST

BATCHES = {"letters": Batching(size=3, wait=timedelta(seconds=10))}


def claim(ledger: Any, owner: int, **fields: Any) -> Any:
    return ledger.claim(owner, **{"batches": BATCHES, **fields})


def letters(ledger: Any, count: int, **fields: Any) -> list[int]:
    return [ledger.queued("letters", gathered=True, **fields) for _ in range(count)]


def test_a_full_batch_is_claimed_at_once_in_order(ledger: Any) -> None:
    made = letters(ledger, 4)
    urgent = ledger.queued("letters", priority=5)
    claimed = claim(ledger, ledger.engine(), capacity={Isolation.PROCESS: 1})
    assert [run.id for run in claimed.runs] == [urgent, *made[:2]]
    assert claimed.batches == {urgent: (urgent, *made[:2])}
    assert [ledger.run(run_id).batch_id for run_id in (urgent, *made[:2])] == [None, urgent, urgent]
    assert {ledger.run(run_id).state for run_id in made[2:]} == {RunState.QUEUED}


def test_fewer_wait_for_more_until_the_first_has_waited_long_enough(ledger: Any) -> None:
    owner = ledger.engine()
    made = letters(ledger, 2)
    other = ledger.queued("other")
    first = claim(ledger, owner)
    assert [run.id for run in first.runs] == [other]
    assert first.waiting
    assert first.next_due == ledger.at(seconds=10)
    ledger.later(seconds=10)
    assert claim(ledger, owner).batches == {made[0]: tuple(made)}


def test_room_and_limits_count_batches_and_not_runs(ledger: Any) -> None:
    owner = ledger.engine()
    made = letters(ledger, 9)
    limits = {"job_limits": {"letters": 2}, "capacity": {Isolation.PROCESS: 5}}
    assert set(claim(ledger, owner, **limits).batches) == {made[0], made[3]}
    assert claim(ledger, owner, **limits).runs == []
    assert set(claim(ledger, owner, queue_limits={"default": 3}).batches) == {made[6]}
    assert claim(ledger, owner).runs == []


def test_what_is_left_beside_full_batches_waits_for_company_of_its_own(ledger: Any) -> None:
    owner = ledger.engine()
    made = letters(ledger, 5)
    assert claim(ledger, owner).batches == {made[0]: tuple(made[:3])}
    assert claim(ledger, owner).runs == []
    ledger.later(seconds=10)
    assert claim(ledger, owner).batches == {made[3]: tuple(made[3:])}


def test_the_last_of_a_long_line_need_not_wait_again(ledger: Any) -> None:
    owner = ledger.engine()
    made = letters(ledger, 5)
    ledger.later(seconds=10)
    assert claim(ledger, owner).batches == {made[0]: tuple(made[:3]), made[3]: tuple(made[3:])}


def test_a_run_that_is_asked_for_alone_comes_alone(ledger: Any) -> None:
    made = letters(ledger, 3)
    claimed = claim(ledger, ledger.engine(), only_run=made[1])
    assert [run.id for run in claimed.runs] == [made[1]]
    assert claimed.batches == {}


def test_a_retry_forgets_the_batch_of_the_attempt_before(ledger: Any) -> None:
    owner = ledger.engine()
    made = letters(ledger, 3)
    for run in claim(ledger, owner).runs:
        state = RunState.SUCCEEDED if run.id == made[0] else RunState.QUEUED
        ledger.end(run, owner, state)
    ledger.later(seconds=20)
    assert claim(ledger, owner).batches == {made[1]: tuple(made[1:])}
    assert [ledger.run(run_id).batch_id for run_id in made[1:]] == [None, made[1]]


def test_parameters_that_are_long_together_are_more_than_one_batch(ledger: Any) -> None:
    owner = ledger.engine()
    long = {"params": {"text": "x" * (LONGEST // 2)}}
    made = [*letters(ledger, 2, **long), *letters(ledger, 1), *letters(ledger, 1, params={"text": "x" * LONGEST})]
    first = claim(ledger, owner, capacity={Isolation.PROCESS: 2})
    assert first.batches == {made[0]: (made[0],), made[1]: (made[1], made[2])}
    ledger.later(seconds=10)
    assert claim(ledger, owner).batches == {made[3]: (made[3],)}


def test_a_call_is_one_start_of_a_rate_however_many_runs_it_has(ledger: Any) -> None:
    owner = ledger.engine()
    queue = Queue(name="default", rate_limit=RateLimit(count=2, period=timedelta(seconds=60)))
    ruled = {"queues": ["default"], "ruled": {"default": queue}}
    made = letters(ledger, 3)
    assert claim(ledger, owner, **ruled).batches == {made[0]: tuple(made)}
    more = letters(ledger, 9)
    assert claim(ledger, owner, **ruled).batches == {more[0]: tuple(more[:3])}
    assert claim(ledger, owner, **ruled).runs == []
