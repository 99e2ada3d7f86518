"""How `by: "{{ params.tenant }}"` is read: text and a run's parameters, which the engine can fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from orchestrator.config.fields import shown, wrong
from orchestrator.config.source import BROKEN
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.keys import KeyPath, KeyTemplate

_PLACE = re.compile(r"\{\{\s*params((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*\}\}")
_FOREIGN = re.compile(r"\{\{.*?(?:\}\}|$)|\{%.*?(?:%\}|$)|\{#.*?(?:#\}|$)", re.DOTALL)
_HOW = "write text and parameters, like {{ params.tenant }}"


def compile_key(text: str) -> KeyTemplate:
    """The template of a key. Raises pydantic's error for what is no such text, or names no parameter."""
    parts: list[str | KeyPath] = []
    end = 0
    for place in _PLACE.finditer(text):
        parts += [text[end : place.start()], KeyPath(tuple(place[1][1:].split(".")))]
        end = place.end()
    parts.append(text[end:])
    for part in parts:
        if isinstance(part, str) and (foreign := _FOREIGN.search(part)):
            raise _too_much(foreign[0])
    if len(parts) == 1:
        raise wrong("bad-key-text", f"{shown(text)} names no parameter, so all runs would share one key", _HOW)
    return tuple(part for part in parts if part != "")


def missing_from(template: KeyTemplate, params: Mapping[str, Any]) -> KeyPath | None:
    """The first place of a key that these parameters don't have."""
    return next((part for part in template if isinstance(part, KeyPath) and not _has(params, part.names)), None)


def rendered_in(template: KeyTemplate, params: Mapping[str, Any]) -> KeyPath | None:
    """The first place of a key whose value is known only when an attempt starts, as it is a template itself."""
    return next((part for part in template if isinstance(part, KeyPath) and _is_late(params, part.names)), None)


def path_text(path: KeyPath) -> str:
    """A place as it is written."""
    return ".".join(("params", *path.names))


def _has(value: Any, names: tuple[str, ...]) -> bool:
    for name in names:
        if isinstance(value, Mapping) and TEMPLATE_KEY in value:
            return True  # what it will hold is not known yet
        if not isinstance(value, Mapping) or value.get(name) in (None, ""):
            return False
        value = value[name]
    return True


def _is_late(value: Any, names: tuple[str, ...]) -> bool:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and TEMPLATE_KEY in value:
            return True
    return False


def _too_much(written: str) -> Any:
    if re.fullmatch(r"\{\{\s*params\s*\}\}", written):
        return wrong("bad-key-text", "`{{ params }}` is all parameters together", "name one: {{ params.NAME }}")
    return wrong(
        "bad-key-text",
        f"{shown(written)} can't be part of a key: whoever creates a run makes its key, without a template engine",
        _HOW,
    )


def _key_text(value: Any) -> Any:
    if value is BROKEN or isinstance(value, tuple):
        return value
    if not isinstance(value, str):
        raise wrong("bad-key-text", f"{shown(value)} is no text with a parameter in it", _HOW)
    return compile_key(value)


KeyText = Annotated[
    tuple[Any, ...],
    BeforeValidator(_key_text),
    WithJsonSchema({"type": "string", "pattern": r"\{\{\s*params\."}),
]
"""`{{ params.tenant }}`, or several of those with text between them."""
