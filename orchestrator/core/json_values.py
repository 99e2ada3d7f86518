"""What is inside a JSON value? Questions that several rooms ask of parameters, results and options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TEMPLATE_KEY = "$template"
"""A value `{"$template": text}` is rendered by the worker just before the attempt, with `run` and `job`."""
DEEPEST = 200
"""Levels of lists and objects: far fewer than Python's limit, which comes sooner or later depending on who calls."""


def holds_template(value: Any) -> bool:
    """Whether a marker is somewhere in it: something that the worker renders just before the attempt."""
    if isinstance(value, dict):
        return TEMPLATE_KEY in value or any(map(holds_template, value.values()))
    return isinstance(value, list) and any(map(holds_template, value))


def is_too_deep(value: Any) -> bool:
    """Whether it has more than `DEEPEST` levels; no more are looked at than matter, and none by recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        if not level:
            return False
        level = [inner for outer in level for inner in _contents(outer) if isinstance(inner, (dict, list))]
    return bool(level)


def _contents(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
