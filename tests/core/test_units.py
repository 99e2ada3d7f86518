"""Durations and sizes are read as they are shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import UnitError
from orchestrator.core.units import format_duration, format_size, parse_duration, parse_size


@given(st.integers(1, 10**11))
def test_a_duration_survives_being_written_and_read(millis: int) -> None:
    value = timedelta(milliseconds=millis)
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("2s", 2), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("1.5h", 5400), (" 1h 30m ", 5400)],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "m5", "5 minutes", "30m1h", "1h1h", "-5s", "1e9d", "99999999d", "5m junk"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"), [("500MiB", 500 * 2**20), ("1.5GB", 1_500_000_000), ("4096", 4096), ("64 KiB", 65536), ("0", 0)]
)
def test_sizes_as_people_write_them(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "5 parsecs", "-1MiB", "1e3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_size(text)


@given(st.integers(0, 2**50))
def test_a_shown_size_is_close_to_what_it_shows(count: int) -> None:
    assert abs(parse_size(format_size(count)) - count) <= max(1, count * 0.06)
