"""How instants and durations are written for people, and how people write the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from orchestrator.cli.errors import CommandError
from orchestrator.core.errors import UnitError
from orchestrator.core.units import parse_duration

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def lasting(duration: timedelta) -> str:
    """A duration with the precision that matters at its size: 0.03s, 1.2s, 45s, 2m 5s, 3h 10m, 2d 4h."""
    seconds = max(0.0, duration.total_seconds())
    if seconds < 1:
        return f"{seconds:.2f}s"
    if seconds < 10:
        return f"{seconds:.1f}s"
    return coarse(duration)


def coarse(duration: timedelta) -> str:
    """A duration in whole seconds, in its two largest units."""
    left = round(max(0.0, duration.total_seconds()))
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def relative(at: datetime, now: datetime) -> str:
    """`3m ago` or `in 2h 5m`."""
    return f"in {coarse(at - now)}" if at > now else f"{coarse(now - at)} ago"


def exact(at: datetime, zone: tzinfo | None = None) -> str:
    """An instant to the second in a timezone (the machine's own by default), with that timezone's abbreviation."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def parse_instant(text: str, zone: tzinfo) -> datetime:
    """An instant in ISO 8601; without an offset it is in the timezone. Raises `CommandError`."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(f"{text!r} is not a time", "write it like 2026-03-28 or 2026-03-28T09:30") from None


def parse_when(text: str, now: datetime) -> datetime:
    """An instant written `1h` (that long ago) or in ISO 8601; without an offset it is the machine's own time.

    Raises `CommandError` with the accepted forms.
    """
    try:
        return now - parse_duration(text)
    except UnitError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            f"{text!r} is not a time", "write it like 90s, 1h, 7d, 2025-11-24 or 2025-11-24T09:30:00+01:00"
        ) from None
