"""Rates are exact: never more starts than a rate allows in any stretch of time as long as its period."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from orchestrator.core.keys import KeyPath
from orchestrator.core.plan import Queue
from orchestrator.core.policies import Isolation, PerKey, RateLimit
from orchestrator.core.runs import RunState
from orchestrator.store import creation, starts
from orchestrator.store.database import sqlite_url
from orchestrator.store.grabs import Grab
from orchestrator.store.store import Store
from orchestrator.store.tables import starts as log
from tests.store.conftest import NOON, Ledger

MINUTE = timedelta(minutes=1)
BY = (KeyPath(("tenant",)),)


def ruled(rate: str | None = None, per_key: str | None = None) -> dict[str, Queue]:
    """The queue `default` with rates of so many in a minute."""
    limits = [None if count is None else RateLimit(count=int(count), period=MINUTE) for count in (rate, per_key)]
    keys = None if per_key is None else PerKey(by=BY, rate_limit=limits[1])
    return {"default": Queue(name="default", rate_limit=limits[0], per_key=keys)}


def started(ledger: Any, owner: int, rules: dict[str, Queue], room: int = 100) -> int:
    return len(ledger.claim(owner, ruled=rules, capacity={Isolation.PROCESS: room}).runs)


def test_no_more_start_than_the_rate_allows_and_the_claim_says_when_the_next_may(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("3")
    ledger.create(*(ledger.new() for _ in range(9)))
    assert started(ledger, owner, rules, room=2) == 2
    ledger.later(seconds=10)
    claimed = ledger.claim(owner, ruled=rules)
    assert (len(claimed.runs), claimed.waiting, claimed.next_due) == (1, True, ledger.at(seconds=50))
    ledger.later(seconds=49, milliseconds=999)
    assert started(ledger, owner, rules) == 0
    ledger.later(milliseconds=1)
    assert started(ledger, owner, rules) == 2
    assert ledger.claim(owner, ruled=rules).next_due == ledger.at(seconds=10)


def test_when_something_is_due_before_that_the_claim_says_so(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("1")
    ledger.create(ledger.new(), ledger.new(), ledger.new(due_at=ledger.at(seconds=5)))
    assert ledger.claim(owner, ruled=rules).next_due == ledger.at(seconds=5)


def test_nobody_wakes_for_a_rate_while_nothing_waits(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.queued()
    claimed = ledger.claim(owner, ruled=ruled("1"))
    assert (len(claimed.runs), claimed.waiting, claimed.next_due) == (1, False, None)


def test_it_holds_for_every_engine_and_after_a_restart(ledger: Any) -> None:
    first, second, rules = ledger.engine(), ledger.engine(), ruled("3")
    ledger.create(*(ledger.new() for _ in range(9)))
    assert [started(ledger, first, rules, 2), started(ledger, second, rules, 2)] == [2, 1]
    ledger.store.close()
    ledger.store = Store(str(ledger.store.database.url))
    assert started(ledger, ledger.engine(), rules) == 0


def test_a_retry_is_a_start_and_so_is_what_is_given_back(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("2")
    run = ledger.take(owner, only_run=ledger.queued(), ruled=rules)
    ledger.end(run, owner, RunState.QUEUED)
    assert started(ledger, owner, rules) == 1
    ledger.queued()
    assert started(ledger, owner, rules) == 0


def test_each_key_has_its_own_rate_and_runs_without_a_key_have_none(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled(per_key="2")
    ledger.create(*(ledger.new(group_key=key) for key in "aaaabccc"))
    ledger.create(*(ledger.new(group_key="") for _ in range(3)))
    claimed = ledger.claim(owner, ruled=rules)
    assert len(claimed.runs) == 2 + 1 + 2 + 3
    assert claimed.next_due == ledger.at(minutes=1)


def test_a_rate_of_the_queue_and_of_its_keys_both_hold(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("5", "2")
    ledger.create(*(ledger.new(group_key=key) for key in "aaabbbcccddd"))
    assert started(ledger, owner, rules) == 5
    ledger.later(minutes=1)
    assert started(ledger, owner, rules) == 5


def test_a_lowered_rate_holds_from_the_next_claim_on(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.create(*(ledger.new() for _ in range(9)))
    assert started(ledger, owner, ruled("5")) == 5
    ledger.later(seconds=30)
    assert started(ledger, owner, ruled("6")) == 1
    ledger.later(seconds=30)
    assert started(ledger, owner, ruled("1")) == 0
    ledger.later(seconds=30)
    assert started(ledger, owner, ruled("1")) == 1


def test_nothing_of_such_a_queue_is_created_as_claimed(ledger: Any) -> None:
    capacity = {Isolation.PROCESS: 9}
    grab = Grab(owner=ledger.engine(), now=ledger.now, capacity=capacity, queue_limits={}, closed=ruled("5"))
    new = [ledger.new(), ledger.new("other", queue="open")]
    made = ledger.store.write(creation.create_runs, new, (), grab)
    assert [one.state for one in made] == [RunState.QUEUED, RunState.RUNNING]


def test_one_run_in_the_foreground_goes_over_the_rate_but_counts(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("1", "1")
    ledger.queued(group_key="a")
    assert started(ledger, owner, rules) == 1
    assert ledger.take(owner, only_run=ledger.queued(group_key="b"), ruled=rules)
    assert ledger.store.read(lambda c: c.execute(select(func.sum(log.c.count))).scalar()) == 4
    ledger.later(minutes=1)
    ledger.create(ledger.new(group_key="a"), ledger.new(group_key="b"))
    assert started(ledger, owner, rules) == 1


def test_a_clock_that_is_set_back_lets_no_more_start_and_holds_nothing_back_for_long(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("2")
    ledger.create(*(ledger.new() for _ in range(9)))
    assert started(ledger, owner, rules) == 2
    ledger.later(days=-300)
    ledger.create(*(ledger.new() for _ in range(9)))
    assert started(ledger, owner, rules) == 0
    assert ledger.claim(owner, ruled=rules).next_due == ledger.at(minutes=1)
    ledger.later(minutes=1)
    assert started(ledger, owner, rules) == 2


def test_the_log_stays_short(ledger: Any) -> None:
    owner, rules = ledger.engine(), ruled("5", "5")
    for _ in range(60):
        ledger.create(*(ledger.new(group_key=f"{ledger.now:%M}-{n}") for n in range(5)))
        assert started(ledger, owner, rules) == 5
        ledger.later(minutes=1)
    assert ledger.store.read(lambda c: c.execute(select(func.count()).select_from(log)).scalar()) <= 12


def test_without_rates_the_log_is_not_touched(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(starts, "note_starts")
    ledger.queued()
    assert started(ledger, ledger.engine(), {}) == 1


# The law, for engines whose clocks go at random: the time that really passes is what counts.

STEP = st.tuples(
    st.integers(0, 1),  # which engine claims
    st.sampled_from([0, 0, 1, 1, 7, 19, 20, 21, 60]),  # seconds that really pass before
    st.sampled_from([0, 0, 0, 0, -5, -200]),  # how the wall clock is changed meanwhile
    st.integers(0, 6),  # room
)


def most_within(times: Sequence[datetime], period: timedelta) -> int:
    """The most starts in any half-open window of the period's length: one begins with each start."""
    return max((sum(begin <= at < begin + period for at in times) for begin in times), default=0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rates") / "orchestrator.db"
    Store(sqlite_url(path)).close()
    return path


@given(
    steps=st.lists(STEP, min_size=5, max_size=30),
    rates=st.tuples(st.integers(1, 5), st.integers(1, 3)),
    keys=st.lists(st.sampled_from("abc"), min_size=20, max_size=40),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_no_window_do_more_start_whoever_claims_and_however_the_clock_is_set(
    template: Path, steps: list[tuple[int, int, int, int]], rates: tuple[int, int], keys: list[str]
) -> None:
    period = timedelta(seconds=20)
    whole, each = (RateLimit(count=count, period=period) for count in rates)
    rules = {"default": Queue(name="default", rate_limit=whole, per_key=PerKey(by=BY, rate_limit=each))}
    fast = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="rates-", dir=fast if fast.is_dir() else None))
    try:
        shutil.copy(template, folder / "orchestrator.db")
        ledger = Ledger(Store(sqlite_url(folder / "orchestrator.db")))
        owners = [ledger.engine(), ledger.engine()]
        ledger.create(*(ledger.new(group_key=key, due_at=ledger.at(days=-1), params={"key": key}) for key in keys))
        really = NOON
        seen: list[tuple[datetime, str]] = []
        for who, passes, is_set, room in steps:
            really += timedelta(seconds=passes)
            ledger.later(seconds=passes + is_set)
            claimed = ledger.claim(owners[who], ruled=rules, capacity={Isolation.PROCESS: room})
            seen += [(really, run.params["key"]) for run in claimed.runs]
            assert claimed.next_due is None or claimed.next_due > ledger.now
        assert most_within([at for at, _ in seen], period) <= rates[0]
        for key in "abc":
            assert most_within([at for at, of in seen if of == key], period) <= rates[1]
        ledger.store.close()
    finally:
        shutil.rmtree(folder)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(1, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_start_that_the_rate_allows_is_never_refused(template: Path, pauses: list[int], count: int) -> None:
    """Where the clock goes forward, the log refuses exactly what would be one too many."""
    period = timedelta(seconds=20)
    rules = {"default": Queue(name="default", rate_limit=RateLimit(count=count, period=period))}
    with tempfile.TemporaryDirectory(prefix="rates-") as folder:
        shutil.copy(template, Path(folder) / "orchestrator.db")
        ledger = Ledger(Store(sqlite_url(Path(folder) / "orchestrator.db")))
        owner = ledger.engine()
        ledger.create(*(ledger.new() for _ in pauses))
        seen: list[datetime] = []
        for seconds in pauses:
            ledger.later(seconds=seconds)
            allowed = sum(at > ledger.now - period for at in seen) < count
            taken = started(ledger, owner, rules, room=1)
            assert taken == allowed
            seen += [ledger.now] * taken
        ledger.store.close()
