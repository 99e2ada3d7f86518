"""Where does a callable run unless its job says otherwise, and where can't it?"""

from __future__ import annotations

from typing import Any

from orchestrator.core.catalogue import CallableInfo
from orchestrator.core.policies import Isolation
from orchestrator.plugins.api import MARK
from orchestrator.plugins.refusals import is_async


def default_isolation(function: Any) -> Isolation:
    """`async` for coroutine functions, else what `@job` says, else `process`."""
    if is_async(function):
        return Isolation.ASYNC
    wish = getattr(getattr(function, MARK, None), "isolation", None)
    return Isolation(wish) if wish in (Isolation.PROCESS, Isolation.THREAD) else Isolation.PROCESS


def mark_warning(name: str, function: Any) -> str | None:
    """What is wrong with the isolation that `@job` asked for, if anything."""
    wish = getattr(getattr(function, MARK, None), "isolation", None)
    if wish is None or (wish in (Isolation.PROCESS, Isolation.THREAD) and not is_async(function)):
        return None
    if is_async(function):
        return f"{name}: @job(isolation={wish!r}) is ignored, because an `async def` runs on the async worker"
    return f"{name}: @job(isolation={wish!r}) is ignored; it is process or thread"


def check_isolation(info: CallableInfo, isolation: Isolation) -> str | None:
    """Why a job can't run this callable in `isolation`, in words; none if it can."""
    if info.is_async == (isolation is Isolation.ASYNC):
        return None
    if info.is_async:
        return f"{info.name!r} is an `async def`, which runs with `isolation: async`, not {isolation.value}"
    return f"{info.name!r} is a plain `def`, which runs with `isolation: process` or `thread`, not async"
