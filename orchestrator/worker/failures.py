"""How does an exception become data that survives whatever the exception is?"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

from orchestrator.core.runs import ErrorInfo
from orchestrator.worker.line import clean

_MESSAGE_LIMIT = 4 * 1024
_TRACEBACK_LIMIT = 64 * 1024
_OURS = str(Path(__file__).parent.parent)


def describe(error: BaseException) -> ErrorInfo:
    """Type, message, names of the class and its bases, and the traceback without the worker's own frames."""
    return ErrorInfo(
        type=qualified(type(error)),
        message=_shorten(_message(error), _MESSAGE_LIMIT),
        traceback=_shorten(_traceback(error), _TRACEBACK_LIMIT),
        names=tuple(qualified(kind) for kind in type(error).__mro__ if kind is not object),
    )


def qualified(kind: type) -> str:
    """The name that `retry.on` writes: with its module, except for Python's own exceptions."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the callable ended the interpreter: sys.exit({error.code!r}); return or raise instead"
    if isinstance(error, KeyboardInterrupt):
        return "the callable raised KeyboardInterrupt by itself: no key reaches a worker"
    try:
        return clean(error)
    except Exception as worse:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return f"its message can't be shown: __str__ raised {type(worse).__name__}"


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.TracebackException(type(error), error, _of_callable(error.__traceback__), compact=True)
        return clean("".join(lines.format()))
    except Exception as worse:  # noqa: BLE001 - as above
        return f"the traceback can't be shown: {type(worse).__name__} while formatting it\n"


def _of_callable(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the leading frames that are ours; if all are, there is nothing to show but them."""
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OURS):
        inner = inner.tb_next
    return inner


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n... {len(text) - limit} characters left out ...\n{text[head - limit :]}"


def is_a(error: BaseException, name: str) -> bool:
    """Whether it is one of the plugin interface's own exceptions, which exist only if a plugin imported it."""
    api = sys.modules.get("orchestrator.plugins.api")
    return api is not None and isinstance(error, getattr(api, name))
