"""What a job declares, and what whoever asks for a run wants otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.keys import LONGEST, NO_KEY, KeyPath
from orchestrator.core.policies import OnConflict, Unique
from orchestrator.core.runs import Cause
from orchestrator.engine.newruns import Asked, new_run

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_what_is_asked_for_goes_before_what_is_declared(make_job: Any) -> None:
    job = make_job(priority=3, expires_in=HOUR)
    plain = new_run(job, Cause.MANUAL, NOW)
    assert (plain.priority, plain.due_at, plain.expires_at) == (3, NOW, NOW + HOUR)
    asked = Asked(due_at=NOW + HOUR, priority=0, expires_in=2 * HOUR)
    changed = new_run(job, Cause.MANUAL, NOW, asked=asked)
    assert (changed.priority, changed.due_at, changed.expires_at) == (0, NOW + HOUR, NOW + 3 * HOUR)


def test_a_run_is_unique_by_what_its_job_says(make_job: Any) -> None:
    job = make_job(unique=Unique(by=(KeyPath(("user",)),), window=HOUR, on_conflict=OnConflict.REPLACE))
    run = new_run(job, Cause.FIRE, NOW, params={"user": 7})
    assert (run.unique_key, run.unique_until, run.on_conflict) == ("7", NOW + HOUR, OnConflict.REPLACE)
    assert new_run(job, Cause.MANUAL, NOW, params={"other": 7}).unique_key is None
    assert new_run(job, Cause.MANUAL, NOW, asked=Asked(key="mine")).unique_key == "mine"


def test_without_by_all_parameters_count_in_any_order(make_job: Any) -> None:
    job = make_job(unique=Unique(), params={"a": 1})
    one, same = (new_run(job, Cause.MANUAL, NOW, params=p) for p in ({"b": 2, "c": 3}, {"c": 3, "b": 2}))
    assert one.unique_key == same.unique_key
    assert one.unique_until is None
    assert new_run(job, Cause.MANUAL, NOW, params={"b": 3}).unique_key != one.unique_key
    long = new_run(job, Cause.MANUAL, NOW, params={"b": "x" * 1000}).unique_key
    assert long is not None
    assert len(long) == LONGEST


def test_a_key_of_ones_own_is_good_for_a_day_where_the_job_has_no_policy(make_job: Any) -> None:
    run = new_run(make_job(), Cause.MANUAL, NOW, asked=Asked(key="order-5"))
    assert (run.unique_key, run.unique_until, run.on_conflict) == (
        "order-5",
        NOW + timedelta(days=1),
        OnConflict.IGNORE,
    )
    assert new_run(make_job(), Cause.MANUAL, NOW).unique_key is None


def test_a_parameter_that_is_rendered_later_makes_no_key(make_job: Any) -> None:
    job = make_job(group_by=(KeyPath(("tenant",)),), params={"tenant": {TEMPLATE_KEY: "{{ item }}"}})
    assert new_run(job, Cause.STEP, NOW).group_key == NO_KEY
    assert new_run(job, Cause.MANUAL, NOW, params={"tenant": "acme"}).group_key == "acme"
