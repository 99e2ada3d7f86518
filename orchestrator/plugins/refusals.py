"""Can this object be a job's callable? Says why not, in words that lead to the mend."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

from orchestrator.plugins.failures import CallableError


def refuse(name: str, target: Any) -> None:
    """Raise `CallableError` unless `target` is something that a job may call."""
    if inspect.ismodule(target):
        raise CallableError(f"{name!r} is a module", f"name a function in it, like {name}.run")
    if inspect.isclass(target):
        raise CallableError(f"{name!r} is a class", "name a function, or a method of an instance")
    if not callable(target):
        raise CallableError(f"{name!r} is {_a(type(target).__name__)}, not a function")
    inner = body(target)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise CallableError(
            f"{name!r} is a generator function: calling it runs nothing",
            "make it a plain function that does the work in its loop, or returns a list",
        )


def body(target: Any) -> Any:
    """The function that calling `target` executes first, behind partials, methods and callable instances."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.ismethod(target):
        target = target.__func__
    if isinstance(target, types.FunctionType) or inspect.isbuiltin(target):
        return target
    call = getattr(type(target), "__call__", None)  # noqa: B004 - the function itself is wanted
    return call if isinstance(call, types.FunctionType) else target


def origin(target: Any) -> Any:
    """The function as its author wrote it: behind partials and whatever `functools.wraps` wrapped."""
    return inspect.unwrap(body(inspect.unwrap(target) if hasattr(target, "__wrapped__") else target))


def is_async(target: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine to await."""
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(body(target))


def place(target: Any) -> tuple[str, int]:
    """The file and line where a callable is written; empty and 0 for what has no source."""
    code = getattr(origin(target), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)


def _a(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"
