"""How a row becomes one of the shared words."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from sqlalchemy import RowMapping

T = TypeVar("T", bound=msgspec.Struct)


def as_record(kind: type[T], row: RowMapping) -> T:
    """The fields of `kind`, each from the column of its name, with enums and nested structs made of their values."""
    return msgspec.convert({name: row[name] for name in kind.__struct_fields__}, kind)
