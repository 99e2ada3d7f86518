"""`every:` phrases: what may be written, and that nothing drifts."""

# ruff: noqa: DTZ001 - hypothesis and the refusals under test take naive datetimes

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import EverySpec
from orchestrator.triggers.preview import preview
from orchestrator.triggers.schedules import build

NOW = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)  # a Thursday
PHRASES = [
    "10 minutes", "minute", "30 seconds", "day", "2 days", "week", "3 weeks", "90s", "1h30m", "day at 10:30",
    "day at 02:30", "2 days at 02:30", "hour at :15", "3 hours at :15", "5 minutes at :23", "minute at :23",
    "monday at 09:00", "sunday at 02:15", "wednesday", "5 to 10 minutes", "1 to 3 days at 02:30", "1 to 3 hours at :45",
    "20 to 90 seconds", "1 to 2 monday",
]  # fmt: skip


def shown(phrase: str, count: int = 3, after: datetime = NOW, zone: str = "UTC") -> list[str]:
    fires = preview(EverySpec(phrase=phrase, timezone=zone), after, count)
    return [f"{fire.astimezone(ZoneInfo(zone)):%m-%d %H:%M:%S}" for fire in fires]


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("10 minutes", ["01-01 08:10:00", "01-01 08:20:00"]),
        ("every 10 minutes", ["01-01 08:10:00", "01-01 08:20:00"]),
        ("minute", ["01-01 08:01:00", "01-01 08:02:00"]),
        ("day", ["01-02 08:00:00", "01-03 08:00:00"]),
        ("2 weeks", ["01-15 08:00:00", "01-29 08:00:00"]),
        ("1h30m", ["01-01 09:30:00", "01-01 11:00:00"]),
        ("day at 10:30", ["01-01 10:30:00", "01-02 10:30:00"]),
        ("day at 07:30:15", ["01-02 07:30:15", "01-03 07:30:15"]),
        ("2 days at 10:30", ["01-01 10:30:00", "01-03 10:30:00"]),
        ("hour at :15", ["01-01 08:15:00", "01-01 09:15:00"]),
        ("hour at 15:30", ["01-01 08:15:30", "01-01 09:15:30"]),
        ("3 hours at :15", ["01-01 08:15:00", "01-01 11:15:00"]),
        ("minute at :23", ["01-01 08:00:23", "01-01 08:01:23"]),
        ("5 minutes at :23", ["01-01 08:00:23", "01-01 08:05:23"]),
        ("Monday at 09:00", ["01-05 09:00:00", "01-12 09:00:00"]),
        ("wednesday", ["01-07 08:00:00", "01-14 08:00:00"]),
        ("thursday", ["01-08 08:00:00", "01-15 08:00:00"]),
    ],
)
def test_phrases(phrase: str, expected: list[str]) -> None:
    assert shown(phrase, 2) == expected


def test_fires_are_counted_from_the_last_one_and_not_from_now() -> None:
    schedule = build(EverySpec(phrase="10 minutes"))
    late = NOW + timedelta(minutes=47, seconds=3)
    assert schedule.next(late, NOW) == NOW + timedelta(minutes=50)
    assert schedule.last(NOW, late, NOW) == NOW + timedelta(minutes=40)


