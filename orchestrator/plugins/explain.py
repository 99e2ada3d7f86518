"""What is wrong with a value, in words for the person who wrote it in YAML? pydantic's errors, located and reworded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.plugins.failures import Fault

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
_KINDS = {
    "missing": "missing",
    "missing_argument": "missing",
    "extra_forbidden": "unknown",
    "unexpected_keyword_argument": "unknown",
}
_HINTS = {
    "time_delta_parsing": "annotate it `Duration` to write it like 1h30m",
    "time_delta_type": "annotate it `Duration` to write it like 1h30m",
}


def faults_of(error: ValidationError, values: dict[str, Any], *, tell_values: bool) -> list[Fault]:
    """One fault for each place, although each member of a union complains for itself.

    `tell_values` is false where a value may be a secret: then a message says no more than its type.
    """
    by_place: dict[Path, list[Fault]] = {}
    for detail in error.errors(include_url=False, include_context=False):
        fault = _fault(detail, values, tell_values=tell_values)
        by_place.setdefault(fault.path, []).append(fault)
    return [_joined(faults) for faults in by_place.values()]


def _fault(detail: ErrorDetails, values: dict[str, Any], *, tell_values: bool) -> Fault:
    kind = _KINDS.get(detail["type"], "type")
    path = _within(detail["loc"], values, missing=kind == "missing")
    name = written(path)
    if kind == "missing":
        return Fault(kind, path, f"{name} is missing")
    if kind == "unknown":
        return Fault(kind, path, f"{name} is not known here")
    found = _shown(detail["input"]) if tell_values else _kind(detail["input"])
    said = detail["msg"]
    if said.startswith("Input should be "):
        wish = said.removeprefix("Input should be ")
        if "parsing" in detail["type"]:
            wish = wish.partition(", ")[0]
        message = f"{name} should be {wish}, not {found}"
    elif detail["type"] in ("value_error", "assertion_error") and tell_values:
        message = f"{name}: {said.partition(', ')[2] or said}"
    elif detail["type"] in ("value_error", "assertion_error"):
        message = f"{name} is not a value that it takes"
    else:
        message = f"{name}: {said[:1].lower()}{said[1:]}"
    return Fault(kind, path, message, _hint(detail))


def _hint(detail: ErrorDetails) -> str | None:
    if detail["type"] == "string_type" and isinstance(detail["input"], (int, float, bool)):
        return "put it in quotes"
    return _HINTS.get(detail["type"])


def _joined(faults: list[Fault]) -> Fault:
    first = faults[0]
    head, should_be, _ = first.message.partition(" should be ")
    wishes = [fault.message.partition(" should be ")[2].rpartition(", not ") for fault in faults]
    if len(faults) == 1 or not should_be or not all(wish[0] for wish in wishes):
        return first
    wanted = " or ".join(dict.fromkeys(wish[0] for wish in wishes))
    return Fault(first.kind, first.path, f"{head} should be {wanted}, not {wishes[0][2]}", first.hint)


def _within(location: tuple[str | int, ...], values: Any, *, missing: bool) -> Path:
    """pydantic's location without what isn't in the input: names of union members, of validators, of dict keys."""
    path: list[str | int] = []
    for position, step in enumerate(location):
        in_list = isinstance(values, list) and isinstance(step, int) and step < len(values)
        if in_list or (isinstance(values, dict) and step in values):
            values = values[step]
        elif not (missing and position == len(location) - 1):
            continue
        path.append(step)
    return tuple(path)


def written(path: Path) -> str:
    """A path as people write it: `'window.days[0]'`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return repr(text)


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "this text", list: "a list", dict: "a mapping"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return _kind(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
