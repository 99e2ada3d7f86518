"""Is a callable's result a JSON value, and which one? The same question for a checkpoint."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from orchestrator.core.json_values import is_too_deep
from orchestrator.core.units import format_size

LIMIT = 2**20
"""Bytes of what is kept in the database whatever its size: checkpoints."""
ITEMS_LIMIT = 16 * 2**20
"""Bytes of the items of a step and their parameters: each becomes a row, and travels to a worker once more."""
encode = msgspec.json.Encoder().encode


class NotJson(TypeError):  # noqa: N818 - said to the author of a callable, as it reads
    """A value that can't be kept, and why."""


class Plain(NamedTuple):
    """A JSON value, and how many bytes it takes as text."""

    value: Any
    size: int


def plain(value: Any, limit: int = LIMIT) -> Any:
    """A JSON value for `value`: dataclasses, structs, models, datetimes, enums, sets and tuples become what JSON has.

    Raises `NotJson` for anything else, and for more bytes than the limit.
    """
    return measured(value, limit).value


def measured(value: Any, limit: int) -> Plain:
    """The same, with its size."""
    if value is None or value is True or value is False:
        return Plain(value, 0)
    try:
        built = msgspec.to_builtins(value, str_keys=True, enc_hook=_unusual)
        size = len(encoded := encode(built))
        if size > limit:
            raise NotJson(f"it has {format_size(size)}, and at most {format_size(limit)} are kept")
        built = msgspec.json.decode(encoded)  # what the store will hold: NaN has become null, for one
        msgspec.msgpack.encode(built)
        if is_too_deep(built):  # what encodes here at the brink of recursion would not on the engine's side
            raise NotJson("it is nested too deeply")
    except RecursionError:
        raise NotJson("it is nested too deeply, or contains itself") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise NotJson(str(error)) from None
    return Plain(built, size)


def _unusual(value: Any) -> Any:
    """Pydantic's models, without importing pydantic; paths and the like are better turned to text by their author."""
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is not a JSON value")