def test_days_follow_the_wall_clock_and_hours_real_time() -> None:
    before = datetime(2026, 3, 28, 9, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    assert shown("day", 2, before, "Europe/Berlin") == ["03-29 09:00:00", "03-30 09:00:00"]
    assert shown("24 hours", 2, before, "Europe/Berlin") == ["03-29 10:00:00", "03-30 10:00:00"]


def test_a_gap_moves_one_fire_and_not_the_ones_after_it() -> None:
    before = datetime(2026, 3, 26, 9, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    found = shown("3 days at 02:30", 3, before - timedelta(hours=8), "Europe/Berlin")
    assert found == ["03-26 02:30:00", "03-29 03:00:00", "04-01 02:30:00"]
    # In Scoresbysund the hour before midnight is missing: the fire lands on the next day, the count stays.
    found = shown("2 days at 23:30", 3, datetime(2026, 3, 26, 12, tzinfo=UTC), "America/Scoresbysund")
    assert found == ["03-26 23:30:00", "03-29 00:00:00", "03-30 23:30:00"]


def test_counting_begins_at_start_which_fires() -> None:
    start = NOW + timedelta(hours=1, minutes=7)
    spec = EverySpec(phrase="10 minutes", start=start, end=start + timedelta(minutes=20))
    expected = [start, start + timedelta(minutes=10), start + timedelta(minutes=20)]
    assert preview(spec, NOW, 9) == expected
    assert build(spec).last(NOW, start + timedelta(days=1), NOW) == expected[-1]
    assert build(spec).last(NOW, start - timedelta(seconds=1), NOW) is None


def test_random_pauses_stay_in_range_agree_between_engines_and_differ_between_jobs() -> None:
    fires = preview(EverySpec(phrase="5 to 10 minutes", hash_key="a"), NOW, 200)
    pauses = [later - earlier for earlier, later in zip([NOW, *fires], fires, strict=False)]
    assert all(timedelta(minutes=5) <= pause <= timedelta(minutes=10) for pause in pauses)
    assert len(set(pauses)) > 150
    build.cache_clear()
    assert preview(EverySpec(phrase="5 to 10 minutes", hash_key="a"), NOW, 200) == fires
    assert preview(EverySpec(phrase="5 to 10 minutes", hash_key="b"), NOW, 200) != fires


@pytest.mark.parametrize("phrase", ["1 to 2 seconds", "5 to 10 minutes", "1 to 3 days at 10:30", "second", "100ms"])
def test_years_of_missed_fires_cost_no_walk(phrase: str) -> None:
    spec = EverySpec(phrase=phrase, hash_key="a")
    schedule = build(spec)
    until = NOW + timedelta(days=3650, microseconds=1)
    last = schedule.last(NOW, until, NOW)
    following = schedule.next(until, NOW)
    assert last is not None
    assert following is not None
    assert until - timedelta(days=4) < last <= until < following < until + timedelta(days=4)


places = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
)
moments = st.one_of(
    st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1)),
    st.datetimes(datetime(2026, 3, 28), datetime(2026, 3, 30)),
    st.datetimes(datetime(2026, 10, 24), datetime(2026, 10, 26)),
    st.datetimes(datetime(2026, 4, 4), datetime(2026, 4, 6)),
).map(lambda d: d.replace(tzinfo=UTC))


@given(st.sampled_from(PHRASES), places, moments, st.integers(1, 12))
@settings(max_examples=400, deadline=None)
def test_next_is_strictly_later_and_last_is_the_newest(phrase: str, zone: str, anchor: datetime, count: int) -> None:
    schedule = build(EverySpec(phrase=phrase, timezone=zone, hash_key="job"))
    at, fires = anchor, []
    for _ in range(count):
        fire = schedule.next(at, anchor)
        assert fire is not None
        assert fire > at
        fires.append(fire)
        at = fire
    assert schedule.last(anchor, fires[-1], anchor) == fires[-1]
    assert schedule.last(fires[-1], fires[-1], anchor) is None
    earlier = schedule.last(anchor, fires[-1] - timedelta(microseconds=1), anchor)
    assert earlier == (fires[-2] if count > 1 else None)


@given(st.sampled_from(PHRASES), st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]), moments)
@settings(max_examples=200, deadline=None)
def test_serving_each_fire_changes_no_later_one(phrase: str, zone: str, anchor: datetime) -> None:
    if phrase in ("day", "2 days", "week", "3 weeks", "wednesday", "1 to 2 monday"):
        return  # they keep the wall time of the last fire, which a gap may have moved for good
    spec = EverySpec(phrase=phrase, timezone=zone, hash_key="job")
    served, at, unserved = preview(spec, anchor, 8), anchor, []
    for _ in range(8):
        at = build(spec).next(at, anchor)
        unserved.append(at)
    assert served == unserved


@pytest.mark.parametrize(
    ("phrase", "message", "hint"),
    [
        ("10 minute", "use minutes instead of minute", "10 minutes"),
        ("day at 25:00", "25:00 is not a time of day", "day at 10:30"),
        ("monday at 9:00", "valid format is HH:MM", "monday at 09:00"),
        ("hour at :75", "hourly", "hour at :15"),
        ("2 weeks at 10:30", "`at` goes with", "monday at 09:00"),
        ("2 monday", "weekly", "2 weeks"),
        ("0 minutes", "at least 1", "10 minutes"),
        ("10 to 5 minutes", "longer interval comes second", "5 to 10 minutes"),
        ("monda", "unknown unit", "monday"),
        ("now and then", "can't be read", "1h30m"),
        ("0s", "no time at all", "1h30m"),
        ("999999999 weeks", "hundred years", "2 weeks"),
        ("", "can't be read", "10 minutes"),
    ],
)
def test_mistakes_are_named_with_a_mend(phrase: str, message: str, hint: str) -> None:
    with pytest.raises(TriggerError) as caught:
        build(EverySpec(phrase=phrase))
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")
