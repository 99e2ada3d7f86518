"""The statements of every second are served by the indexes made for them, however long the history is."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from orchestrator.core.keys import KeyPath
from orchestrator.core.plan import Queue
from orchestrator.core.policies import Isolation, OnConflict, Overlap, PerKey, RateLimit
from orchestrator.core.runs import RunState
from orchestrator.store import claims, creation, endings, expiry, instances, output, queries, requests
from orchestrator.store.output import ProgressMark, SavedValue

INDEX = re.compile(
    r"(?:SEARCH|SCAN) (\w+)(?: AS \w+)?(?: USING (?:COVERING )?(?:INDEX (\w+)|(INTEGER PRIMARY KEY)|(PRIMARY KEY)))?"
)


@contextmanager
def executed(ledger: Any) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is executed meanwhile, with its parameters (of many sets, the first)."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        seen.append((statement, parameters[0] if many else parameters))

    engines = (ledger.store.database.reading, ledger.store.database.writing)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def plans(ledger: Any, statements: list[tuple[str, Any]]) -> list[tuple[str, str, str | None]]:
    """(statement, table, index) of each access to a table; no index is a walk through the whole table."""
    connection = sqlite3.connect(ledger.store.database.path)
    found = []
    for statement, parameters in statements:
        if re.match(r"SELECT|UPDATE|DELETE|INSERT|WITH", statement):
            for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                if match := INDEX.match(detail):
                    found.append((statement, match[1], match[2] or match[3] or match[4]))
    connection.close()
    return found


@pytest.fixture
def full(ledger: Any) -> Any:
    """A ledger with history, a line, and some that run, of a few jobs."""
    owner = ledger.engine()
    jobs = [f"job-{n}" for n in range(5)]
    for hour in range(3):
        ledger.create(*(ledger.new(job, fire_time=ledger.at(hours=hour)) for job in jobs))
        for run in ledger.claim(owner).runs:
            ledger.end(run, owner, followers=(ledger.new("child"),))
    ledger.create(*(ledger.new(job, deadline_at=ledger.at(hours=9)) for job in jobs))
    ledger.claim(owner, capacity={Isolation.PROCESS: 3})
    ledger.create(*(ledger.new(job, due_at=ledger.at(seconds=5)) for job in jobs))
    ledger.owner = owner
    return ledger


def indexes_of_runs(ledger: Any, work: Callable[[], object]) -> set[str | None]:
    with executed(ledger) as statements:
        work()
    found = plans(ledger, statements)
    assert found, "nothing was looked at"
    return {index for _, table, index in found if table == "runs"}


def test_a_claim_walks_through_no_history(full: Any) -> None:
    full.later(seconds=9)
    used = indexes_of_runs(full, lambda: full.claim(full.owner, listen=True, job_limits={"job-1": 1}))
    assert used >= {"runs_claimable", "runs_scheduled", "runs_running"}
    assert used <= {"runs_claimable", "runs_scheduled", "runs_running", "INTEGER PRIMARY KEY"}


def test_the_line_is_read_in_its_order_without_sorting(full: Any) -> None:
    with executed(full) as statements:
        full.claim(full.owner, capacity={Isolation.PROCESS: 1})
    (line,) = [one for one in statements if "ORDER BY runs.rank" in one[0]]
    connection = sqlite3.connect(full.store.database.path)
    details = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {line[0]}", line[1])]
    connection.close()
    assert not [detail for detail in details if "TEMP B-TREE" in detail]


def test_only_run_is_found_by_its_id(full: Any) -> None:
    run_id = full.queued("job-9")
    used = indexes_of_runs(full, lambda: full.claim(full.owner, only_run=run_id))
    assert used <= {"INTEGER PRIMARY KEY", "runs_scheduled", "runs_running", "runs_claimable"}


def test_deadlines_are_found_by_their_index(full: Any) -> None:
    assert indexes_of_runs(full, lambda: full.store.write(claims.expire, full.at(hours=10))) == {
        *("runs_deadline", "INTEGER PRIMARY KEY"),
    }


def test_creating_fires_looks_them_up_by_their_index(full: Any) -> None:
    fires = [full.new(f"job-{n}", fire_time=full.at(hours=5)) for n in range(5)]
    assert indexes_of_runs(full, lambda: full.store.write(creation.create_runs, fires)) == {"runs_fire"}


def test_overlap_looks_at_unfinished_runs_only(full: Any) -> None:
    fires = [full.new(f"job-{n}", overlap=Overlap.SKIP) for n in range(5)]
    assert indexes_of_runs(full, lambda: full.store.write(creation.create_runs, fires)) == {"runs_active"}
    fires = [full.new("job-1", overlap=Overlap.REPLACE)]
    assert indexes_of_runs(full, lambda: full.store.write(creation.create_runs, fires)) <= {
        *("runs_active", "runs_running", "INTEGER PRIMARY KEY"),
    }


def test_who_holds_a_key_is_found_however_often_it_was_used(full: Any) -> None:
    new = [full.new("job-1", unique_key=key, unique_until=full.at(hours=1)) for key in "abc"]
    assert indexes_of_runs(full, lambda: full.store.write(creation.create_runs, new)) == {"runs_unique"}
    again = [msgspec.structs.replace(run, on_conflict=OnConflict.REPLACE) for run in new]
    used = indexes_of_runs(full, lambda: full.store.write(creation.create_runs, again))
    assert used == {"runs_unique", "INTEGER PRIMARY KEY"}


def test_endings_find_their_runs_by_id_and_followers_by_their_parent(full: Any) -> None:
    run = full.running(full.owner, "job-9")
    end = [full.ending(run, full.owner, followers=(full.new("child"),))]
    used = indexes_of_runs(full, lambda: full.store.write(endings.settle, full.owner, end, full.now))
    assert used == {"INTEGER PRIMARY KEY", "runs_parent"}


def test_a_retried_run_finds_what_followed_it_by_itself(full: Any) -> None:
    run = full.running(full.owner, "job-9")
    full.end(run, full.owner, RunState.FAILED)
    used = indexes_of_runs(full, lambda: full.store.write(requests.retry, run.id, full.now))
    assert used == {"INTEGER PRIMARY KEY", "runs_parent", "runs_flow"}


def test_output_finds_its_run_by_id(full: Any) -> None:
    run = full.running(full.owner, "job-9")
    saved, mark = SavedValue(run_id=run.id, attempt=1, value=1), ProgressMark(run_id=run.id, attempt=1, done=1, total=2)

    def work() -> None:
        full.store.write(output.save_checkpoints, full.owner, [saved], full.now)
        full.store.write(output.mark_progress, full.owner, [mark])

    assert indexes_of_runs(full, work) == {"INTEGER PRIMARY KEY"}


def test_what_expires_is_found_by_its_index(full: Any) -> None:
    full.queued("job-9", expires_at=full.now)
    assert indexes_of_runs(full, lambda: full.store.write(expiry.skip_expired, full.at(hours=10))) == {
        *("runs_expiring", "INTEGER PRIMARY KEY"),
    }


def test_keys_are_jumped_from_one_to_the_next_and_read_in_order(full: Any) -> None:
    by = (KeyPath(("tenant",)),)
    each = PerKey(by=by, concurrency=9, rate_limit=RateLimit(count=9, period=timedelta(minutes=1)))
    full.create(*(full.new("keyed", queue="mail", group_key=key) for key in "aab"))
    rules = {"mail": Queue(name="mail", rate_limit=each.rate_limit, per_key=each)}
    with executed(full) as statements:
        full.claim(full.owner, queues=["mail"], ruled=rules, turns={("mail", Isolation.PROCESS): "a"})
    found = plans(full, statements)
    assert {index for _, table, index in found if table == "runs"} <= {
        *("runs_turns", "runs_running", "runs_scheduled", "runs_claimable", "INTEGER PRIMARY KEY"),
    }
    assert {index for _, table, index in found if table == "starts"} == {"PRIMARY KEY", "starts_old"}
    connection = sqlite3.connect(full.store.database.path)
    lines = [one for one in statements if "ORDER BY runs.rank" in one[0]]
    details = [row[-1] for line in lines for row in connection.execute(f"EXPLAIN QUERY PLAN {line[0]}", line[1])]
    connection.close()
    assert lines
    assert not [detail for detail in details if "TEMP B-TREE" in detail]


def test_requests_find_their_run_by_id(full: Any) -> None:
    run_id = full.queued("job-9")

    def work() -> None:
        full.store.write(requests.cancel, run_id, full.now)
        full.store.write(requests.reprioritise, [run_id], 3, {})
        full.store.write(requests.promote, [run_id], full.now)

    assert indexes_of_runs(full, work) == {"INTEGER PRIMARY KEY"}


def test_recovery_looks_at_running_runs_only(full: Any) -> None:
    def work() -> None:
        full.store.read(instances.orphan_owners)
        full.store.read(queries.running_of, [full.owner], 500)

    assert indexes_of_runs(full, work) == {"runs_running"}


@pytest.mark.parametrize(
    ("work", "used"),
    [
        (lambda f: f.store.read(queries.list_runs, queries.RunFilter()), {None}),
        (lambda f: f.store.read(queries.list_runs, queries.RunFilter(before_id=9)), {"INTEGER PRIMARY KEY"}),
        (lambda f: f.store.read(queries.list_runs, queries.RunFilter(jobs=["job-1"])), {"runs_history"}),
        (lambda f: f.store.read(queries.last_runs, ["job-1", "job-2"]), {"runs_history", "INTEGER PRIMARY KEY"}),
        (lambda f: f.store.read(queries.get_runs, [1, 2]), {"INTEGER PRIMARY KEY"}),
        (lambda f: f.store.read(queries.count_active), {"runs_active"}),
        (lambda f: f.store.read(queries.active_queues), {"runs_active"}),
    ],
    ids=["newest", "page", "job", "last", "ids", "counts", "queues"],
)
def test_what_people_look_at_is_served_by_an_index(full: Any, work: Callable[[Any], object], used: set[Any]) -> None:
    """Newest first without a filter is a walk backwards through the table itself, cut short by the limit."""
    assert indexes_of_runs(full, lambda: work(full)) == used


def test_logs_attempts_and_checkpoints_are_found_by_their_run(full: Any) -> None:
    run_id = next(iter(full.states()))
    with executed(full) as statements:
        full.store.read(queries.list_logs, run_id, after_id=3)
        full.store.read(queries.list_attempts, run_id)
    assert [(table, index) for _, table, index in plans(full, statements)] == [
        ("logs", "logs_run"),
        ("attempts", "PRIMARY KEY"),
    ]


@pytest.mark.parametrize("column", ["fire_time", "parent_id"])
def test_the_database_itself_refuses_a_second_run_of_a_fire_or_parent(full: Any, column: str) -> None:
    connection = sqlite3.connect(full.store.database.path)
    with pytest.raises(sqlite3.IntegrityError, match=f"UNIQUE constraint failed: .*runs.{column}"):
        connection.execute(f"UPDATE runs SET job = 'same', {column} = 7 WHERE id IN (1, 2)")
    connection.close()
