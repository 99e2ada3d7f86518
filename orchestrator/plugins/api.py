"""What a plugin imports from `orchestrator`: the `@job` decorator, the context, and ways to end an attempt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar, overload

from orchestrator.core.errors import PluginError
from orchestrator.core.units import parse_duration, parse_size
from orchestrator.plugins.batch import Batch, Item
from orchestrator.plugins.context import Context

__all__ = ["Batch", "Context", "Duration", "GiveUp", "Item", "ResourceName", "Retry", "Size", "job"]

F = TypeVar("F", bound=Callable[..., Any])
MARK = "__orchestrator_job__"


class JobMark:
    """What `@job` wrote on a function: its registered name, or none for `module.function`, and its isolation."""

    def __init__(self, name: str | None, isolation: str | None) -> None:
        self.name = name
        self.isolation = isolation


@overload
def job(function: F, /) -> F: ...
@overload
def job(name: str | None = None, /, *, isolation: Literal["process", "thread"] | None = None) -> Callable[[F], F]: ...
def job(function: Any = None, /, *, isolation: Literal["process", "thread"] | None = None) -> Any:
    """Register a function as a callable: `@job`, `@job("mail.send")` or `@job(isolation="thread")`.

    Without a name it is `module.function`. Coroutine functions run on the async worker; others alone in a worker
    process unless `isolation="thread"` says that they mostly wait. A job in YAML may override the isolation.
    """
    if callable(function):
        return _mark(function, JobMark(None, isolation))
    if function is not None and not (isinstance(function, str) and function.strip() == function != ""):
        raise PluginError(f"@job takes the callable's name as text, not {function!r}")

    def decorate(target: F) -> F:
        return _mark(target, JobMark(function, isolation))

    return decorate


def _mark(target: F, mark: JobMark) -> F:
    if isinstance(target, type):
        raise PluginError(f"@job marks functions, and {target.__qualname__} is a class")
    try:
        setattr(target, MARK, mark)
    except AttributeError:
        raise PluginError(f"@job can't mark {target!r}; mark a function that calls it") from None
    return target


class Retry(Exception):  # noqa: N818 - reads as the request that it is
    """Raise it to end this attempt and ask for another; `delay` (seconds or timedelta) overrides the backoff."""

    def __init__(self, reason: str = "the callable asked for a retry", *, delay: float | timedelta | None = None):
        super().__init__(reason)
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else delay


class GiveUp(Exception):  # noqa: N818
    """Raise it to end the run as failed now, whatever attempts are left."""


class _Written:
    """Lets pydantic read a value from text. pydantic is only imported by who validates, not by who annotates."""

    def __init__(self, shown_as: str, parse: Callable[[str], Any]) -> None:
        self.shown_as = shown_as
        self._parse = parse

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, value: Any) -> Any:
        return self._parse(value) if isinstance(value, str) else value


class _NamesResource:
    """Marks a parameter as a resource's name; validation then asks whether there is one."""

    names_resource = True


Size = Annotated[int, _Written("Size", parse_size)]
"""A parameter in bytes that `params:` may write as `500MiB`."""

Duration = Annotated[timedelta, _Written("Duration", parse_duration)]
"""A parameter that `params:` may write as `1h30m`."""

ResourceName = Annotated[str, _NamesResource()]
"""A parameter that names an entry of `resources:`; `Context.resource` opens it."""
