"""An import raised: which file and line is to blame, and what should its author do?"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.core.catalogue import PluginProblem

_DISTRIBUTIONS = {
    "PIL": "pillow", "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "dotenv": "python-dotenv", "fitz": "pymupdf", "git": "GitPython", "jose": "python-jose", "jwt": "PyJWT",
    "MySQLdb": "mysqlclient", "OpenSSL": "pyOpenSSL", "serial": "pyserial", "sklearn": "scikit-learn",
    "slugify": "python-slugify", "telegram": "python-telegram-bot", "yaml": "PyYAML", "zmq": "pyzmq",
}  # fmt: skip
"""Packages whose import name differs from what pip installs; a name not here is taken to be the same."""

_MAX_TRACEBACK = 8_000


def problem_of(module: str, error: BaseException, homes: Sequence[str]) -> PluginProblem:
    """The exception that importing `module` raised, as data. `homes` are the folders where users keep their code."""
    file, line = _place(error, homes)
    return PluginProblem(module=module, message=_message(module, error), file=file, line=line, traceback=_text(error))


def missing_module(name: str) -> str:
    """What to do about a module that isn't there."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return "this Python was built without it"
    return f"if it is a package, install it: pip install {_DISTRIBUTIONS.get(top, top.replace('_', '-'))}"


def blame(frames: Iterable[tuple[str, int]], homes: Sequence[str]) -> tuple[str, int]:
    """Of frames (file, line), innermost first, the one to show: the user's own code, else whatever isn't Python's."""
    own = tuple(os.path.join(place, "") for home in homes for place in (home, os.path.realpath(home)))  # noqa: PTH118
    others = None
    for file, line in frames:
        installed = "-packages" in file
        if file.startswith(("<", _OURS)) or (file.startswith(_STDLIB) and not installed):
            continue
        if file.startswith(own) and not installed:
            return file, line
        others = others or (file, line)
    return others or ("", 0)


_STDLIB = os.path.join(sysconfig.get_path("stdlib"), "")  # noqa: PTH118 - the separator at the end matters
_IMPORTLIB = os.path.join(_STDLIB, "importlib", "")  # noqa: PTH118
_OURS = os.path.join(Path(__file__).parent.parent, "")  # noqa: PTH118


def _place(error: BaseException, homes: Sequence[str]) -> tuple[str, int]:
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return blame(reversed(frames), homes)


def _message(module: str, error: BaseException) -> str:
    said = str(error).partition("\n")[0]
    if isinstance(error, SyntaxError):
        code = f": {error.text.strip()}" if error.text else ""
        return f"{type(error).__name__}: {error.msg}{code}"
    if isinstance(error, SystemExit):
        return (
            f"importing {module} ended the program (SystemExit: {said or 0}); put such code under `if __name__ == ...`"
        )
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{text}; {missing_module(error.name)}"
    return text


def _text(error: BaseException) -> str:
    """The traceback without the frames of importlib and of this package that led to the plugin."""
    try:
        shown = traceback.TracebackException.from_exception(error, limit=-30)
        kept = [f for f in shown.stack if not f.filename.startswith(("<frozen importlib", _IMPORTLIB, _OURS))]
        shown.stack = traceback.StackSummary.from_list(kept)
        text = "".join(shown.format(chain=True))
    except Exception:  # noqa: BLE001 - formatting calls the exception's own methods
        text = f"{type(error).__name__} (its traceback can't be shown)\n"
    return text if len(text) <= _MAX_TRACEBACK else "…\n" + text[-_MAX_TRACEBACK:]
