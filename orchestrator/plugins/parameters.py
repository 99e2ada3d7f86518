"""Which parameters does a callable take, and who fills each: the job's `params`, a resource, or the context?"""

from __future__ import annotations

import inspect
import keyword
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from orchestrator.plugins import hints
from orchestrator.plugins.context import Context
from orchestrator.plugins.failures import CallableError
from orchestrator.plugins.refusals import origin, refuse

UNTYPED = (Any, object, inspect.Parameter.empty)
"""Annotations that take anything."""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter that `params:` may set."""

    name: str
    """As `params:` writes it: a parameter `from_`, which Python's own words force on its author, is written `from`."""
    argument: str
    annotation: Any
    shown: str
    required: bool
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Surface:
    """What a callable asks for."""

    fields: tuple[Field, ...]
    contexts: tuple[str, ...]
    resources: tuple[str, ...]
    names_resources: tuple[str, ...]
    """Fields whose value is a resource's name."""
    takes_extra: bool
    extra: Any
    """The annotation of `**kwargs`."""
    text: str
    """The signature, for people."""
    warnings: tuple[str, ...]


def read(name: str, function: Callable[..., Any], resources: Collection[str] = ()) -> Surface:
    """Read the signature. Raises `CallableError` for what no job can call by keyword."""
    refuse(name, function)
    try:
        signature = hints.signature_of(function)
    except (TypeError, ValueError):
        raise CallableError(
            f"the parameters of {name!r} can't be read", "wrap it in a function of your own with named parameters"
        ) from None
    return _sort(name, function, signature, resources)


def _sort(name: str, function: Callable[..., Any], signature: inspect.Signature, known: Collection[str]) -> Surface:
    fields, contexts, resources, warnings, text = [], [], [], [], []
    takes_extra, extra = False, Any
    source = origin(function)
    for parameter in signature.parameters.values():
        if not _reachable(name, parameter):
            continue
        annotation, warning = _annotation(name, parameter, source)
        warnings += [warning] if warning else []
        shown = show_annotation(annotation, parameter.annotation)
        text.append(_written(parameter, shown))
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_extra, extra = True, annotation
        elif _is_context(annotation):
            contexts.append(parameter.name)
        elif parameter.name in known:
            resources.append(parameter.name)
        else:
            fields.append(_field(parameter, annotation, shown))
    return Surface(
        tuple(fields),
        tuple(contexts),
        tuple(resources),
        tuple(field.name for field in fields if _names_resource(field.annotation)),
        takes_extra,
        extra,
        f"({', '.join(text)})",
        tuple(warnings),
    )


def _reachable(name: str, parameter: inspect.Parameter) -> bool:
    if parameter.kind is parameter.VAR_POSITIONAL:
        raise CallableError(
            f"{name!r} takes *{parameter.name}, and jobs pass parameters by name",
            "take a list instead; if a decorator hides the real parameters, let it use functools.wraps",
        )
    if parameter.kind is not parameter.POSITIONAL_ONLY:
        return True
    if parameter.default is parameter.empty:
        raise CallableError(
            f"{name!r} takes {parameter.name!r} by position only, and jobs pass parameters by name",
            "remove the `/` from its signature, or wrap it in a function of your own",
        )
    return False


def _annotation(name: str, parameter: inspect.Parameter, source: Any) -> tuple[Any, str | None]:
    if parameter.annotation is parameter.empty:
        return Any, None
    try:
        return hints.resolve(parameter.annotation, source), None
    except Exception as error:  # noqa: BLE001 - an annotation is the plugin's code
        return Any, (
            f"{name}: the annotation {parameter.annotation!s} of {parameter.name!r} can't be resolved ({error}), "
            "so its values are not checked"
        )


def _is_context(annotation: Any) -> bool:
    origin_type = typing.get_origin(annotation)
    if origin_type is None:
        return isinstance(annotation, type) and issubclass(annotation, Context)
    wrappers = (typing.Union, types.UnionType, typing.Annotated)
    return origin_type in wrappers and any(_is_context(part) for part in typing.get_args(annotation))


def _field(parameter: inspect.Parameter, annotation: Any, shown: str) -> Field:
    required = parameter.default is parameter.empty
    return Field(
        _name(parameter), parameter.name, annotation, shown, required, None if required else _brief(parameter.default)
    )


def _name(parameter: inspect.Parameter) -> str:
    bare = parameter.name.removesuffix("_")
    return bare if keyword.iskeyword(bare) else parameter.name


def _names_resource(annotation: Any) -> bool:
    return any(getattr(mark, "names_resource", False) is True for mark in getattr(annotation, "__metadata__", ()))


def show_annotation(annotation: Any, written: Any = None) -> str:
    """An annotation as its author would write it; empty when there is none."""
    if written is inspect.Parameter.empty:
        return ""
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(known := getattr(mark, "shown_as", None), str):
            return known
    if isinstance(written, str):
        return written.strip("'\"")
    return inspect.formatannotation(annotation)


def _written(parameter: inspect.Parameter, shown: str) -> str:
    stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    text = f"{stars}{_name(parameter)}: {shown}" if shown else f"{stars}{_name(parameter)}"
    if parameter.default is parameter.empty:
        return text
    return f"{text} = {_brief(parameter.default)}" if shown else f"{text}={_brief(parameter.default)}"


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a default's repr is the plugin's code
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."
