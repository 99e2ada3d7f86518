"""Runs that haven't started when they expire are skipped, and never claimed after that instant."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.keys import KeyPath
from orchestrator.core.plan import Queue
from orchestrator.core.policies import Isolation, PerKey
from orchestrator.core.runs import RunState
from orchestrator.store import claims, creation, expiry
from orchestrator.store.grabs import Grab

KEYED = {"default": Queue(name="default", per_key=PerKey(by=(KeyPath(("tenant",)),)))}


def skip(ledger: Any) -> list[tuple[int, str]]:
    return ledger.store.write(expiry.skip_expired, ledger.now)  # type: ignore[no-any-return]


def test_what_has_not_started_is_skipped_with_the_reason(ledger: Any) -> None:
    queued = ledger.queued(expires_at=ledger.at(minutes=1))
    delayed = ledger.queued(due_at=ledger.at(minutes=9), expires_at=ledger.at(minutes=1))
    ledger.queued(expires_at=ledger.at(minutes=2))
    ledger.queued()
    assert skip(ledger) == []
    ledger.later(minutes=1)
    assert skip(ledger) == [(queued, "tidy"), (delayed, "tidy")]
    run = ledger.run(queued)
    assert (run.state, run.reason, run.finished_at) == (RunState.SKIPPED, expiry.EXPIRED_REASON, ledger.now)
    assert skip(ledger) == []


def test_who_executes_one_run_skips_and_fails_no_other(ledger: Any) -> None:
    over = {"expires_at": ledger.now, "deadline_at": ledger.now}
    own, other = ledger.queued(**over), ledger.queued(**over)
    assert ledger.store.write(expiry.skip_expired, ledger.now, only_run=own) == [(own, "tidy")]
    assert ledger.store.write(claims.expire, ledger.now, only_run=own) == []
    assert [run.id for run in ledger.store.write(claims.expire, ledger.now, only_run=other)] == [other]


@pytest.mark.parametrize("rules", [{}, KEYED], ids=["plain", "keyed"])
def test_nothing_is_claimed_after_that_instant_though_nobody_has_swept_yet(ledger: Any, rules: Any) -> None:
    owner = ledger.engine()
    ledger.queued(expires_at=ledger.at(minutes=1), group_key="a")
    late = ledger.queued(expires_at=ledger.at(minutes=1, microseconds=1), group_key="a")
    ledger.later(minutes=1)
    assert [run.id for run in ledger.claim(owner, ruled=rules).runs] == [late]


def test_what_has_started_does_not_expire_however_it_goes_on(ledger: Any) -> None:
    owner = ledger.engine()
    run = ledger.take(owner, only_run=ledger.queued(expires_at=ledger.at(minutes=1)))
    ledger.end(run, owner, RunState.SCHEDULED, due_at=ledger.at(hours=1))
    ledger.later(hours=2)
    assert skip(ledger) == []
    assert ledger.take(owner).id == run.id


def test_what_is_created_as_claimed_does_not_expire(ledger: Any) -> None:
    owner = ledger.engine()
    grab = Grab(owner=owner, now=ledger.now, capacity={Isolation.PROCESS: 1}, queue_limits={})
    ledger.store.write(creation.create_runs, [ledger.new(expires_at=ledger.at(minutes=1))], (), grab)
    ledger.later(minutes=2)
    assert skip(ledger) == []


def test_what_its_end_fires_follows_once_though_its_deadline_has_passed_too(ledger: Any) -> None:
    expired = ledger.queued(expires_at=ledger.at(minutes=1), deadline_at=ledger.at(minutes=1))
    ledger.later(minutes=1)
    for sweep in (expiry.skip_expired, claims.expire):
        ledger.store.write(sweep, ledger.now, lambda job: [ledger.new(f"after-{job}")])
    found = [ledger.run(run_id) for run_id in ledger.states()]
    assert [(run.job, run.state.value, run.parent_id) for run in found] == [
        ("tidy", "skipped", None),
        ("after-tidy", "queued", expired),
    ]


def test_a_person_may_retry_what_has_expired(ledger: Any) -> None:
    owner = ledger.engine()
    expired = ledger.queued(expires_at=ledger.at(minutes=1))
    ledger.later(minutes=1)
    assert skip(ledger)
    ledger.retry(expired)
    assert skip(ledger) == []
    assert [run.id for run in ledger.claim(owner).runs] == [expired]


def test_many_are_skipped_some_at_a_time(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "SOME", 3)
    ledger.create(*(ledger.new(expires_at=ledger.now) for _ in range(7)))
    assert [len(skip(ledger)) for _ in range(4)] == [3, 3, 1, 0]
