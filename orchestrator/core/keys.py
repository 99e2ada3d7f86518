"""What do runs share a limit, a turn or an identity by? A text made of a run's parameters, without a template engine.

Whoever creates a run makes its keys: the engine does so for every fire, and never loads jinja2. So a key is compiled
when the file is read, from texts like `{{ params.tenant }}-{{ params.region }}`: literals and paths, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.core.json_values import holds_template

LONGEST = 200
"""Characters; a longer key is cut, and its end replaced by a hash of the whole."""

NO_KEY = ""
"""What runs have that lack what the key is made of: they take turns as one, and share no limit."""


class KeyPath(msgspec.Struct, frozen=True):
    """A place in `params`: names, one inside the other."""

    names: tuple[str, ...]


KeyTemplate = tuple[str | KeyPath, ...]
"""Literal texts and places, in order."""


def template_text(template: KeyTemplate) -> str:
    """A template as it is written in jobs.yaml."""
    return "".join(part if isinstance(part, str) else f"{{{{ params.{'.'.join(part.names)} }}}}" for part in template)


def make_key(template: KeyTemplate, params: Mapping[str, Any] | None) -> str | None:
    """The key of a run with these parameters; None when a place in it is missing, empty or a template, which the
    worker renders only when the attempt starts: it shares nothing."""
    parts = []
    for part in template:
        text = part if isinstance(part, str) else _text_at(part, params or {})
        if text is None:
            return None
        parts.append(text)
    return shortened("".join(parts))


def group_key(template: KeyTemplate | None, params: Mapping[str, Any] | None) -> str:
    """What a run of a queue with limits for each key shares them by."""
    return (None if template is None else make_key(template, params)) or NO_KEY


def key_of_all(params: Mapping[str, Any] | None) -> str:
    """The key that runs with the same parameters share."""
    return shortened(msgspec.json.encode(params or {}, order="sorted").decode())


def shortened(key: str) -> str:
    """The key, or one of bearable length that nothing else has."""
    if len(key) <= LONGEST:
        return key
    import hashlib

    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{key[: LONGEST - len(digest) - 1]}~{digest}"


def _text_at(path: KeyPath, params: Mapping[str, Any]) -> str | None:
    value: Any = params
    for name in path.names:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    if value is None or value == "" or holds_template(value):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
