"""What starts next: by priority, oldest first, within every limit, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from orchestrator.core.policies import Isolation, Order
from orchestrator.core.runs import RunState
from orchestrator.store import claims, instances, output, requests
from orchestrator.store.claims import DEADLINE_REASON
from orchestrator.store.output import SavedValue
from orchestrator.store.store import Store


def ids(claimed: Any) -> list[int]:
    return [run.id for run in claimed.runs]


def jobs(claimed: Any) -> list[str]:
    return [run.job for run in claimed.runs]


def allow_statements(ledger: Any, most: int) -> None:
    """Fail a transition that goes round in circles."""
    left = iter(range(most))

    @event.listens_for(ledger.store.database.writing, "before_cursor_execute")
    def count(*_: Any) -> None:
        assert next(left, None) is not None, f"more than {most} statements"


def test_a_claim_hands_over_all_that_an_attempt_needs(ledger: Any) -> None:
    owner = ledger.engine()
    run_id = ledger.queued(params={"n": 1}, fire_time=ledger.at(seconds=-1), deadline_at=ledger.at(hours=1))
    run = ledger.take(owner)
    assert (run.id, run.job, run.attempt, run.uncharged) == (run_id, "tidy", 1, 0)
    assert (run.params, run.fire_time, run.deadline_at) == ({"n": 1}, ledger.at(seconds=-1), ledger.at(hours=1))
    assert run.checkpoint is None
    kept = ledger.run(run_id)
    assert (kept.state, kept.owner, kept.attempt, kept.started_at) == (RunState.RUNNING, owner, 1, ledger.now)


def test_higher_priority_goes_first_then_what_was_due_first_then_what_was_created_first(ledger: Any) -> None:
    owner = ledger.engine()
    late, early = ledger.queued(), ledger.queued(due_at=ledger.at(seconds=-5))
    urgent, lazy = ledger.queued(priority=9), ledger.queued(priority=-1, due_at=ledger.at(minutes=-4))
    late_too = ledger.queued()
    order = [run_id for _ in range(5) for run_id in ids(ledger.claim(owner, capacity={Isolation.PROCESS: 1}))]
    assert order == [urgent, early, late, late_too, lazy]


def test_who_has_waited_long_goes_before_a_higher_priority(ledger: Any) -> None:
    owner = ledger.engine()
    patient = ledger.queued(priority=0, due_at=ledger.at(minutes=-11))
    urgent = ledger.queued(priority=2)
    slow_to_age = ledger.queued(priority=1, aging=timedelta(hours=1))
    order = [run_id for _ in range(3) for run_id in ids(ledger.claim(owner, capacity={Isolation.PROCESS: 1}))]
    assert order == [slow_to_age, patient, urgent]


def test_the_newest_goes_first_where_the_queue_says_so(ledger: Any) -> None:
    owner = ledger.engine()
    made = [ledger.queued(order=Order.LIFO, due_at=ledger.at(seconds=n - 9)) for n in range(3)]
    urgent = ledger.queued(order=Order.LIFO, priority=1, due_at=ledger.at(seconds=-20))
    assert ids(ledger.claim(owner)) == [urgent, *reversed(made)]


def test_one_claim_takes_runs_in_the_same_order(ledger: Any) -> None:
    wanted = {ledger.queued(priority=n % 3): (-(n % 3), n) for n in range(30)}
    claimed = ids(ledger.claim(ledger.engine(), capacity={Isolation.PROCESS: 10}))
    assert claimed == sorted(wanted, key=wanted.__getitem__)[:10]


def test_nothing_is_claimed_without_room(ledger: Any) -> None:
    ledger.queued()
    assert ids(ledger.claim(ledger.engine(), capacity={})) == []
    assert ids(ledger.claim(ledger.engine(), capacity={Isolation.PROCESS: 0})) == []


def test_each_isolation_takes_what_it_has_room_for(ledger: Any) -> None:
    for _ in range(5):
        ledger.create(*(ledger.new(str(isolation), isolation=isolation) for isolation in Isolation))
    claimed = ledger.claim(ledger.engine(), capacity={Isolation.PROCESS: 2, Isolation.ASYNC: 3})
    assert sorted(jobs(claimed)) == ["async", "async", "async", "process", "process"]


def test_a_run_is_claimed_once(ledger: Any) -> None:
    one, other = ledger.engine(), ledger.engine()
    run_id = ledger.queued()
    assert (ids(ledger.claim(one)), ids(ledger.claim(other)), ids(ledger.claim(one))) == ([run_id], [], [])


def test_many_engines_at_once_claim_each_run_once_and_keep_to_the_limits(ledger: Any, store_url: str) -> None:
    ledger.create(*(ledger.new(f"job-{n % 10}") for n in range(400)))
    owners = [ledger.engine() for _ in range(4)]
    taken: list[int] = []

    def work(owner: int) -> None:
        store = Store(store_url)
        limits = {"capacity": {Isolation.PROCESS: 7}, "job_limits": {"job-3": 5}, "queue_limits": {"default": 300}}
        while claimed := store.write(claims.claim, ledger.request(owner, **limits)).runs:
            taken.extend(run.id for run in claimed)
        store.close()

    with ThreadPoolExecutor(len(owners)) as engines:
        for engine in [engines.submit(work, owner) for owner in owners]:
            engine.result()
    assert len(taken) == len(set(taken)) == 300
    assert sum(ledger.run(run_id).job == "job-3" for run_id in taken) == 5


def test_a_queue_runs_no_more_than_its_concurrency_over_all_engines_and_isolations(ledger: Any) -> None:
    one, other = ledger.engine(), ledger.engine()
    for isolation in (Isolation.PROCESS, Isolation.ASYNC) * 5:
        ledger.queued("mail", queue="mail", isolation=isolation)
    ledger.queued("tidy")
    room = {"capacity": dict.fromkeys(Isolation, 10), "queues": ["mail", "default"], "queue_limits": {"mail": 3}}
    first = ledger.claim(one, **room)
    assert sorted(jobs(first)) == ["mail", "mail", "mail", "tidy"]
    assert jobs(ledger.claim(other, **room)) == []
    ledger.end(next(run for run in first.runs if run.job == "mail"), one)
    assert jobs(ledger.claim(other, **room)) == ["mail"]


def test_a_queue_that_is_over_a_lowered_limit_gets_nothing(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.create(*[ledger.new()] * 5)
    ledger.claim(owner, capacity={Isolation.PROCESS: 3})
    assert ids(ledger.claim(owner, queue_limits={"default": 2})) == []


def test_a_queue_without_concurrency_gets_nothing(ledger: Any) -> None:
    ledger.queued()
    assert ids(ledger.claim(ledger.engine(), queue_limits={"default": 0})) == []


def test_a_job_runs_no_more_than_its_concurrency_over_all_engines_and_queues(ledger: Any) -> None:
    one, other = ledger.engine(), ledger.engine()
    for queue in ("default", "mail") * 3:
        ledger.queued("sync", queue=queue)
    room = {"queues": ["default", "mail"], "job_limits": {"sync": 2}}
    first = ledger.claim(one, **room)
    assert jobs(first) == ["sync", "sync"]
    assert jobs(ledger.claim(other, **room)) == []
    ledger.end(first.runs[0], one)
    assert jobs(ledger.claim(other, **room)) == ["sync"]


@pytest.mark.parametrize("full_already", [False, True])
def test_a_long_line_of_a_full_job_does_not_stand_in_front_of_others(ledger: Any, full_already: bool) -> None:
    owner = ledger.engine()
    ledger.create(*[ledger.new("full", priority=5)] * 700)
    ledger.create(*[ledger.new("other")] * 3)
    if full_already:
        ledger.claim(owner, capacity={Isolation.PROCESS: 1})
    claimed = jobs(ledger.claim(owner, capacity={Isolation.PROCESS: 4}, job_limits={"full": 1}))
    assert claimed == (["other"] * 3 if full_already else ["full", *["other"] * 3])


def test_several_limited_jobs_fill_up_one_after_the_other(ledger: Any) -> None:
    for job in ("a", "b", "c"):
        ledger.create(*[ledger.new(job)] * 20)
    limits = {"a": 2, "b": 3, "c": 1}
    claimed = jobs(ledger.claim(ledger.engine(), capacity={Isolation.PROCESS: 50}, job_limits=limits))
    assert {job: claimed.count(job) for job in limits} == limits


def test_a_job_without_concurrency_never_starts(ledger: Any) -> None:
    ledger.queued("never")
    other = ledger.queued("other")

    allow_statements(ledger, 50)
    room = {"capacity": {Isolation.PROCESS: 1}, "job_limits": {"never": 0}}
    assert ids(ledger.claim(ledger.engine(), **room)) == [other]


def test_many_full_jobs_in_front_are_passed_over_in_few_statements(ledger: Any) -> None:
    owner = ledger.engine()
    names = [f"job-{n}" for n in range(300)]
    ledger.create(*(ledger.new(name) for name in names))
    ledger.claim(owner, capacity={Isolation.PROCESS: 300})
    ledger.create(*(ledger.new(name, priority=1) for name in names))
    free = ledger.queued("free")
    allow_statements(ledger, 50)
    room = {"capacity": {Isolation.PROCESS: 1}, "job_limits": dict.fromkeys(names, 1)}
    assert ids(ledger.claim(owner, **room)) == [free]


def test_a_paused_job_is_passed_over(ledger: Any) -> None:
    owner = ledger.engine()
    held, other = ledger.queued("held"), ledger.queued("other")
    ledger.store.write(requests.pause, "held", ledger.now)
    assert ids(ledger.claim(owner)) == [other]
    ledger.store.write(requests.resume, "held", ledger.now)
    assert ids(ledger.claim(owner)) == [held]


def test_a_run_past_its_deadline_is_not_started_but_failed(ledger: Any) -> None:
    owner = ledger.engine()
    deadline = ledger.at(seconds=10)
    queued, running = ledger.queued(deadline_at=deadline), ledger.running(owner, deadline_at=deadline).id
    scheduled, free = ledger.queued(deadline_at=deadline, due_at=ledger.at(seconds=9)), ledger.queued("free")
    assert ledger.store.write(claims.expire, ledger.at(seconds=9)) == []
    ledger.later(seconds=10)
    assert ids(ledger.claim(owner)) == [free]
    failed = ledger.store.write(claims.expire, ledger.now)
    assert sorted((run.id, run.job) for run in failed) == [(queued, "tidy"), (scheduled, "tidy")]
    assert ledger.store.write(claims.expire, ledger.now) == []
    for run_id in (queued, scheduled):
        run = ledger.run(run_id)
        assert (run.state, run.reason, run.finished_at) == (RunState.FAILED, DEADLINE_REASON, ledger.now)
    assert ledger.run(running).state is RunState.RUNNING


def test_a_scheduled_run_becomes_claimable_at_its_due_time_and_the_next_is_told(ledger: Any) -> None:
    owner = ledger.engine()
    soon, later = ledger.queued(due_at=ledger.at(seconds=5)), ledger.queued(due_at=ledger.at(seconds=9))
    claimed = ledger.claim(owner)
    assert (ids(claimed), claimed.next_due) == ([], ledger.at(seconds=5))
    ledger.later(seconds=5)
    claimed = ledger.claim(owner)
    assert (ids(claimed), claimed.next_due) == ([soon], ledger.at(seconds=4))
    ledger.later(seconds=60)
    claimed = ledger.claim(owner)
    assert (ids(claimed), claimed.next_due) == ([later], None)


def test_what_is_due_is_queued_even_when_nothing_can_be_taken(ledger: Any) -> None:
    run_id = ledger.queued(due_at=ledger.at(seconds=5))
    ledger.later(seconds=5)
    ledger.claim(ledger.engine(), capacity={})
    assert ledger.run(run_id).state is RunState.QUEUED


def test_only_run_takes_that_run_before_it_is_due_and_whatever_the_limits(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.running(owner)
    ledger.queued()
    wanted = ledger.queued(due_at=ledger.at(hours=1), queue="elsewhere", isolation=Isolation.ASYNC)
    limits = {"job_limits": {"tidy": 1}, "queue_limits": {"elsewhere": 0}, "capacity": {Isolation.ASYNC: 1}}
    assert ids(ledger.claim(owner, only_run=wanted, **limits)) == [wanted]
    assert ids(ledger.claim(owner, only_run=wanted, **limits)) == []


def test_only_run_waits_for_the_pause_before_a_retry(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, RunState.SCHEDULED, due_at=ledger.at(seconds=5))
    claimed = ledger.claim(owner, only_run=run.id)
    assert (ids(claimed), claimed.next_due) == ([], ledger.at(seconds=5))
    ledger.later(seconds=5)
    assert ids(ledger.claim(owner, only_run=run.id)) == [run.id]


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.SUCCEEDED, RunState.CANCELLED, RunState.SKIPPED])
def test_only_run_takes_nothing_that_runs_or_is_finished(ledger: Any, state: RunState) -> None:
    owner = ledger.engine()
    assert ids(ledger.claim(owner, only_run=ledger.in_state(state, owner))) == []


def test_a_short_queue_does_not_starve_behind_a_long_one(ledger: Any) -> None:
    ledger.create(*[ledger.new("long", queue="long", priority=9)] * 100)
    ledger.create(*[ledger.new("short", queue="short")] * 2)
    room = {"capacity": {Isolation.PROCESS: 10}, "queues": ["long", "short"]}
    claimed = jobs(ledger.claim(ledger.engine(), **room))
    assert claimed.count("short") == 2
    assert claimed.count("long") >= 5


def test_the_last_queue_may_use_all_that_the_others_left(ledger: Any) -> None:
    ledger.create(*[ledger.new("long", queue="long")] * 100)
    room = {"capacity": {Isolation.PROCESS: 10}, "queues": ["empty", "bare", "long"]}
    assert len(ids(ledger.claim(ledger.engine(), **room))) == 10


def test_with_room_for_one_the_queues_take_turns(ledger: Any) -> None:
    owner, queues, served = ledger.engine(), ["a", "b", "c"], []
    for queue in queues:
        ledger.create(*[ledger.new(queue, queue=queue)] * 4)
    for _ in range(6):
        served += jobs(ledger.claim(owner, capacity={Isolation.PROCESS: 1}, queues=queues))
        queues.append(queues.pop(0))
    assert served == ["a", "b", "c"] * 2


def test_a_queue_that_is_not_asked_for_is_left_alone(ledger: Any) -> None:
    ledger.queued(queue="elsewhere")
    assert ids(ledger.claim(ledger.engine())) == []


def test_the_next_attempt_gets_the_checkpoint_of_the_last(ledger: Any) -> None:
    owner = ledger.engine()
    run, fresh = ledger.running(owner), ledger.queued("fresh")
    saved = [SavedValue(run_id=run.id, attempt=1, value={"page": 7})]
    ledger.store.write(output.save_checkpoints, owner, saved, ledger.now)
    ledger.end(run, owner, RunState.QUEUED)
    again = {claimed.id: claimed for claimed in ledger.claim(owner).runs}
    assert again[run.id].checkpoint == {"page": 7}
    assert (again[run.id].attempt, again[fresh].checkpoint) == (2, None)


def test_an_attempt_starts_with_a_clean_sheet(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.store.write(output.mark_progress, owner, [output.ProgressMark(run_id=run.id, attempt=1, done=3, total=None)])
    ledger.end(run, owner, RunState.QUEUED)
    ledger.later(seconds=3)
    ledger.take(owner)
    kept = ledger.run(run.id)
    assert (kept.progress, kept.cancel_requested, kept.started_at) == (None, False, ledger.now)


def test_wishes_are_told_to_who_listens(ledger: Any) -> None:
    one, other = ledger.engine(), ledger.engine()
    mine, theirs = ledger.running(one), ledger.running(other)
    ledger.running(one)
    for run in (mine, theirs):
        assert ledger.cancel(run.id) is RunState.RUNNING
    ledger.store.write(requests.pause, "held", ledger.now)
    assert ledger.claim(one).wishes is None
    wishes = ledger.claim(one, listen=True, capacity={}).wishes
    assert wishes.paused == {"held"}
    assert [(run_id, attempt) for run_id, attempt, _ in wishes.cancels] == [(mine.id, 1)]


def test_a_wish_to_cancel_does_not_carry_the_failure_of_an_earlier_attempt(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.running(owner)
    ledger.end(run, owner, RunState.QUEUED, reason="ValueError: boom")
    ledger.take(owner)
    ledger.cancel(run.id)
    ((_, attempt, reason),) = ledger.claim(owner, listen=True, capacity={}).wishes.cancels
    assert attempt == 2
    assert "boom" not in (reason or "")


def test_an_engine_that_was_taken_for_dead_claims_nothing(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.queued()
    ledger.store.write(instances.retire, owner, ledger.now)
    assert ids(ledger.claim(owner)) == []


def test_hundreds_are_claimed_at_once_each_with_its_own_attempt(ledger: Any) -> None:
    ledger.create(*[ledger.new()] * 1201)
    claimed = ledger.claim(ledger.engine(), capacity={Isolation.PROCESS: 5000}).runs
    assert len(claimed) == 1201
    assert {run.attempt for run in claimed} == {1}
    assert set(ledger.states().values()) == {RunState.RUNNING}
