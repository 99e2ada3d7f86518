"""How `100/1m` is read: at most so many in any stretch of time as long as that."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf, WithJsonSchema

from orchestrator.config.fields import shown, wrong
from orchestrator.config.source import BROKEN
from orchestrator.core.errors import UnitError
from orchestrator.core.policies import RateLimit
from orchestrator.core.units import parse_duration

MOST = 1_000_000
_HOW = "write it like 100/1m, 5/s or 1000/24h"
_RATE = re.compile(r"\s*(\d{1,12})\s*/\s*(\S.{0,30})")
_PATTERN = r"^\s*\d+\s*/\s*(\d+(\.\d+)?\s*)?(ms|s|m|h|d|w)"


def parse_rate(text: str) -> RateLimit:
    """Read `100/1m`; `5/s` is `5/1s`. Raises pydantic's error with the accepted forms."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise wrong("bad-rate", f"{shown(text)} is not a rate", _HOW)
    count, period = int(match[1]), match[2].strip()
    if count < 1:
        raise wrong(
            "bad-rate", "a rate of 0 would let nothing start", "to hold a queue back, `orchestrator queue pause`"
        )
    if count > MOST:
        raise wrong("bad-rate", f"a rate may have at most {MOST:,} starts in its period", "choose a shorter period")
    return RateLimit(count=count, period=_period(text, period))


def _period(text: str, period: str) -> timedelta:
    try:
        length = parse_duration(period if period[0].isdigit() else f"1{period}")
    except UnitError:
        raise wrong("bad-rate", f"{shown(text)} is not a rate: {shown(period)} is no duration", _HOW) from None
    if length <= timedelta(0):
        raise wrong("bad-rate", "the period of a rate must be longer than 0", _HOW)
    return length


def _rate(value: Any) -> Any:
    if value is BROKEN or isinstance(value, RateLimit):
        return value
    if type(value) is int:
        raise wrong("bad-rate", f"the number {value} is not a rate: it has no period", f"write {value}/1m for a minute")
    if not isinstance(value, str):
        raise wrong("bad-rate", f"{shown(value)} is not a rate", _HOW)
    return parse_rate(value)


Rate = Annotated[
    InstanceOf[RateLimit],
    BeforeValidator(_rate),
    WithJsonSchema({"type": "string", "pattern": _PATTERN}),
]
"""`100/1m`: at most 100 in any minute."""
