"""What does a callable take, and how do a job's parameters become its arguments?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

import msgspec

from orchestrator.core.catalogue import CallableInfo, Parameter
from orchestrator.core.errors import PluginError
from orchestrator.plugins.batch import Batch
from orchestrator.plugins.context import Context
from orchestrator.plugins.failures import Fault, ParamsError, did_you_mean
from orchestrator.plugins.isolation import default_isolation, mark_warning
from orchestrator.plugins.offers import Offer
from orchestrator.plugins.parameters import Surface, read
from orchestrator.plugins.refusals import is_async, origin, place
from orchestrator.plugins.validation import Validator

__all__ = ["Binder", "describe"]

_NOTHING: Mapping[str, Any] = {}


def describe(name: str, function: Callable[..., Any], resources: Collection[str] = ()) -> CallableInfo:
    """A callable as data. `resources` are the names that the plan declares: parameters named so are filled by them.

    Raises `CallableError` for what no job can call.
    """
    return _info(name, function, read(name, function, resources))


class Binder:
    """Turns a job's params into a callable's keyword arguments. Built once per callable: the signature is read here,
    pydantic's validator when first needed. Raises `CallableError` for what no job can call."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        resources: Collection[str] = (),
        *,
        offer: Offer | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """`offer` is what the function comes from, if no plugin: such a function has resources named to it, and must
        keep its parameters whatever the resources are called. `notes` are warnings that aren't about the signature."""
        self.name = name
        self.function = function
        self.surface = read(name, function, () if offer else resources)
        self._offer = offer
        self._notes = notes
        self._declared = tuple(resources)
        self.resources = self.surface.resources
        """Names of the resources that `bind` needs."""
        self._names = {field.name: field for field in self.surface.fields}
        self._renamed = tuple((f.name, f.argument) for f in self.surface.fields if f.name != f.argument)
        self._required = tuple(field.name for field in self.surface.fields if field.required)
        self._filled = frozenset(self.surface.filled)
        self._validator = Validator(self.surface.fields, self.surface.extra)

    @cached_property
    def info(self) -> CallableInfo:
        """The callable as data."""
        info = _info(self.name, self.function, self.surface)
        return msgspec.structs.replace(info, builtin=bool(self._offer), warnings=(*info.warnings, *self._notes))

    @property
    def warnings(self) -> list[str]:
        """What can't be checked, and why; complete only after the first check."""
        return [*self.info.warnings, *(f"{self.name}: {text}" for text in self._validator.warnings)]

    def bind(
        self, params: dict[str, Any], context: Context | None = None, resources: Mapping[str, Any] = _NOTHING
    ) -> dict[str, Any]:
        """Keyword arguments, checked and made what the annotations ask for. `params` is not changed.

        Raises `ParamsError` with every wrong parameter (never quoting values: they may hold secrets), and
        `PluginError` when a resource that the callable asks for is not open.
        """
        arguments = self._checked(params) if params or self._required else {}
        for name, argument in self._renamed:
            if name in arguments:
                arguments[argument] = arguments.pop(name)
        return arguments | self._given(context, resources)

    def bind_batch(
        self, batch: Batch[Any], context: Context | None = None, resources: Mapping[str, Any] = _NOTHING
    ) -> dict[str, Any]:
        """Keyword arguments of a callable that takes many runs at once. Raises `PluginError` as `bind` does."""
        assert self.surface.batch is not None  # noqa: S101 - who calls it has looked
        return {self.surface.batch.name: batch} | self._given(context, resources)

    def item_params(self, params: dict[str, Any]) -> Any:
        """What one run's parameters are made for a batch: `T` of `Batch[T]`. Raises `ParamsError`."""
        checked = self._checked(params)
        kind = self.surface.batch.item if self.surface.batch is not None else None
        return kind(**checked) if kind is not None else checked

    def _given(self, context: Context | None, resources: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = dict.fromkeys(self.surface.contexts, context)
        for name in self.resources:
            if name not in resources:
                raise PluginError(f"{self.name} asks for the resource {name!r}, which is not open")
            given[name] = resources[name]
        return given

    def problems(self, params: dict[str, Any], deferred: Collection[str] = ()) -> list[Fault]:
        """Every wrong parameter. Values of `deferred` names don't exist yet: they are present, but not checked."""
        present = {name: value for name, value in params.items() if name not in deferred}
        wrong = self._name_faults({**params, **dict.fromkeys(deferred)})
        values = {name: value for name, value in present.items() if self.takes(name)}
        wrong += self._validator.check(values, tell_values=True)[1]
        return [*wrong, *self._resource_faults(values), *self.needs()]

    def needs(self) -> list[Fault]:
        """What must be installed first."""
        if self._offer is None or self._offer.is_installed():
            return []
        message = f"{self.name} needs the package {self._offer.package!r}, which is not installed"
        return [Fault("needs", (), message, self._offer.remedy)]

    def _checked(self, params: dict[str, Any]) -> dict[str, Any]:
        wrong = self._name_faults(params)
        values = {name: value for name, value in params.items() if self.takes(name)} if wrong else params
        arguments, faults = self._validator.check(values, tell_values=False)
        if wrong or faults:
            raise ParamsError(self.name, wrong + faults)
        return arguments

    def takes(self, name: str) -> bool:
        """Whether `params` may have this name."""
        return name in self._names or (self.surface.takes_extra and name not in self._filled)

    def _name_faults(self, params: Mapping[str, Any]) -> list[Fault]:
        wrong = [
            Fault("missing", (name,), f"{self.name} needs the parameter {name!r}", self._shape(name))
            for name in self._required
            if name not in params
        ]
        return wrong + [self._unknown(name) for name in params if not self.takes(name)]

    def _unknown(self, name: str) -> Fault:
        if self.surface.batch is not None and name == self.surface.batch.name:
            return Fault("unknown", (name,), f"{name!r} of {self.name} receives the runs of a batch", "remove it")
        if name in self.surface.contexts:
            return Fault("unknown", (name,), f"{name!r} of {self.name} receives the run's context", "remove it")
        if name in self.resources:
            return Fault("unknown", (name,), f"{name!r} of {self.name} receives the resource {name!r}", "remove it")
        takes = ", ".join(self._names)
        hint = did_you_mean(name, list(self._names)) or (f"it takes {takes}" if takes else "it takes no parameters")
        return Fault("unknown", (name,), f"{self.name} has no parameter {name!r}", hint)

    def _resource_faults(self, values: Mapping[str, Any]) -> list[Fault]:
        named = {name: values[name] for name in self.surface.names_resources if isinstance(values.get(name), str)}
        known = list(self._declared)
        return [
            Fault(
                "type",
                (name,),
                f"there is no resource {value!r}",
                did_you_mean(value, known) or f"declare it under `resources`; there are: {', '.join(known) or 'none'}",
            )
            for name, value in named.items()
            if value not in known
        ]

    def _shape(self, name: str) -> str | None:
        shown = self._names[name].shown
        return f"its type is {shown}" if shown else None


def _info(name: str, function: Callable[..., Any], surface: Surface) -> CallableInfo:
    file, line = place(function)
    warning = mark_warning(name, function)
    return CallableInfo(
        name=name,
        isolation=default_isolation(function),
        is_async=is_async(function),
        file=file,
        line=line,
        parameters=tuple(
            Parameter(name=field.name, annotation=field.shown, required=field.required, default=field.default)
            for field in surface.fields
        ),
        resources=surface.resources,
        names_resources=surface.names_resources,
        wants_context=bool(surface.contexts),
        takes_batch=surface.batch is not None,
        extra=surface.takes_extra,
        doc=inspect.getdoc(origin(function)) or "",
        signature=surface.text,
        warnings=(*surface.warnings, *([warning] if warning else [])),
    )
