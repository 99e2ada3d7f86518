"""What users of other schedulers suffered around clock changes, and must not suffer here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestrator.core.triggers import CronSpec, EverySpec, TimeSpec
from orchestrator.triggers.preview import preview
from orchestrator.triggers.schedules import build


def fires(text: str, zone: str, after: str, count: int) -> list[str]:
    """Fire times in the zone, as `03-29 03:00+0200`."""
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    spec = CronSpec(expression=text, timezone=zone)
    return [f"{fire.astimezone(ZoneInfo(zone)):%m-%d %H:%M%z}" for fire in preview(spec, start, count)]


def test_a_fixed_time_in_a_gap_fires_once_right_after_it() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["03-29 03:00+0200", "03-30 02:30+0200"]


def test_several_fixed_times_in_a_gap_are_one_fire() -> None:
    found = fires("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", 3)
    assert found == ["03-29 03:00+0200", "03-29 03:30+0200", "03-30 02:00+0200"]


def test_a_fixed_time_in_an_overlap_fires_the_first_time_only() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_nestjs_six_fields_with_a_fixed_time_behave_like_five() -> None:
    for zone, after in (("Europe/Berlin", "2026-03-27T12:00"), ("America/New_York", "2026-10-30T12:00")):
        assert fires("0 0 02 * * *", zone, after, 5) == fires("0 2 * * *", zone, after, 5)


def test_an_hourly_job_fires_each_real_hour_however_it_is_written() -> None:
    for text in ("0 * * * *", "0 0-23 * * *", "0 0-23/1 * * *"):
        found = fires(text, "Europe/Berlin", "2026-10-25T00:30", 4)
        assert found == ["10-25 01:00+0200", "10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"]


def test_a_wildcard_job_skips_an_hour_that_does_not_exist() -> None:
    found = fires("*/30 2 * * *", "Europe/Berlin", "2026-03-28T02:10", 2)
    assert found == ["03-28 02:30+0100", "03-30 02:00+0200"]


def test_asked_within_the_first_showing_of_an_hour_the_second_one_is_not_announced() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    schedule = build(CronSpec(expression="30 2 * * *", timezone="Europe/Berlin"))
    for minute in (10, 30, 50):
        after = datetime(2026, 10, 25, 2, minute, fold=1, tzinfo=berlin)
        assert schedule.next(after, after) == datetime(2026, 10, 26, 2, 30, tzinfo=berlin)
        assert schedule.last(after - timedelta(hours=3), after, after) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_half_an_hour_of_daylight_saving_keeps_minutes_right() -> None:
    # Lord Howe: 02:00 becomes 02:30 in October and 01:30 in April.
    assert fires("0 3 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["10-04 03:00+1100"]
    assert fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["10-04 02:30+1100"]
    assert fires("0 */3 * * *", "Australia/Lord_Howe", "2026-10-04T00:30", 2) == [
        "10-04 03:00+1100",
        "10-04 06:00+1100",
    ]
    assert fires("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", 2) == ["04-05 01:45+1100", "04-06 01:45+1030"]


def test_a_gap_at_midnight_and_a_missing_day() -> None:
    assert fires("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", 2) == ["11-04 01:00-0200", "11-05 00:00-0200"]
    # Samoa had no 30 December 2011.
    found = fires("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00", 3)
    assert found == ["12-31 00:00+1400", "12-31 09:00+1400", "01-01 09:00+1400"]
    assert fires("*/30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", 1) == ["11-05 00:00-0200"]


def test_offsets_that_are_no_whole_hours() -> None:
    assert fires("15 6 * * *", "Asia/Kathmandu", "2026-01-01T00:00", 1) == ["01-01 06:15+0545"]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Europe/Berlin", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize(
    "text", ["* * * * *", "*/5 * * * *", "0 * * * *", "30 1 * * *", "0 0 2 * * 1-5", "59 23 * * *"]
)
def test_a_year_of_fires_never_stops_and_never_stands_still(zone: str, text: str) -> None:
    # node-cron#492 stopped for 26 hours at a change of the clocks; #509 spun on one fire time without end.
    schedule = build(CronSpec(expression=text, timezone=zone))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    longest = timedelta(hours=73 if text.endswith("1-5") else 25 if text.split()[-4] != "*" else 1)
    while at.year == 2026:
        # Step through real time in uneven hours, so that every change of the clocks is approached from many sides.
        fire = schedule.next(at, at)
        assert fire is not None
        assert timedelta(0) < fire - at <= longest
        at = max(fire, at + timedelta(hours=7, minutes=13))


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
def host_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (CronSpec(expression="30 2 * * *", timezone="Europe/Berlin"), "2026-03-29T01:00:00+00:00"),
        (CronSpec(expression="0 12 * * *"), "2026-03-29T12:00:00+00:00"),
        (EverySpec(phrase="day at 02:30", timezone="Europe/Berlin"), "2026-03-29T01:00:00+00:00"),
        (EverySpec(phrase="2 days at 02:30", timezone="Europe/Berlin"), "2026-03-30T00:30:00+00:00"),
        (EverySpec(phrase="10 minutes"), "2026-03-28T18:10:00+00:00"),
    ],
)
def test_the_zone_of_the_host_never_matters(host_zone: str, spec: TimeSpec, expected: str) -> None:
    # kelektiv/node-cron#120, #163, #638: jobs an hour off on a host whose own clocks change.
    after = datetime(2026, 3, 28, 18, 0, tzinfo=UTC)
    build.cache_clear()
    assert build(spec).next(after, after) == datetime.fromisoformat(expected)
    offset = after.astimezone(ZoneInfo("Asia/Tokyo"))
    assert build(spec).next(offset, offset) == datetime.fromisoformat(expected)
