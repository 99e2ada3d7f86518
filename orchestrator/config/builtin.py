"""What does a key mean when nobody sets it? The plan's own defaults, as they would be written in YAML."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any

import msgspec

from orchestrator.core.hooks import Notifier
from orchestrator.core.plan import Job, Plan, Queue, Retention, Workers
from orchestrator.core.policies import Retry, Unique
from orchestrator.core.units import format_duration, format_size

_SIZES = {"memory_limit", "log_limit", "max_memory"}
_DEPENDS = {"isolation", "timezone"}
"""Left out: the callable or the file decides."""
_STRUCTS: dict[str, type[msgspec.Struct]] = {
    "Job": Job,
    "Policies": Job,
    "Step": Job,
    "Retry": Retry,
    "Retention": Retention,
    "Unique": Unique,
    "Workers": Workers,
    "Queue": Queue,
    "File": Plan,
    "Group": Notifier,
}
_ELSEWHERE: dict[tuple[str, str], Any] = {
    ("File", "timezone"): "UTC",
    ("After", "on"): "success",
    ("Step", "on_failure"): "fail",
    ("Step", "every"): "30s",
}


def default_of(shape: str, key: str) -> Any:
    """The default of a key of `Job`, `Retry`, …, as JSON; None if it has none worth telling."""
    if (shape, key) in _ELSEWHERE:
        return _ELSEWHERE[shape, key]
    struct = _STRUCTS.get(shape)
    if struct is None or key in _DEPENDS:
        return None
    field = next((f for f in msgspec.structs.fields(struct) if f.name == key), None)
    return None if field is None else _written(key, field.default)


def _written(key: str, value: Any) -> Any:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int) and key in _SIZES:
        return format_size(value)
    return value if isinstance(value, (bool, int)) or (isinstance(value, str) and value) else None
