"""How `unique: {by: …}` is read: a list of parameters, or a text made of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from orchestrator.config.fields import shown, wrong
from orchestrator.config.key_texts import compile_key
from orchestrator.config.source import BROKEN
from orchestrator.core.keys import KeyPath, KeyTemplate

_APART = "\x1f"
"""ASCII's own unit separator: no two lists of values give one key."""
_HOW = "write [user_id] or {{ params.user_id }}"


def _unique_by(value: Any) -> Any:
    if value is BROKEN or isinstance(value, tuple):
        return value
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise wrong("bad-value", "it is an empty list", "name at least one parameter, or remove the key")
    parts: list[str | KeyPath] = []
    for text in texts:
        parts += ([_APART] if parts else []) + list(_part(text))
    return tuple(parts)


def _part(text: Any) -> KeyTemplate:
    if not isinstance(text, str) or not text.strip():
        raise wrong("bad-key-text", f"{shown(text)} is not the name of a parameter", _HOW)
    if "{{" in text or "{%" in text:
        return compile_key(text)
    return (KeyPath(tuple(name.strip() for name in text.split("."))),)


UniqueBy = Annotated[
    tuple[Any, ...],
    BeforeValidator(_unique_by),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""`[user_id]`, `user.id`, or `{{ params.tenant }}-{{ params.user_id }}`."""
