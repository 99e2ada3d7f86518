"""What can the screen show? Colours only on a terminal, and marks only in an encoding that has them."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import msgspec

_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


class Marks(msgspec.Struct, frozen=True):
    """One character for each thing that may become of a run."""

    ok: str
    failed: str
    retry: str
    skipped: str
    stopped: str
    warning: str
    note: str


_UNICODE = Marks(ok="✓", failed="✗", retry="↻", skipped="–", stopped="■", warning="!", note="·")
_ASCII = Marks(ok="+", failed="x", retry="~", skipped="-", stopped="#", warning="!", note=".")


def marks_for(stream: TextIO) -> Marks:
    """The marks that the stream's encoding can write."""
    try:
        "".join(msgspec.structs.astuple(_UNICODE)).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _UNICODE


def has_colours(stream: TextIO) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb say otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Painter:
    """Colours text for one stream, or leaves it alone."""

    def __init__(self, stream: TextIO) -> None:
        self.coloured = has_colours(stream)

    def paint(self, text: str, style: str | None) -> str:
        """`text` in a style: red, green, yellow, cyan, dim or bold."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.coloured and style is not None else text


def forgive_encodings() -> None:
    """Let a closed stream lead nowhere, and one that isn't UTF-8 show escapes rather than end the command."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the closed one: nothing else that is opened may come to lie there.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole process
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and not (stream.encoding or "").lower().startswith("utf"):
            reconfigure(errors="backslashreplace")
