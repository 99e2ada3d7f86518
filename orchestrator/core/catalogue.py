"""The catalogue of callables as data, so that processes which never import a plugin can reason about it."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from orchestrator.core.plan import PluginSources
from orchestrator.core.policies import Isolation


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a callable, for people and suggestions; the types stay in the worker."""

    name: str
    annotation: str
    required: bool
    default: str | None = None


class CallableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A callable that a plugin offers."""

    name: str
    """What `call:` writes."""
    isolation: Isolation
    """Its default: `async` for coroutine functions, else what `@job` says, else `process`."""
    is_async: bool
    file: str
    line: int
    parameters: tuple[Parameter, ...] = ()
    """What `params:` may set; the context and resources are not among them."""
    resources: tuple[str, ...] = ()
    """Names of parameters that a resource of the same name fills."""
    wants_context: bool = False
    takes_batch: bool = False
    """It works off many runs in one call; `parameters` are those of each run."""
    extra: bool = False
    """It takes `**kwargs`: unknown parameters are fine."""
    doc: str = ""
    signature: str = ""
    names_resources: tuple[str, ...] = ()
    """Parameters whose value is the name of a resource."""
    builtin: bool = False
    """It comes with the orchestrator."""
    warnings: tuple[str, ...] = ()
    """What works but probably not as meant, such as an annotation that can't be resolved."""


class PluginProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that can't be used, and where."""

    module: str
    message: str
    file: str = ""
    line: int = 0
    traceback: str = ""


class ParamCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A request to check a job's parameters against its callable. `deferred` are top-level names whose values are
    templates that only exist at execution: present, but not checkable yet."""

    job: str
    call: str
    params: dict[str, Any] = {}
    deferred: tuple[str, ...] = ()


class ParamProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a job's parameters. `path` leads into `params`; empty means the job's `call` itself.

    `kind` is one of `unknown_callable`, `missing`, `unknown`, `type`, `needs` (a package that is not installed).
    """

    job: str
    kind: str
    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found when it read the plugins."""

    callables: dict[str, CallableInfo] = {}
    """Every registered callable, and each plain function that a check's `call` named, by name."""
    problems: tuple[PluginProblem, ...] = ()
    param_problems: tuple[ParamProblem, ...] = ()
    resource_problems: dict[str, str] = {}
    """Resource name → why its `use` can't be imported."""


class Inspector(Protocol):
    """Reads plugins in another process and reports as data."""

    def inspect(
        self, sources: PluginSources, checks: list[ParamCheck], resources: dict[str, str], root: str
    ) -> Inspection:
        """Import `sources`, check parameters; `resources` maps names to their `use`; `root` is put on the path."""
