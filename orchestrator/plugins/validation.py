"""Do these values fit the annotations? pydantic answers, in lax mode, because values may come from a command line."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from orchestrator.plugins.explain import faults_of
from orchestrator.plugins.failures import Fault
from orchestrator.plugins.parameters import UNTYPED, Field

_EXACT = frozenset({str, int, float, bool, list, dict})
"""For these a value of exactly the annotated type needs no pydantic, whose import costs a worker 50 ms."""


class Validator:
    """Checks the values of a callable's fields, and makes them what their annotations ask for. Built lazily, once."""

    def __init__(self, fields: tuple[Field, ...], extra: Any) -> None:
        self._annotations = {field.name: field.annotation for field in fields}
        self._numbers = frozenset(f.name for f in fields if _is_number(f.annotation))
        self._extra = extra
        self._build: Any = None
        self._adapters: dict[bool, Any] = {}
        self.warnings: list[str] = []

    def check(self, values: dict[str, Any], *, tell_values: bool) -> tuple[dict[str, Any], list[Fault]]:
        """The values as the callable receives them, and what is wrong. Missing and unknown names aren't looked at."""
        wrong = [_no_boolean(name) for name in self._numbers if type(values.get(name)) is bool]
        known = {n: v for n, v in values.items() if n in self._annotations and not _settled(self._annotations[n], v)}
        extra = {n: v for n, v in values.items() if n not in self._annotations and not _settled(self._extra, v)}
        for fault in wrong:
            known.pop(str(fault.path[0]), None)
        out = dict(values)
        for part, is_extra in ((known, False), (extra, True)):
            if part:
                checked, faults = self._validate(part, is_extra=is_extra, tell_values=tell_values)
                out.update(checked)
                wrong += faults
        return out, wrong

    def _validate(
        self, values: dict[str, Any], *, is_extra: bool, tell_values: bool
    ) -> tuple[dict[str, Any], list[Fault]]:
        from pydantic import ValidationError

        if is_extra not in self._adapters:
            annotation = dict[str, self._extra] if is_extra else None  # type: ignore[name-defined]
            self._adapters[is_extra] = _adapter(annotation) if is_extra else self._fields_adapter()
        try:
            return self._adapters[is_extra].validate_python(values), []
        except ValidationError as error:
            return {}, faults_of(error, values, tell_values=tell_values)

    def _fields_adapter(self) -> Any:
        try:
            return _adapter(_typed_dict(self._annotations))
        except Exception:  # noqa: BLE001 - building runs hooks of the plugin's own types
            sound = {name: self._sound(name, annotation) for name, annotation in self._annotations.items()}
            return _adapter(_typed_dict(sound))

    def _sound(self, name: str, annotation: Any) -> Any:
        try:
            _adapter(_typed_dict({name: annotation}))
        except Exception as error:  # noqa: BLE001
            reason = str(error).partition("\n")[0]
            self.warnings.append(f"values of {name!r} are not checked: pydantic can't use its annotation ({reason})")
            return Any
        return annotation


def _adapter(annotation: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(annotation)


def _typed_dict(annotations: Mapping[str, Any]) -> Any:
    """A TypedDict takes any name a parameter may have, leaves defaults to the function, and is one call to validate."""
    from pydantic import ConfigDict
    from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12

    make: Any = TypedDict  # by its functional form, which mypy only knows with literal names
    made = make("Params", dict(annotations), total=False)
    # Dataclasses and TypedDicts within inherit it: their unknown keys are refused, like unknown parameters.
    made.__pydantic_config__ = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )
    return made


def _settled(annotation: Any, value: Any) -> bool:
    if any(annotation is free for free in UNTYPED):
        return True
    return type(value) is annotation and annotation in _EXACT


def _is_number(annotation: Any) -> bool:
    """Whether a boolean can only be a mistake here; pydantic would take `true` for 1."""
    if annotation in (int, float, Decimal):
        return True
    kind = typing.get_origin(annotation)
    if kind is typing.Annotated:
        return _is_number(typing.get_args(annotation)[0])
    if kind in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return bool(parts) and all(map(_is_number, parts))
    return False


def _no_boolean(name: str) -> Fault:
    return Fault(
        "type", (name,), f"{name!r} should be a number, not a boolean", "YAML reads yes, no, on, off as booleans"
    )
