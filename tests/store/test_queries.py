"""What there is to look at: filters, limits, the newest runs, and how much waits where."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.runs import RunState
from orchestrator.store import queries
from orchestrator.store.queries import RunFilter


def listed(ledger: Any, **fields: Any) -> list[int]:
    return [run.id for run in ledger.store.read(queries.list_runs, RunFilter(**fields))]


@pytest.fixture
def history(ledger: Any) -> dict[str, int]:
    """Runs of two jobs, a minute apart, in different states."""
    owner = ledger.engine()
    ids = {}
    for name, job, state in (
        ("first", "a", RunState.SUCCEEDED),
        ("second", "a", RunState.FAILED),
        ("third", "b", RunState.FAILED),
        ("fourth", "b", RunState.RUNNING),
        ("fifth", "a", RunState.QUEUED),
    ):
        ids[name] = ledger.in_state(state, owner, job)
        ledger.later(minutes=1)
    return ids


def test_runs_are_listed_newest_first(ledger: Any, history: dict[str, int]) -> None:
    assert listed(ledger) == [history[name] for name in ("fifth", "fourth", "third", "second", "first")]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"jobs": ["a"]}, ["fifth", "second", "first"]),
        ({"jobs": ["a", "b"], "states": [RunState.FAILED]}, ["third", "second"]),
        ({"jobs": ["nobody"]}, []),
        ({"states": [RunState.RUNNING, RunState.QUEUED]}, ["fifth", "fourth"]),
        ({"limit": 2}, ["fifth", "fourth"]),
        ({"jobs": ["a"], "limit": 1}, ["fifth"]),
    ],
)
def test_runs_are_filtered(ledger: Any, history: dict[str, int], fields: dict[str, Any], names: list[str]) -> None:
    assert listed(ledger, **fields) == [history[name] for name in names]


def test_runs_are_filtered_by_when_they_were_created(ledger: Any, history: dict[str, int]) -> None:
    since, until = ledger.at(minutes=-4), ledger.at(minutes=-2)
    assert listed(ledger, since=since) == [history[name] for name in ("fifth", "fourth", "third", "second")]
    assert listed(ledger, until=until) == [history[name] for name in ("third", "second", "first")]
    assert listed(ledger, since=since, until=until) == [history["third"], history["second"]]


def test_listing_goes_on_before_the_last_page(ledger: Any, history: dict[str, int]) -> None:
    seen: list[int] = []
    while page := listed(ledger, limit=2, before_id=seen[-1] if seen else None):
        seen += page
    assert seen == sorted(history.values(), reverse=True)


def test_the_newest_run_of_each_job(ledger: Any, history: dict[str, int]) -> None:
    newest = ledger.store.read(queries.last_runs, ["a", "b", "nobody"])
    assert {job: run.id for job, run in newest.items()} == {"a": history["fifth"], "b": history["fourth"]}
    assert ledger.store.read(queries.last_runs, []) == {}


def test_the_newest_runs_of_thousands_of_jobs(ledger: Any) -> None:
    names = [f"job-{n}" for n in range(1501)]
    ledger.create(*(ledger.new(name) for name in names))
    ids = [one.id for one in ledger.create(*(ledger.new(name) for name in names))]
    newest = ledger.store.read(queries.last_runs, names)
    assert [newest[name].id for name in names] == ids


def test_runs_by_id_leave_out_what_does_not_exist(ledger: Any, history: dict[str, int]) -> None:
    wanted = [history["first"], 999]
    assert set(ledger.store.read(queries.get_runs, wanted)) == {history["first"]}


def test_unfinished_runs_are_counted_by_queue_and_state(ledger: Any, history: dict[str, int]) -> None:
    ledger.queued(queue="mail")
    ledger.queued(queue="mail")
    assert ledger.store.read(queries.count_active) == {
        ("default", RunState.RUNNING): 1,
        ("default", RunState.QUEUED): 1,
        ("mail", RunState.QUEUED): 2,
    }


def test_queues_with_work_are_found_whether_declared_or_not(ledger: Any) -> None:
    assert ledger.store.read(queries.active_queues) == {"default"}
    ledger.queued(queue="old")
    ledger.queued(queue="never", skip_reason="the job is paused")
    assert ledger.store.read(queries.active_queues) == {"default", "old"}


def test_running_runs_of_engines_oldest_first(ledger: Any) -> None:
    one, other, third = ledger.engine(), ledger.engine(), ledger.engine()
    ids = [ledger.running(owner).id for owner in (one, other, one, third)]
    found = ledger.store.read(queries.running_of, [one, other], 2)
    assert [run.id for run in found] == ids[:2]
    assert ledger.store.read(queries.running_of, [], 2) == []


def test_a_view_is_consistent_while_others_write(ledger: Any) -> None:
    def count_twice(connection: Any) -> tuple[int, int]:
        before = len(queries.list_runs(connection, RunFilter()))
        ledger.queued()
        return before, len(queries.list_runs(connection, RunFilter()))

    ledger.queued()
    assert ledger.store.read(count_twice) == (1, 1)
