"""Which function does `call:` name? Registered names first, then any function that a dotted path leads to, then what
comes with the orchestrator: a name of the user's own always wins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from orchestrator.core.catalogue import PluginProblem
from orchestrator.plugins.api import MARK, JobMark
from orchestrator.plugins.failures import CallableError, did_you_mean
from orchestrator.plugins.import_failure import missing_module
from orchestrator.plugins.importing import Importer
from orchestrator.plugins.offers import Offer
from orchestrator.plugins.refusals import place, refuse
from orchestrator.plugins.signature import Binder

_MAX_SUGGESTIONS = 100
"""Unknown names beyond this many get no suggestion: each costs a comparison with every known name."""


class Registry:
    """The callables of the imported plugins. Modules that only a `call` names are imported when it is resolved."""

    def __init__(self, importer: Importer, offers: Mapping[str, Offer]) -> None:
        self._importer = importer
        self._offers = offers
        self._modules: dict[str, ModuleType] = {}
        self._functions: dict[str, Any] = {}
        self._homes: dict[str, str] = {}
        self._twice: dict[str, str] = {}
        self._resolved: dict[str, Callable[..., Any]] = {}
        self._misses = 0

    @property
    def problems(self) -> list[PluginProblem]:
        """What is wrong with plugins so far; it grows when `resolve` imports a module that fails."""
        return self._importer.problems

    @property
    def registered(self) -> dict[str, Callable[..., Any]]:
        """Everything that `@job` registered, by name; names that are registered twice are not among them."""
        return {name: f for name, f in self._functions.items() if name not in self._twice}

    def module_of(self, name: str) -> str:
        """The plugin that registered a name."""
        return self._homes.get(name, "")

    def add_module(self, plugin: str, module: ModuleType) -> None:
        """Take what `@job` marked in a plugin. `plugin` is its name in `call:`, which may differ from the module's."""
        self._modules[plugin] = module
        for name, function in _marked(plugin, module):
            self.add(name, function, plugin)

    def add(self, name: str, function: Any, plugin: str) -> None:
        """Register a function. The same name for another function is a problem, and the name then means neither."""
        earlier = self._functions.setdefault(name, function)
        self._homes.setdefault(name, plugin)
        if earlier is function:
            return
        file, line = place(function)
        message = f"two functions are registered as {name!r}: {_at(earlier)} and {_at(function)}; rename one"
        self._twice[name] = message
        self._importer.problems.append(PluginProblem(module=plugin, message=message, file=file, line=line))

    def resolve(self, call: str) -> Callable[..., Any]:
        """The function that a job's `call` names. Raises `CallableError` with a hint; the answer is remembered."""
        if (known := self._resolved.get(call)) is not None:
            return known
        if call in self._twice:
            raise CallableError(self._twice[call])
        target = self._find(call)
        if target is None and call in self._offers and self._importer.failed(call) is None:
            target = self._offers[call].load()
        if target is None:
            raise self._unknown(call)
        refuse(call, target)
        self._resolved[call] = target
        return target  # type: ignore[no-any-return]

    def binder(self, call: str, resources: Collection[str] = ()) -> Binder:
        """What binds parameters to the function that `call` names. `resources` are the names that the plan declares.

        Raises `CallableError`.
        """
        function = self.resolve(call)
        offer = self._offer_of(function)
        taken = self._offers.get(call) if offer is None else None
        notes = (f"{call!r} is a built-in callable, too; this one wins, the other is {taken.path!r}",) if taken else ()
        return Binder(call, function, resources, offer=offer, notes=notes)

    def factory(self, use: str) -> Callable[..., Any]:
        """What a resource's `use` names: a function, but also a class. Raises `CallableError`."""
        target = self._find(use)
        if target is None:
            top = use.replace(":", ".").partition(".")[0]
            hint = None if top in sys.modules else f"there is no module {top!r}; {missing_module(top)}"
            raise self._broken(use) or CallableError(f"{use!r} can't be found", hint)
        if not callable(target):
            raise CallableError(f"{use!r} is not callable", "name a function or a class that makes the resource")
        return target  # type: ignore[no-any-return]

    def _offer_of(self, function: Any) -> Offer | None:
        mark = _mark_of(function)
        offer = self._offers.get(mark.name or "") if mark is not None else None
        return offer if offer is not None and offer.module == function.__module__ else None

    def _find(self, call: str) -> Any:
        return self._functions[call] if call in self._functions else self._locate(call)

    def _locate(self, call: str) -> Any:
        """What is there, or none: follows `package.module.function` or `package.module:function`, importing."""
        module_part, colon, attributes = call.partition(":")
        steps = module_part.split(".")
        if not all(part.isidentifier() for part in (*steps, *(attributes.split(".") if colon else ()))):
            raise CallableError(f"{call!r} is not a callable's name", "write it like module.function")
        if (len(steps) == 1 and not colon) or self._importer.failed(call) is not None:
            return None
        found: Any = self._modules.get(steps[0]) or self._importer.module(steps[0])
        for step in steps[1:]:
            found = self._step(found, step, only_modules=bool(colon))
        for step in attributes.split(".") if colon else ():
            found = self._step(found, step)
        return found

    def _step(self, owner: Any, name: str, *, only_modules: bool = False) -> Any:
        try:
            inner = getattr(owner, name, None)
        except Exception as error:
            where = getattr(owner, "__name__", type(owner).__name__)
            raise CallableError(f"{name!r} of {where} can't be read: {type(error).__name__}: {error}") from error
        is_package = isinstance(owner, ModuleType) and "__path__" in vars(owner)
        if is_package and (inner is None or (only_modules and not isinstance(inner, ModuleType))):
            return self._importer.module(f"{owner.__name__}.{name}")
        return inner

    def _broken(self, call: str) -> CallableError | None:
        problem = self._importer.failed(call)
        if problem is None:
            return None
        where = f" ({problem.file}:{problem.line})" if problem.file else ""
        message = f"{call!r} can't be used: {problem.module} failed to import"
        return CallableError(message, f"{problem.message}{where}")

    def _unknown(self, call: str) -> CallableError:
        if (broken := self._broken(call)) is not None:
            return broken
        self._misses += 1
        if self._misses > _MAX_SUGGESTIONS:
            return CallableError(f"no callable is named {call!r}")
        hint = did_you_mean(call, self._nearby(call)) or self._overview()
        return CallableError(f"no callable is named {call!r}", hint)

    def _nearby(self, call: str) -> list[str]:
        """Names to suggest: the registered ones, and public functions of the plugin that the call points into."""
        plugin = next((p for p in (call.rpartition(".")[0], call.partition(".")[0]) if p in self._modules), "")
        module = self._modules.get(plugin)
        own = vars(module).items() if module is not None else ()
        plain = [f"{plugin}.{name}" for name, value in own if isinstance(value, FunctionType) and name[:1] != "_"]
        return [*dict.fromkeys([*self._functions, *plain, *self._offers])]

    def _overview(self) -> str | None:
        if failed := list(dict.fromkeys(problem.module for problem in self.problems)):
            return f"a plugin that failed may offer it: {', '.join(failed[:5])}"
        if names := list(self._functions):
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            return f"the plugins offer {', '.join(names[:5])}{more}"
        return "no plugin registers a callable; mark one with @job" if not self._modules else None


def _marked(plugin: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What `@job` marked, with the names to register. One function under several names is taken once."""
    seen: set[int] = set()
    found = [(name, value, mark) for name, value in list(vars(module).items()) if (mark := _mark_of(value))]
    found.sort(key=lambda entry: entry[0] != getattr(entry[1], "__name__", None))
    for name, value, mark in found:
        if id(value) in seen:
            continue
        seen.add(id(value))
        home = getattr(value, "__module__", None) if isinstance(value, FunctionType) else None
        mine = home in (None, module.__name__)
        yield mark.name or (f"{plugin}.{name}" if mine else f"{home}.{value.__name__}"), value


def _mark_of(value: Any) -> JobMark | None:
    try:
        mark = vars(value).get(MARK)
    except Exception:  # noqa: BLE001 - proxies of plugins' own libraries may raise anything when they are looked at
        return None
    return mark if isinstance(mark, JobMark) else None


def _at(function: Any) -> str:
    file, line = place(function)
    return f"{file}:{line}" if file else repr(function)
