"""What a person, or a program, reads of the engine's events."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.cli.event_lines import TextLines, json_line
from orchestrator.engine.events import Event

AT = datetime(2025, 11, 24, 11, 0, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def event(name: str, level: str = "info", **fields: Any) -> Event:
    return Event(name=name, at=AT, level=level, fields=fields)


def line(name: str, level: str = "info", **fields: Any) -> str:
    return TextLines(stream(), BERLIN, names=13)(event(name, level, **fields))


def test_a_success_is_one_aligned_line_in_the_plans_timezone() -> None:
    assert line("run.succeeded", job="system-health", run_id=12, attempt=1, duration=0.034) == (
        "12:00:30  ✓ system-health  run 12  0.03s"
    )
    assert line("run.succeeded", job="mail", run_id=13, attempt=2, duration=1.5) == (
        "12:00:30  ✓ mail           run 13  1.5s  attempt 2"
    )


def test_a_failure_gives_its_reason_on_the_same_line() -> None:
    assert line(
        "run.failed", "error", job="mail", run_id=7, attempt=3, duration=2.0, reason="ValueError: no\nmore"
    ) == ("12:00:30  ✗ mail           run 7  2.0s  ValueError: no")


def test_a_retry_says_when() -> None:
    told = line(
        "run.retrying", job="mail", run_id=7, attempt=1, reason="boom", next_attempt_at=AT + timedelta(seconds=4)
    )
    assert told == "12:00:30  ↻ mail           run 7  boom; attempt 2 at 12:00:34"


def test_a_skip_always_has_a_reason() -> None:
    assert line("run.skipped", job="mail", run_id=8, reason=None).endswith(
        "skipped: an earlier run is not finished (overlap: skip)"
    )
    assert line("run.skipped", job="mail", run_id=8, reason="the job is paused").endswith("skipped: the job is paused")


def test_an_event_without_a_line_of_its_own_shows_its_fields() -> None:
    told = line("worker.crashed", "warning", pid=99, reason="killed by SIGSEGV", instance=None)
    assert told == '12:00:30  ! worker.crashed  pid=99  reason="killed by SIGSEGV"'


def test_a_new_day_is_announced_once() -> None:
    lines = TextLines(stream(), BERLIN)
    lines(event("engine.started"))
    later = Event(name="engine.idle", at=AT + timedelta(days=1))
    assert lines(later).startswith("-- Tuesday 2025-11-25 --\n")
    assert "--" not in lines(later)


def test_marks_fall_back_to_ascii_where_the_terminal_has_no_others() -> None:
    told = TextLines(stream("ascii"), BERLIN)(event("run.succeeded", job="mail", run_id=1, duration=0.1))
    assert told.isascii()


def test_colours_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in line("run.failed", job="mail", run_id=1)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in line("run.failed", job="mail", run_id=1)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in line("run.failed", job="mail", run_id=1)


def test_json_lines_hold_every_field() -> None:
    told = json.loads(
        json_line(event("run.failed", "error", job="mail", run_id=1, started_at=AT, odd=timedelta(seconds=2)))
    )
    assert told["event"] == "run.failed"
    assert told["level"] == "error"
    assert told["at"] == "2025-11-24T11:00:30Z"
    assert told["started_at"] == "2025-11-24T11:00:30Z"
    assert told["job"] == "mail"
