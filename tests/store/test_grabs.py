"""New runs start at once only where they overtake nobody and no limit stands before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.core.policies import Isolation, Overlap
from orchestrator.core.runs import RunState
from orchestrator.store import creation, instances, requests
from orchestrator.store.creation import Created, NewRun
from orchestrator.store.grabs import Grab


def grab(
    ledger: Any, *new: NewRun, owner: int, room: int = 10, limits: Mapping[str, int] | None = None
) -> list[Created]:
    wanted = Grab(owner=owner, now=ledger.now, capacity=dict.fromkeys(Isolation, room), queue_limits=limits or {})
    return ledger.store.write(creation.create_runs, new, (), wanted)  # type: ignore[no-any-return]


def states(created: list[Created]) -> list[str]:
    return [one.state.value for one in created]


def test_a_run_that_nothing_stands_before_is_created_as_its_first_attempt(ledger: Any) -> None:
    owner = ledger.engine()
    (created,) = grab(ledger, ledger.new(), owner=owner)
    run = ledger.run(created.id)
    assert (created.state, created.owner) == (RunState.RUNNING, owner)
    assert (run.state, run.owner, run.attempt, run.charged, run.started_at) == (
        *(RunState.RUNNING, owner, 1, 1, ledger.now),
    )
    assert ledger.claim(owner).runs == []


def test_no_more_start_than_there_is_room_for(ledger: Any) -> None:
    new = [ledger.new(f"job-{n}") for n in range(3)] + [ledger.new("async", isolation=Isolation.ASYNC)]
    assert states(grab(ledger, *new, owner=ledger.engine(), room=2)) == ["running", "running", "queued", "running"]


@pytest.mark.parametrize("why", ["due later", "skipped", "an earlier run of the job", "a run before it in the line"])
def test_a_run_waits_for_what_stands_before_it(ledger: Any, why: str) -> None:
    owner = ledger.engine()
    fields: dict[str, Any] = {}
    wanted = RunState.QUEUED
    match why:
        case "due later":
            fields, wanted = {"due_at": ledger.at(seconds=1)}, RunState.SCHEDULED
        case "skipped":
            fields, wanted = {"skip_reason": "the job is paused"}, RunState.SKIPPED
        case "an earlier run of the job":
            ledger.running(owner)
        case _:
            ledger.queued("other")
    (created,) = grab(ledger, ledger.new(**fields), owner=owner)
    assert (created.state, created.owner, ledger.run(created.id).attempt) == (wanted, None, 0)


def test_a_line_of_another_queue_or_isolation_stands_before_nobody(ledger: Any) -> None:
    ledger.queued("a", queue="mail")
    ledger.queued("b", isolation=Isolation.ASYNC)
    assert states(grab(ledger, ledger.new(), owner=ledger.engine())) == ["running"]


def test_of_a_job_one_run_starts_whatever_its_overlap(ledger: Any) -> None:
    twice = [ledger.new(overlap=Overlap.ALLOW, fire_time=ledger.at(seconds=n)) for n in range(2)]
    assert states(grab(ledger, *twice, owner=ledger.engine())) == ["running", "queued"]


def test_a_queue_s_limit_counts_what_runs_of_all_engines_and_isolations(ledger: Any) -> None:
    owner, other = ledger.engine(), ledger.engine()
    ledger.running(other, "busy", queue="mail")
    new = [
        ledger.new(f"job-{n}", queue="mail", isolation=isolation)
        for n, isolation in enumerate((Isolation.PROCESS, Isolation.ASYNC) * 3)
    ]
    created = grab(ledger, *new, owner=owner, limits={"mail": 3})
    assert states(created).count("running") <= 2
    assert states(created)[0] == "running"


def test_a_grabbed_fire_is_grabbed_once(ledger: Any) -> None:
    fire = ledger.new(fire_time=ledger.now)
    first, second = (grab(ledger, fire, owner=ledger.engine())[0] for _ in range(2))
    assert (first.id is None, second.id) == (False, None)


def test_a_grabbed_run_ends_as_any_other(ledger: Any) -> None:
    owner = ledger.engine()
    (created,) = grab(ledger, ledger.new(), owner=owner)
    ledger.store.write(instances.retire, owner, ledger.now)
    assert ledger.store.read(instances.orphan_owners) == [owner]
    (run,) = [claimed for claimed in [ledger.run(created.id)] if claimed.owner == owner]
    assert ledger.end(run, owner, RunState.QUEUED).states == {run.id: RunState.QUEUED}


def test_of_several_fires_that_replace_one_another_only_the_last_lives(ledger: Any) -> None:
    fires = [ledger.new(overlap=Overlap.REPLACE, fire_time=ledger.at(seconds=n)) for n in range(3)]
    ids = [one.id for one in grab(ledger, *fires, owner=ledger.engine())]
    alive = [
        run_id for run_id in ids if not ledger.run(run_id).state.finished and not ledger.run(run_id).cancel_requested
    ]
    assert alive == ids[-1:]


def test_a_paused_job_is_not_started(ledger: Any) -> None:
    ledger.store.write(requests.pause, "tidy", ledger.now)
    assert states(grab(ledger, ledger.new(), owner=ledger.engine())) == ["queued"]


def test_the_last_room_goes_to_the_highest_priority(ledger: Any) -> None:
    new = [ledger.new("lazy", priority=-1), ledger.new("urgent", priority=9)]
    assert states(grab(ledger, *new, owner=ledger.engine(), room=1)) == ["queued", "running"]


def test_what_is_due_and_not_queued_yet_is_not_overtaken(ledger: Any) -> None:
    ledger.queued("earlier", due_at=ledger.at(seconds=1), priority=9)
    ledger.later(seconds=2)
    assert states(grab(ledger, ledger.new(), owner=ledger.engine(), room=1)) == ["queued"]


def test_an_engine_that_was_taken_for_dead_grabs_nothing(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.store.write(instances.retire, owner, ledger.now)
    assert states(grab(ledger, ledger.new(), owner=owner)) == ["queued"]
