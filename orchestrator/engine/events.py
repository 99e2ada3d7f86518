"""What the engine says about its work: events with fields, for the console, the log and tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, named like `run.finished`; told only once it is on disk."""

    name: str
    at: datetime
    level: str = "info"
    fields: dict[str, Any] = {}


Emit = Callable[[Event], None]
