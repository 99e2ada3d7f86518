"""The checker finds each kind of violation in evidence that holds it, and nothing in evidence that is in order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from soak.checker import check
from soak.evidence import AttemptRow, Evidence, Policy, RunRow
from soak.fires import SECOND
from soak.journal import Entry
from soak.wrapping import ROOT

POLICIES = {
    "bulk": Policy(3, at_most_once=False, concurrency=None, fires_every_second=False, follows=None),
    "narrow": Policy(3, at_most_once=False, concurrency=1, fires_every_second=False, follows=None),
    "once": Policy(3, at_most_once=True, concurrency=None, fires_every_second=False, follows=None),
    "tick": Policy(3, at_most_once=False, concurrency=None, fires_every_second=True, follows=None),
    "child": Policy(3, at_most_once=False, concurrency=None, fires_every_second=False, follows="bulk"),
}
SUMMED_UP = "3 fire times from 1970-01-01 00:00:05 UTC on passed while nothing could serve them (catch_up: skip)"


def run(number: int, job: str, state: str = "succeeded", **fields: object) -> RunRow:
    row = RunRow(number, job, state, "manual", None, None, attempt=1, uncharged=0, reason=None)
    return row._replace(**fields)  # type: ignore[arg-type]


def in_order() -> Evidence:
    """Two runs and their follower, ten fires of which three were missed, nothing wrong."""
    ticks = [run(100 + at, "tick", fire_time=at * SECOND) for at in (1, 2, 3, 4, 8, 9, 10)]
    rows = [run(1, "bulk"), run(2, "child", parent_id=1), run(3, "narrow"), run(4, "narrow"), run(5, "once"), *ticks]
    rows.append(run(99, "tick", "skipped", fire_time=5 * SECOND, cause="catch_up", reason=SUMMED_UP, attempt=0))
    worked = [row for row in rows if row.state == "succeeded"]
    journal = [
        Entry(mark, row.id, 1, 77, row.id * 10 + offset, row.job)
        for row in worked
        for mark, offset in (("start", 0), ("end", 5))
    ]
    return Evidence(
        runs={row.id: row for row in rows},
        attempts=[AttemptRow(row.id, 1, 1, "succeeded") for row in worked],
        journal=journal,
        acknowledged=[1, 3, 4, 5],
        policies=POLICIES,
        fired_from=SECOND,
        fired_until=10 * SECOND,
    )


def changed(evidence: Evidence, number: int, **fields: object) -> Evidence:
    row = evidence.runs[number]._replace(**fields)  # type: ignore[arg-type]
    return replace(evidence, runs={**evidence.runs, number: row})


def without(evidence: Evidence, number: int) -> Evidence:
    return replace(evidence, runs={key: row for key, row in evidence.runs.items() if key != number})


def another_attempt(evidence: Evidence, number: int, outcome: str, times: int = 1) -> Evidence:
    more = [AttemptRow(number, 1 + extra, 1 + extra, outcome) for extra in range(1, times + 1)]
    return replace(evidence, attempts=evidence.attempts + more)


def once_more(evidence: Evidence, *marks: str, job: str = "once", number: int = 5, at: int = 60) -> Evidence:
    more = [Entry(mark, number, 1, 78, at + offset, job) for offset, mark in enumerate(marks)]
    return replace(evidence, journal=evidence.journal + more)


def kinds(evidence: Evidence) -> set[str]:
    return {violation.kind for violation in check(evidence)}


def test_nothing_is_found_where_all_is_in_order() -> None:
    assert check(in_order()) == []


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("lost", lambda e: replace(e, acknowledged=[*e.acknowledged, 1000])),
        ("lost", lambda e: without(e, 2)),
        ("lost", lambda e: without(e, 103)),
        ("lost", lambda e: without(e, 99)),
        ("lost", lambda e: changed(e, 99, reason=SUMMED_UP.replace("3 fire", "2 fire"))),
        ("lost", lambda e: changed(e, 1, state="cancelled")),
        ("lost", lambda e: changed(e, 1, state="failed")),
        ("lost", lambda e: changed(e, 3, state="skipped")),
        ("doubled", lambda e: changed(e, 102, fire_time=SECOND)),
        ("doubled", lambda e: changed(e, 3, job="child", parent_id=1)),
        ("doubled", lambda e: another_attempt(e, 3, "succeeded")),
        ("doubled", lambda e: once_more(e, "start")),
        ("doubled", lambda e: once_more(e, "start", "end")),
        ("doubled", lambda e: changed(e, 3, state="failed", attempt=3)),
        ("stuck", lambda e: changed(e, 1, state="running")),
        ("stuck", lambda e: changed(e, 1, state="scheduled")),
        ("out of policy", lambda e: another_attempt(e, 3, "failed", times=3)),
        ("out of policy", lambda e: changed(e, 3, attempt=4)),
        ("out of policy", lambda e: replace(e, journal=[_earlier(entry) for entry in e.journal])),
        ("untold", lambda e: replace(e, journal=[entry for entry in e.journal if entry.run_id != 3])),
        ("untold", lambda e: replace(e, journal=[x for x in e.journal if (x.run_id, x.mark) != (3, "end")])),
        ("untold", lambda e: once_more(e, "start", job="bulk", number=1)),
        ("untold", lambda e: once_more(e, "start", job="bulk", number=2000)),
        ("unhealthy", lambda e: replace(e, failures=["an engine ended by itself"])),
        ("unhealthy", lambda e: replace(e, integrity="row missing from an index")),
    ],
)
def test_each_violation_is_found(kind: str, spoil: Callable[[Evidence], Evidence]) -> None:
    assert kind in kinds(spoil(in_order()))


def _earlier(entry: Entry) -> Entry:
    """The second run of `narrow` begins before the first one has ended."""
    return entry._replace(at=entry.at - 7) if entry.run_id == 4 else entry


def test_a_summary_that_counted_no_further_stands_for_all_up_to_the_next_row() -> None:
    evidence = changed(in_order(), 99, reason=SUMMED_UP.replace("3 fire", "1+ fire"))
    assert check(evidence) == []


@pytest.mark.parametrize(
    "code",
    [
        "from soak.breakages import BREAKAGES\nfor breakage in BREAKAGES.values(): breakage.apply()",
        "from soak.failpoints import arm, names\nfor name in names(): arm(name, 1)",
    ],
)
def test_breakages_and_failpoints_fit_the_product_as_it_is(code: str) -> None:
    """In a process of its own, as they change what they find there."""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
