"""`python`: calls any function by `module:name`, with arguments by position or by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Annotated, Any

from orchestrator.builtins.checked import Checked
from orchestrator.plugins.api import job


def _path(value: str) -> str:
    module, colon, name = value.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError("is no place of a function: write module:name")
    return value


@job("python")
def python(
    function: Annotated[str, Checked(_path, "'module:name'")],
    args: list[Any] = [],  # noqa: B006 - shown to people as the default, and never changed
    kwargs: dict[str, Any] = {},  # noqa: B006
) -> Any:
    """Import a module, call a function in it, and give back what it returns; a coroutine function is run to its end."""
    result = _located(function)(*args, **kwargs)
    if inspect.isawaitable(result):
        import asyncio  # slow, and rarely needed here

        return asyncio.run(_awaited(result))
    return result


def _located(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for step in name.split("."):
        found = getattr(found, step)
    if not callable(found):
        raise TypeError(f"{path} is not callable")
    return found  # type: ignore[no-any-return]


async def _awaited(result: Any) -> Any:
    return await result
