"""The kinds of value that keys take: durations, sizes, one or many, names. Each knows its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.config.source import BROKEN
from orchestrator.core.errors import UnitError
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.units import parse_duration, parse_size

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DURATION_PATTERN = r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$"
_SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s?(B|[kKMGT]B|[KMGT]iB)?\s*$"
_LONGEST = 100
NEVER = ("none", "None", "never", "off", "false")
"""Ways people write that there is no limit; only the first is ours."""


def wrong(code: str, message: str, hint: str | None = None) -> PydanticCustomError:
    """A mistake in a value, to be raised inside a pydantic validator; the text is not a format."""
    return PydanticCustomError("told", "{message}", {"code": code, "message": message, "hint": hint})


def _duration(value: Any) -> Any:
    if value is BROKEN or isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise wrong(
            "bad-duration", f"the number {value} is not a duration: it has no unit", f"write {value}s for seconds"
        )
    if not isinstance(value, str):
        raise wrong("bad-duration", f"{shown(value)} is not a duration", "write it like 500ms, 2s, 5m, 1h30m or 7d")
    return _by_unit(value, parse_duration, "bad-duration")


def _limit(value: Any) -> Any:
    if value is None or value == "none":
        return None
    if value is False or value in NEVER:
        raise wrong("bad-duration", f"{shown(value)} is not a duration", "write none for no limit")
    return _duration(value)


def _size(value: Any) -> Any:
    if value is BROKEN or type(value) is int:
        return value
    if not isinstance(value, str):
        raise wrong("bad-size", f"{shown(value)} is not a size", "write it like 64KiB, 500MiB or 2GiB")
    return _by_unit(value, parse_size, "bad-size")


def _by_unit(text: str, parse: Callable[[str], Any], code: str) -> Any:
    if len(text) > _LONGEST:
        raise wrong(code, f"a text of {len(text):,} characters is no value for this")
    try:
        return parse(text)
    except UnitError as error:
        message, _, hint = str(error).partition("; ")
        raise wrong(code, message, hint or None) from None


def _positive(value: Any) -> Any:
    if isinstance(value, timedelta) and value <= timedelta(0):
        raise wrong("bad-duration", "the duration must be longer than 0")
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _empty_mapping(value: Any) -> Any:
    return {} if value is None else value


def _empty_list(value: Any) -> Any:
    return [] if value is None else value


def shown(value: Any) -> str:
    """A value as people write it, short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


_DURATION_SCHEMA = {"type": "string", "pattern": _DURATION_PATTERN, "examples": ["500ms", "30s", "5m", "1h30m", "7d"]}
_SIZE_SCHEMA = {"anyOf": [{"type": "string", "pattern": _SIZE_PATTERN}, {"type": "integer"}]}
_LIMIT_SCHEMA = {"anyOf": [_DURATION_SCHEMA, {"const": "none"}, {"type": "null"}]}

Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""`30s`, `1h30m`; zero is allowed."""
Span = Annotated[timedelta, BeforeValidator(lambda v: _positive(_duration(v))), WithJsonSchema(_DURATION_SCHEMA)]
"""A duration longer than zero."""
Limit = Annotated[timedelta | None, BeforeValidator(lambda v: _positive(_limit(v))), WithJsonSchema(_LIMIT_SCHEMA)]
"""A duration, or `none` for no limit."""
Size = Annotated[int, BeforeValidator(_size), Field(ge=1, lt=2**63), WithJsonSchema(_SIZE_SCHEMA)]
"""`500MiB`, or a number of bytes."""

_ONE_OR_MANY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
Texts = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1), WithJsonSchema(_ONE_OR_MANY)]
"""One text or a list of them."""
TextList = Annotated[list[str], BeforeValidator(_empty_list)]
"""A list of texts; nothing is an empty one."""
Mapping = Annotated[dict[str, Any], BeforeValidator(_empty_mapping)]
"""Free data; nothing is an empty one."""
Name = Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]
"""The name of a job, queue or resource; checked apart, so that one bad name spoils nothing else."""


def _deferrable(value: Any) -> Any:
    """Text, or a template that is rendered when it is used."""
    if value is BROKEN or isinstance(value, str) or (isinstance(value, dict) and set(value) == {TEMPLATE_KEY}):
        return value
    raise wrong("wrong-type", f"it should be text, not {shown(value)}")


Message = Annotated[Any, BeforeValidator(_deferrable), WithJsonSchema({"type": "string"})]
"""Text whose templates may wait until a worker uses it."""
Messages = Annotated[
    list[Annotated[Any, BeforeValidator(_deferrable)]],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema(_ONE_OR_MANY),
]
"""One of those or several."""
