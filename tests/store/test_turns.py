"""Keys take turns: fair shares whatever waits of each, limits of a key never exceeded, and costs that don't grow with
what waits."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from orchestrator.core.keys import NO_KEY, KeyPath
from orchestrator.core.plan import Job, Queue
from orchestrator.core.policies import Isolation, PerKey
from orchestrator.core.runs import Cause, RunState
from orchestrator.engine.newruns import key_of, new_run
from orchestrator.store import alignment, requests
from orchestrator.store.database import sqlite_url
from orchestrator.store.store import Store
from tests.store.conftest import Ledger

BY = (KeyPath(("tenant",)),)


class Line:
    """One queue whose keys take turns, and an engine that remembers whose turn it was, as the dispatcher does."""

    def __init__(self, ledger: Any, *, concurrency: int | None = None, **limits: Any) -> None:
        self.ledger = ledger
        self.owner = ledger.engine()
        self.rules = {"default": Queue(name="default", per_key=PerKey(by=BY, concurrency=concurrency))}
        self.limits = limits
        self.turns: dict[Any, str] = {}
        self.keys: dict[int, str] = {}

    def add(self, keys: Any, **fields: Any) -> list[int]:
        new = [self.ledger.new(**{"group_key": key, **fields}) for key in keys]
        made = [one.id for one in self.ledger.create(*new)]
        self.keys.update(zip(made, keys, strict=True))
        return made

    def claim(self, room: int = 100) -> list[Any]:
        fields = {"ruled": self.rules, "turns": self.turns, **self.limits}
        claimed = self.ledger.claim(self.owner, capacity={Isolation.PROCESS: room}, **fields)
        self.turns.update(claimed.turns)
        return claimed.runs  # type: ignore[no-any-return]

    def order(self, *rooms: int) -> str:
        """The keys of what is claimed, claim by claim."""
        return " ".join("".join(self.keys[run.id] for run in self.claim(room)) for room in rooms)

    def end(self, runs: list[Any]) -> None:
        self.ledger.settle(self.owner, *(self.ledger.ending(run, self.owner) for run in runs))


def test_each_key_gets_its_turn_and_the_next_claim_goes_on_where_the_last_one_stopped(ledger: Any) -> None:
    line = Line(ledger)
    line.add("aaaaaaaabbbccccc")
    assert line.order(4, 1, 1, 5, 5, 9) == "abca b c abcac acaaa "


def test_a_key_that_comes_later_has_its_turn_when_it_is_reached(ledger: Any) -> None:
    line = Line(ledger)
    line.add("aaaccc")
    assert line.order(2) == "ac"
    line.add("bd")
    assert line.order(9) == "dabcac"


def test_within_a_key_rank_decides(ledger: Any) -> None:
    line = Line(ledger)
    late, *_ = line.add("a")
    urgent, *_ = line.add("a", priority=5)
    early, *_ = line.add("a", due_at=ledger.at(seconds=-9))
    other, *_ = line.add("b")
    assert [run.id for run in line.claim()] == [urgent, other, early, late]


def test_no_more_of_a_key_run_than_it_may(ledger: Any) -> None:
    line = Line(ledger, concurrency=2)
    line.add("aaaaabc")
    running = line.claim()
    assert Counter(line.keys[run.id] for run in running) == {"a": 2, "b": 1, "c": 1}
    assert line.claim() == []
    line.end([run for run in running if line.keys[run.id] == "b"])
    assert line.claim() == []
    line.end([run for run in running if line.keys[run.id] == "a"][:1])
    assert line.order(9) == "a"


def test_runs_without_a_key_take_turns_as_one_and_share_no_limit(ledger: Any) -> None:
    line = Line(ledger, concurrency=1)
    line.add(["", "", "", "a", "a", "b"])
    assert [line.keys[run.id] for run in line.claim()] == ["", "a", "b", "", ""]


def test_a_job_at_its_limit_and_a_paused_one_are_looked_past_in_every_key(ledger: Any) -> None:
    line = Line(ledger, job_limits={"slow": 1})
    line.add("aaabbb", job="slow")
    line.add("ab", job="paused")
    line.add("ab", job="fast")
    ledger.store.write(requests.pause, "paused", ledger.now)
    assert sorted((run.job, line.keys[run.id]) for run in line.claim()) == [
        *(("fast", "a"), ("fast", "b"), ("slow", "a")),
    ]


def test_many_keys_at_their_limit_hide_no_other(ledger: Any) -> None:
    line = Line(ledger, concurrency=1)
    keys = [f"{n:04}" for n in range(300)]
    line.add(keys)
    held = line.claim(299)
    line.add(keys[:299])
    assert len(held) == 299
    assert [line.keys[run.id] for run in line.claim(1)] == ["0299"]
    line.end(held[7:8])
    assert [line.keys[run.id] for run in line.claim(1)] == ["0007"]


def test_what_a_claim_costs_does_not_grow_with_what_waits(ledger: Any) -> None:
    line = Line(ledger, concurrency=2)
    steps: list[int] = []

    def measured() -> int:
        steps.clear()
        running = line.claim(5)
        line.end(running)
        return len(steps)

    def watch(connection: Any, *_: Any) -> None:
        raw = connection.connection.dbapi_connection
        raw.set_progress_handler(lambda: steps.append(1) and None, 100)  # every 100 steps of SQLite's machine

    line.add("aabbccdd")
    event.listen(ledger.store.database.writing, "before_cursor_execute", watch)
    few = measured()
    event.remove(ledger.store.database.writing, "before_cursor_execute", watch)
    line.add("a" * 20_000 + "bcd")
    event.listen(ledger.store.database.writing, "before_cursor_execute", watch)
    assert measured() < 2 * few + 20


@pytest.mark.parametrize("tenant", [None, ""])
def test_a_run_that_lacks_the_parameter_has_the_empty_key(ledger: Any, tenant: str | None) -> None:
    job = Job(name="send", call="m.f", group_by=BY)
    assert new_run(job, Cause.MANUAL, ledger.now, params={"tenant": tenant}).group_key == NO_KEY
    assert new_run(Job(name="send", call="m.f"), Cause.MANUAL, ledger.now).group_key is None


def test_runs_created_before_the_queue_had_a_key_get_theirs(ledger: Any) -> None:
    line = Line(ledger)
    jobs = {"send": Job(name="send", call="m.f", group_by=BY)}
    ids = [ledger.queued("send", params={"tenant": "x"}), ledger.queued("gone"), ledger.queued("send", queue="other")]
    done = ledger.in_state(RunState.SUCCEEDED, line.owner, "send")
    assert line.claim() == []
    found = ledger.store.read(alignment.without_key, ["default"])
    ledger.store.write(alignment.give_keys, {run_id: key_of(jobs.get(job), params) for run_id, job, params in found})
    assert [ledger.run(run_id).group_key for run_id in [*ids, done]] == ["x", NO_KEY, None, None]
    assert {run.id for run in line.claim()} == set(ids[:2])
    assert ledger.store.read(alignment.without_key, ["default"]) == []


# Laws.

LAWFUL = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("turns") / "orchestrator.db"
    Store(sqlite_url(path)).close()
    return path


class fresh_ledger:  # noqa: N801 - used like a function
    """A ledger of its own for each example."""

    def __init__(self, template: Path) -> None:
        fast = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="turns-", dir=fast if fast.is_dir() else None))
        shutil.copy(template, self.folder / "orchestrator.db")

    def __enter__(self) -> Ledger:
        self.ledger = Ledger(Store(sqlite_url(self.folder / "orchestrator.db")))
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.store.close()
        shutil.rmtree(self.folder)


@given(
    backlog=st.lists(st.integers(40, 150), min_size=2, max_size=5),
    rooms=st.lists(st.integers(1, 9), min_size=30, max_size=60),
    seeds=st.randoms(use_true_random=False),
)
@LAWFUL
def test_shares_are_fair_whatever_waits_of_each_key(
    template: Path, backlog: list[int], rooms: list[int], seeds: Any
) -> None:
    """While all keys have something to do, none has started a tenth more than another (nor, early on, two more)."""
    with fresh_ledger(template) as ledger:
        lines = [Line(ledger), Line(ledger)]  # two engines, each with its own memory
        keys = [chr(97 + number) for number, count in enumerate(backlog) for _ in range(count)]
        seeds.shuffle(keys)
        ids = lines[0].add(keys)
        lines[1].keys.update(zip(ids, keys, strict=True))
        shares = Counter(dict.fromkeys(keys, 0))
        for number, room in enumerate(rooms):
            runs = lines[number % 2].claim(room)
            shares.update(lines[0].keys[run.id] for run in runs)
            lines[number % 2].end(runs)
            if any(shares[chr(97 + at)] >= count for at, count in enumerate(backlog)):
                break
            most, least = max(shares.values()), min(shares.values())
            assert most - least <= max(2, 0.1 * most)


@given(
    keys=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=10, max_size=60),
    steps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4)), min_size=5, max_size=25),
    concurrency=st.integers(1, 3),
)
@LAWFUL
def test_a_key_is_never_over_its_concurrency_and_nothing_that_may_start_is_left(
    template: Path, keys: list[str], steps: list[tuple[int, int, int]], concurrency: int
) -> None:
    with fresh_ledger(template) as ledger:
        lines = [Line(ledger, concurrency=concurrency), Line(ledger, concurrency=concurrency)]
        of = dict(zip(lines[0].add(keys), keys, strict=True))
        running: list[tuple[Line, Any]] = []
        waiting = Counter(keys)
        for who, room, ends in steps:
            runs = lines[who].claim(room)
            waiting.subtract(of[run.id] for run in runs)
            running += [(lines[who], run) for run in runs]
            at_work = Counter(of[run.id] for _, run in running)
            assert all(count <= concurrency for key, count in at_work.items() if key)
            may = {key for key in waiting if waiting[key] > 0 and (not key or at_work[key] < concurrency)}
            assert len(runs) == room or not may
            for line, run in running[:ends]:
                line.end([run])
            del running[:ends]


@given(
    priorities=st.lists(st.integers(0, 9), min_size=3, max_size=30),
    pauses=st.lists(st.integers(0, 400), min_size=30, max_size=30),
    keyed=st.booleans(),
)
@LAWFUL
def test_priority_and_age_decide_and_nothing_starves(
    template: Path, priorities: list[int], pauses: list[int], keyed: bool
) -> None:
    """Each level of priority weighs as much as five minutes; so behind 9 levels nothing waits longer than by 45."""
    with fresh_ledger(template) as ledger:
        line = Line(ledger)
        if not keyed:
            line.rules = {}
        dues = []
        for priority, pause in zip(priorities, pauses, strict=False):
            dues.append(ledger.later(seconds=pause))
            line.add("a", priority=priority)
        order = [run.id - 1 for _ in priorities for run in line.claim(1)]
        weight = [due.timestamp() - 300 * priority for due, priority in zip(dues, priorities, strict=True)]
        assert order == sorted(range(len(priorities)), key=lambda at: (weight[at], at))
        for place, at in enumerate(order):
            assert all(dues[at].timestamp() + 45 * 60 >= dues[before].timestamp() for before in order[:place])
