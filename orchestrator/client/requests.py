"""What may be asked for with a run, and how is it written? The same from Python, JSON Lines and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from orchestrator.core.errors import RequestError, UnitError
from orchestrator.core.units import parse_duration
from orchestrator.engine.newruns import Asked

LONGEST = timedelta(days=36_500)
HIGHEST_PRIORITY = 9
_KEYS = ("job", "params", "delay", "at", "priority", "key", "expires_in")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A run that somebody asks for."""

    job: str
    params: dict[str, Any] = {}
    asked: Asked = Asked()


def read_request(fields: Mapping[str, Any], now: datetime, default_job: str | None = None) -> Wanted:
    """What a mapping like `{"job": "send", "params": {"to": "a@b.c"}, "delay": "10m", "key": "order-5"}` asks for.

    Keys whose value is None count as left out. Durations are text (`10m`), seconds or a timedelta; instants are
    ISO 8601 or a datetime, in the machine's own time if they have no offset. Raises `RequestError`.
    """
    unknown = [key for key in fields if key not in _KEYS]
    if unknown:
        raise RequestError(f"unknown key {unknown[0]!r}", f"known here: {', '.join(_KEYS)}")
    given = {key: value for key, value in fields.items() if value is not None}
    job = given.get("job", default_job)
    if not isinstance(job, str) or not job:
        raise RequestError("it names no job", 'add "job"')
    params = given.get("params", {})
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise RequestError("`params` should be parameters by name")
    asked = Asked(
        due_at=_due_at(given, now),
        priority=_priority(given.get("priority")),
        expires_in=_duration("expires_in", given["expires_in"]) if "expires_in" in given else None,
        key=_key(given.get("key")),
    )
    return Wanted(job=job, params=dict(params), asked=asked)


def _due_at(given: Mapping[str, Any], now: datetime) -> datetime | None:
    if "delay" in given and "at" in given:
        raise RequestError("`delay` and `at` are two times for one run", "give one of them")
    if "delay" in given:
        return now + _duration("delay", given["delay"])
    # What was due in the past is due now: it goes before nobody who has waited.
    return max(now, _instant(given["at"], now)) if "at" in given else None


def _duration(name: str, value: Any) -> timedelta:
    try:
        if isinstance(value, str):
            value = parse_duration(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            value = timedelta(seconds=value)
    except (UnitError, OverflowError, ValueError) as error:
        raise RequestError(f"`{name}`: {error}") from None
    if not isinstance(value, timedelta):
        raise RequestError(f"`{name}` should be a duration, not {value!r}", "write it like 30s, 10m or 2h")
    if not timedelta(0) <= value <= LONGEST:
        raise RequestError(f"`{name}` should be between nothing and a hundred years")
    return value


def _instant(value: Any, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(at, datetime):
            at = at.astimezone(UTC)
            if at - now <= LONGEST:
                return at
    except (ValueError, OverflowError):
        pass
    raise RequestError(f"`at`: {value!r} is not an instant", "write it like 2030-01-31T09:00 or 2030-01-31T09:00+01:00")


def _priority(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST_PRIORITY:
        raise RequestError(f"`priority` should be 0 to {HIGHEST_PRIORITY}, not {value!r}")
    return value


def _key(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text:
        raise RequestError(f"`key` should be a text that is not empty, not {value!r}")
    return text
