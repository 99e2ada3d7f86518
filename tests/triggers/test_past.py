"""Fire times of the past: those that the schedule's own `next` walks through, for every kind of schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec
from orchestrator.triggers.past import fire_times
from orchestrator.triggers.schedules import build

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
CRONS = st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 */3 * * *", "15 1 1 * *", "0 0 * * 1"])
INTERVALS = st.sampled_from(["10 minutes", "90s", "3 hours", "7 minutes", "36h"])
INSTANTS = st.integers(0, 10**8).map(lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds / 7))
DAYS = st.floats(0, 20).map(lambda days: timedelta(days=days))


def times(spec: TimeSpec, begin: datetime, end: datetime, cursor: datetime | None = None) -> list[datetime]:
    return list(fire_times(spec, begin, end, cursor))


@settings(deadline=None)
@given(CRONS, ZONES, INSTANTS, DAYS)
def test_a_cron_schedules_past_is_what_the_engine_would_have_fired(
    expression: str, zone: str, begin: datetime, length: timedelta
) -> None:
    spec = CronSpec(expression=expression, timezone=zone)
    end = begin + length
    schedule, walked = build(spec), []
    at = schedule.next(begin - timedelta.resolution, begin)
    while at is not None and at < end:
        walked.append(at)
        at = schedule.next(at, at)
    assert times(spec, begin, end) == walked
    middle = begin + length / 2
    assert times(spec, begin, middle) + times(spec, middle, end) == walked


@settings(deadline=None)
@given(INTERVALS, INSTANTS, INSTANTS, DAYS)
def test_an_interval_is_counted_back_from_what_was_served_last(
    phrase: str, cursor: datetime, begin: datetime, length: timedelta
) -> None:
    spec = EverySpec(phrase=phrase)
    end = begin + length
    found = times(spec, begin, end, cursor)
    assert all(begin <= at < end for at in found)
    middle = begin + length / 2
    assert times(spec, begin, middle, cursor) + times(spec, middle, end, cursor) == found
    step = build(spec).next(cursor, cursor) - cursor  # type: ignore[operator]
    assert all((at - cursor) % step == timedelta(0) for at in found)
    assert len(found) in (length // step, length // step + 1)
    for served in found[:2]:  # whichever fire was served last, the others stay where they are
        assert times(spec, begin, end, served) == found


def test_a_day_with_a_change_of_clocks_has_each_fire_once() -> None:
    berlin = CronSpec(expression="30 2 * * *", timezone="Europe/Berlin")
    spring = times(berlin, datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))
    assert [f"{at:%d %H:%M}" for at in spring] == ["28 01:30", "29 01:00", "30 00:30"]
    autumn = times(berlin, datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC))
    assert [f"{at:%d %H:%M}" for at in autumn] == ["24 00:30", "25 00:30", "26 01:30"]


def test_bounds_and_instants() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    hours = [noon + timedelta(hours=n) for n in range(6)]
    assert times(AtSpec(times=tuple(hours)), hours[1], hours[4]) == hours[1:4]
    bounded = EverySpec(phrase="1 hour", start=hours[1], end=hours[3])
    assert times(bounded, noon - timedelta(days=1), hours[5], hours[2]) == hours[1:4]
    started = EverySpec(phrase="1 hour", start=hours[1])
    assert times(started, noon - timedelta(days=1), hours[3], noon) == hours[1:3]


def test_what_has_no_past_says_so() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    with pytest.raises(TriggerError, match="drawn from the one before"):
        times(EverySpec(phrase="5 to 10 minutes", hash_key="tidy"), noon, noon + timedelta(days=1), noon)
    with pytest.raises(TriggerError, match="none has"):
        times(EverySpec(phrase="10 minutes"), noon, noon + timedelta(days=1))
