"""What is wrong with a configuration, where, and how to mend it: as data, and as plain text for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

_WIDTH = 160
"""Longer source lines are cut around the place that is shown."""


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake. Lines and columns count from 1; `end_column` is the first column after the place."""

    severity: Literal["error", "warning"]
    code: str
    """What kind of mistake, for programs: `unknown-key`."""
    message: str
    file: str
    line: int = 1
    column: int = 1
    end_column: int = 1
    hint: str | None = None
    frame: list[str] = []
    """The source lines that lead to the place; the last of them is `line`."""


def render(diagnostics: Iterable[Diagnostic], *, base: Path | None) -> str:
    """Every diagnostic as text in the order of files and lines, then how many there are. Files are shown relative
    to `base` where they are below it."""
    ordered = sorted(diagnostics, key=lambda d: (d.file, d.line, d.column))
    if not ordered:
        return ""
    blocks = ["\n".join(_block(diagnostic, base)) for diagnostic in ordered]
    return "\n\n".join([*blocks, count(ordered)])


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """`3 errors, 1 warning`."""
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counts = [(severities.count(name), name) for name in ("error", "warning")]
    return ", ".join(f"{number} {name}{'s' if number > 1 else ''}" for number, name in counts if number)


def shown_file(file: str, base: Path | None) -> str:
    """A file's name as short as `base` allows."""
    try:
        return str(Path(file).relative_to(base)) if base is not None else file
    except ValueError:
        return file


def _block(d: Diagnostic, base: Path | None) -> list[str]:
    head = f"{shown_file(d.file, base)}:{d.line}:{d.column}: {d.severity}: {d.message} [{d.code}]"
    return [head, *_code_frame(d), *([f"hint: {d.hint}"] if d.hint else [])]


def _code_frame(d: Diagnostic) -> list[str]:
    if not d.frame:
        return []
    first = d.line - len(d.frame) + 1
    margin = len(str(d.line)) + 2
    start = max(0, d.column - _WIDTH // 2) if len(d.frame[-1]) > _WIDTH else 0
    lines = [f"{first + i:>{margin}} | {_printable(line[start : start + _WIDTH])}" for i, line in enumerate(d.frame)]
    before = d.frame[-1][start : d.column - 1]
    inside = d.frame[-1][d.column - 1 : min(d.end_column - 1, start + _WIDTH)]
    return [*lines, f"{'':>{margin}} | {_blank(before)}{'^' * max(1, sum(map(_cells, inside)))}".rstrip()]


def _printable(text: str) -> str:
    return "".join(c if c == "\t" or c.isprintable() else "·" for c in text).rstrip()


def _blank(text: str) -> str:
    return "".join("\t" if c == "\t" else " " * _cells(c) for c in text)


def _cells(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
