"""Which instant does a text like `2030-01-31T09:00` mean in a timezone?"""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.core.errors import TriggerError
from orchestrator.triggers.zones import zone

_FORM = "write it in ISO 8601, like 2030-01-31T09:00 or 2030-01-31T09:00+01:00"


def parse_instant(text: str, timezone: str) -> datetime:
    """The instant in UTC. Without an offset the text is local time in `timezone`: one that a clock change repeats
    means its first occurrence, one that is left out is an error. Raises `TriggerError`."""
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError as error:
        why = f" ({error})" if "range" in str(error) else ""
        raise TriggerError(f"`{text[:60]}` is not a time{why}", _FORM) from None
    try:
        return _instant(text, local, timezone)
    except OverflowError:
        raise TriggerError(f"`{text[:60]}` is outside the years 1 to 9999", _FORM) from None


def _instant(text: str, local: datetime, timezone: str) -> datetime:
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    tz = zone(timezone)
    instant = local.replace(tzinfo=tz).astimezone(UTC)
    shown = instant.astimezone(tz)
    if shown.replace(tzinfo=None) != local:
        raise TriggerError(
            f"`{text}` doesn't exist in {timezone}: the clocks go forward over it",
            f"the same moment is {shown.replace(tzinfo=None).isoformat(timespec='minutes')} there; or write an offset",
        )
    return instant
