"""Is a callable's result a JSON value, and which one? The same question for a checkpoint."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.core.json_values import is_too_deep
from orchestrator.core.units import format_size

LIMIT = 2**20
_encode = msgspec.json.Encoder().encode


class NotJson(TypeError):  # noqa: N818 - said to the author of a callable, as it reads
    """A value that can't be kept, and why."""


def plain(value: Any) -> Any:
    """A JSON value for `value`: dataclasses, structs, models, datetimes, enums, sets and tuples become what JSON has.

    Raises `NotJson` for anything else, and for more than a mebibyte.
    """
    if value is None or value is True or value is False:
        return value
    try:
        built = msgspec.to_builtins(value, str_keys=True, enc_hook=_unusual)
        encoded = _encode(built)
        built = msgspec.json.decode(encoded)  # what the store will hold: NaN has become null, for one
        msgspec.msgpack.encode(built)
        if is_too_deep(built):  # what encodes here at the brink of recursion would not on the engine's side
            raise NotJson("it is nested too deeply")
    except RecursionError:
        raise NotJson("it is nested too deeply, or contains itself") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise NotJson(str(error)) from None
    if len(encoded) > LIMIT:
        raise NotJson(f"it has {format_size(len(encoded))}, and at most {format_size(LIMIT)} are kept")
    return built


def _unusual(value: Any) -> Any:
    """Pydantic's models, without importing pydantic; paths and the like are better turned to text by their author."""
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is not a JSON value")
