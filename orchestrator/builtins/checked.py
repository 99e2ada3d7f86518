"""How does a built-in callable refuse a value that has the right type and makes no sense? With a sentence of its own,
at validation, where the value is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Checked:
    """In `Annotated[…, Checked(check, "…")]`: `check` takes the value and gives what the callable shall receive.

    The `ValueError` that it raises is shown as it is, so it must not quote what may be a secret.
    """

    def __init__(self, check: Callable[[Any], Any], shown_as: str) -> None:
        self._check = check
        self.shown_as = shown_as

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: Any) -> Any:
        try:
            return self._check(value)
        except ValueError as error:
            from pydantic_core import PydanticCustomError

            raise PydanticCustomError("refused", "{words}", {"words": str(error)}) from None
