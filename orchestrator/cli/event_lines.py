"""How the engine's events read: one aligned line for a person, one JSON object for a program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, TextIO

import msgspec

from orchestrator.cli.terminal import Painter, marks_for
from orchestrator.cli.times import coarse, lasting
from orchestrator.engine.events import Event

WIDEST_NAME = 32
LONGEST_REASON = 300
_ROUTINE = frozenset({"worker.ready", "worker.exited"})
"""Left out for people, unless it is a warning: workers come and go as they should."""
_SENTENCES = {
    "engine.stopping": "stopping: nothing new starts, {running} still running",
    "engine.hurrying": "hurrying: what runs is interrupted and goes back to the queue",
    "engine.stopped": "stopped",
    "worker.refused": "no worker can be started for isolation {isolation}: {why}",
    "worker.resumed": "workers can be started again for isolation {isolation}",
    "config.applied": "reloaded {path} (jobs: {jobs})",
    "config.refused": "not reloaded, everything goes on as it was: {error}",
}
_OVERLAP = "an earlier run is not finished (overlap: skip)"

Format = Callable[[Event], str]


def json_line(event: Event) -> str:
    """An event as one JSON object: `at`, `event`, `level`, and its fields; instants in UTC, durations in seconds."""
    fields = {"at": event.at, "event": event.name, "level": event.level, **event.fields}
    return msgspec.json.encode(fields, enc_hook=str).decode()


class TextLines:
    """Formats events as `12:00:30  ✓ system-health  run 12  0.03s`, with the date whenever it changes."""

    def __init__(self, stream: TextIO, zone: tzinfo, names: int = 0) -> None:
        self._zone = zone
        self._painter = Painter(stream)
        self._width = min(names, WIDEST_NAME)
        self._day: date | None = None
        marks = marks_for(stream)
        self._looks: dict[str, tuple[str, str, Callable[[dict[str, Any]], str]]] = {
            "run.succeeded": (marks.ok, "green", _succeeded),
            "run.failed": (marks.failed, "red", _failed),
            "run.retrying": (marks.retry, "yellow", self._retrying),
            "run.released": (marks.stopped, "yellow", _released),
            "run.cancelled": (marks.stopped, "yellow", _cancelled),
            "run.skipped": (marks.skipped, "dim", _skipped),
            "run.waiting": (marks.note, "dim", lambda _: "its steps have begun"),
            "run.refused": (marks.warning, "yellow", _refused),
        }
        self._levels = {"error": (marks.failed, "red"), "warning": (marks.warning, "yellow")}
        self._note = (marks.note, "dim")

    def __call__(self, event: Event) -> str:
        """The line, or several; empty for what is of no interest to people."""
        if event.level == "debug" or (event.level == "info" and event.name in _ROUTINE):
            return ""
        at = event.at.astimezone(self._zone)
        clock = self._painter.paint(f"{at:%H:%M:%S}", "dim")
        return f"{self._new_day(at)}{clock}  {self._line(event)}"

    def _new_day(self, at: datetime) -> str:
        if self._day == at.date():
            return ""
        first, self._day = self._day is None, at.date()
        return "" if first else f"-- {at:%A %Y-%m-%d} --\n"

    def _line(self, event: Event) -> str:
        fields = event.fields
        look = self._looks.get(event.name)
        if look is None or "job" not in fields:
            mark, style = self._levels.get(event.level, self._note)
            return f"{self._painter.paint(mark, style)} {_plain(event)}".rstrip()
        mark, style, tell = look
        job = f"{fields['job']:<{self._width}}"
        run = self._painter.paint(f"run {fields.get('run_id', '?')}", "cyan")
        return f"{self._painter.paint(mark, style)} {job}  {run}  {tell(fields)}".rstrip()

    def _retrying(self, fields: dict[str, Any]) -> str:
        again = f"attempt {fields.get('attempt', 0) + 1}"
        if isinstance(at := fields.get("next_attempt_at"), datetime):
            again += f" at {at.astimezone(self._zone):%H:%M:%S}"
        return f"{_duration(fields)}{_reason(fields)}; {again}"


def _succeeded(fields: dict[str, Any]) -> str:
    attempt = fields.get("attempt", 1)
    return _duration(fields) + (f"attempt {attempt}" if attempt > 1 else "")


def _failed(fields: dict[str, Any]) -> str:
    return _duration(fields) + _reason(fields)


def _released(fields: dict[str, Any]) -> str:
    return f"{_duration(fields)}given back to the queue: {_reason(fields)}".removesuffix(": ")


def _cancelled(fields: dict[str, Any]) -> str:
    return f"{_duration(fields)}cancelled: {_reason(fields)}".removesuffix(": ")


def _skipped(fields: dict[str, Any]) -> str:
    return f"skipped: {_reason(fields) or _OVERLAP}"


def _refused(fields: dict[str, Any]) -> str:
    return f"attempt {fields.get('attempt', '?')} ended after it was taken over: its outcome is refused"


def _duration(fields: dict[str, Any]) -> str:
    seconds = fields.get("duration")
    return "" if seconds is None else f"{lasting(timedelta(seconds=seconds))}  "


def _reason(fields: dict[str, Any]) -> str:
    lines = str(fields.get("reason") or "").strip().splitlines()
    text = lines[0] if lines else ""
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _plain(event: Event) -> str:
    """Any event that has no line of its own: its name and its fields, those without a value left out."""
    if sentence := _SENTENCES.get(event.name):
        return sentence.format_map({"running": 0, **event.fields})
    told = {key: _value(value) for key, value in event.fields.items() if value is not None}
    short = [f"{key}={_quoted(value)}" for key, value in told.items() if "\n" not in value]
    # What has several lines, such as the last words of a worker, stands below.
    long = [f"\n{key}:\n{value}".replace("\n", "\n    ") for key, value in told.items() if "\n" in value]
    return "  ".join([event.name, *short]) + "".join(long)


def _value(value: Any) -> str:
    if isinstance(value, timedelta):
        return coarse(value)
    return value.isoformat() if isinstance(value, datetime) else str(value).rstrip("\n")


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value or not value else value


def formatter(log_format: str, zone: tzinfo, names: int, stream: TextIO | None = None) -> Format:
    """The format that `--log-format` asks for; `names` is the length of the longest job's name."""
    return json_line if log_format == "json" else TextLines(stream or sys.stdout, zone, names)
