"""What a plugin imports from `orchestrator`: the `@job` decorator, the context, and ways to end an attempt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import BeforeValidator

from orchestrator.core.units import parse_duration, parse_size
from orchestrator.plugins.context import Context

__all__ = ["Context", "Duration", "GiveUp", "Retry", "Size", "job"]

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
        setattr(function, MARK, JobMark(None, isolation))
        return function

    def mark(target: F) -> F:
        setattr(target, MARK, JobMark(function, isolation))
        return target

    return mark


class Retry(Exception):  # noqa: N818 - reads as the request that it is
    """Raise it to end this attempt and ask for another; `delay` (seconds or timedelta) overrides the backoff."""

    def __init__(self, reason: str = "the callable asked for a retry", *, delay: float | timedelta | None = None):
        super().__init__(reason)
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else delay


class GiveUp(Exception):  # noqa: N818
    """Raise it to end the run as failed now, whatever attempts are left."""


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


Size = Annotated[int, BeforeValidator(_size)]
"""A parameter in bytes that `params:` may write as `500MiB`."""

Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A parameter that `params:` may write as `1h30m`."""
