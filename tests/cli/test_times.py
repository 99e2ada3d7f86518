"""Durations, relative times, and how people write the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.errors import CommandError
from orchestrator.cli.fire_times import clock_change
from orchestrator.cli.times import coarse, lasting, parse_when, relative

NOW = datetime(2025, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.00s"), (0.034, "0.03s"), (1.26, "1.3s"), (45, "45s"), (125, "2m 5s"), (3600, "1h"), (90061, "1d 1h")],
)
def test_a_duration_has_the_precision_that_matters_at_its_size(seconds: float, shown: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == shown


@given(st.integers(0, 10**9))
def test_a_coarse_duration_has_at_most_two_units(seconds: int) -> None:
    assert 1 <= len(coarse(timedelta(seconds=seconds)).split()) <= 2


def test_relative_times_say_which_side_of_now_they_are_on() -> None:
    assert relative(NOW + timedelta(hours=2), NOW) == "in 2h"
    assert relative(NOW - timedelta(minutes=3), NOW) == "3m ago"


def test_the_past_is_written_as_a_duration_or_in_iso_8601() -> None:
    assert parse_when("1h", NOW) == NOW - timedelta(hours=1)
    assert parse_when("2025-11-24T09:30:00+01:00", NOW) == datetime(2025, 11, 24, 8, 30, tzinfo=UTC)
    assert parse_when("2025-11-01", NOW).tzinfo is UTC


def test_an_unreadable_time_is_refused_with_the_accepted_forms() -> None:
    with pytest.raises(CommandError) as refusal:
        parse_when("yesterday", NOW)
    assert "7d" in (refusal.value.hint or "")


def test_days_on_which_clocks_change_are_told() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert clock_change(datetime(2026, 3, 29, 12, tzinfo=berlin), berlin) == "clocks go forward 60 min that day"
    assert clock_change(datetime(2026, 10, 25, 0, 30, tzinfo=berlin), berlin) == "clocks go back 60 min that day"
    assert clock_change(datetime(2026, 3, 30, 12, tzinfo=berlin), berlin) == ""
    assert clock_change(NOW, ZoneInfo("UTC")) == ""
