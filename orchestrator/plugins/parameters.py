"""Which parameters does a callable take, and who fills each: the job's `params`, a resource, or the context?"""

from __future__ import annotations

import inspect
import keyword
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, replace
from typing import Any

from orchestrator.plugins import hints
from orchestrator.plugins.batch import Batch
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
class BatchField:
    """The parameter that receives many runs at once. `item` makes one run's parameters what the callable wants; None
    where it wants them as they are."""

    name: str
    item: Callable[..., Any] | None


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
    batch: BatchField | None = None
    """Set for a callable that takes many runs at once: then `fields` are those of each run."""

    @property
    def filled(self) -> tuple[str, ...]:
        """Parameters that `params:` can't set."""
        return (*self.contexts, *self.resources, *((self.batch.name,) if self.batch is not None else ()))


def read(name: str, function: Callable[..., Any], resources: Collection[str] = ()) -> Surface:
    """Read the signature. Raises `CallableError` for what no job can call by keyword."""
    refuse(name, function)
    try:
        signature = hints.signature_of(function)
    except (TypeError, ValueError):
        raise CallableError(
            f"the parameters of {name!r} can't be read", "wrap it in a function of your own with named parameters"
        ) from None
    surface = _sort(name, function, signature, resources)
    return surface if surface.batch is None else _of_items(name, surface)


def _of_items(name: str, surface: Surface) -> Surface:
    """The surface of a callable that takes batches: what `params:` set is in the items."""
    if required := [field.name for field in surface.fields if field.required]:
        raise CallableError(
            f"{name!r} takes a Batch and needs {', '.join(map(repr, required))} as well",
            "the params of a run are in the batch's items: read them there, or give these parameters a default",
        )
    kind = surface.batch.item if surface.batch is not None else None
    fields, takes_extra = ((), True) if kind is None else (_fields_of(kind), False)
    return replace(surface, fields=fields, takes_extra=takes_extra, extra=Any)


def _fields_of(kind: Any) -> tuple[Field, ...]:
    """The fields of a dataclass, TypedDict or pydantic model, as parameters."""
    annotations = typing.get_type_hints(kind, include_extras=True)
    return tuple(
        Field(name, name, annotation, show_annotation(annotation), _is_required(kind, name))
        for name, annotation in annotations.items()
        if typing.get_origin(annotation) is not typing.ClassVar
    )


def _is_required(kind: Any, name: str) -> bool:
    if (keys := getattr(kind, "__required_keys__", None)) is not None:
        return name in keys
    if (fields := getattr(kind, "model_fields", None)) is not None:
        return name in fields and bool(fields[name].is_required())
    field = getattr(kind, "__dataclass_fields__", {}).get(name)
    return field is not None and field.default is MISSING and field.default_factory is MISSING


def _sort(name: str, function: Callable[..., Any], signature: inspect.Signature, known: Collection[str]) -> Surface:
    fields, contexts, resources, warnings, text = [], [], [], [], []
    takes_extra, extra, batch = False, Any, None
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
        elif (batch_of := _batch_of(annotation)) is not None:
            if batch is not None:
                raise CallableError(f"{name!r} takes two batches", "one parameter receives all runs of a call")
            batch = BatchField(parameter.name, batch_of[0])
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
        batch,
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


def _batch_of(annotation: Any) -> tuple[Callable[..., Any] | None] | None:
    """For `Batch` and `Batch[T]`: what makes an item's parameters, in a tuple because it may be nothing."""
    if annotation is Batch:
        return (None,)
    if typing.get_origin(annotation) is not Batch:
        return None
    (kind,) = typing.get_args(annotation)
    fit = isinstance(kind, type) and any(
        hasattr(kind, mark) for mark in ("__required_keys__", "model_fields", "__dataclass_fields__")
    )
    return (kind if fit else None,)


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
