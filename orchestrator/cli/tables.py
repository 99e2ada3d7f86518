"""How lists are shown: aligned columns, folded to a terminal's width, never cut in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.cli.terminal import has_colours

Cell = str | tuple[str, str]
"""Text, or text and a style: red, green, yellow, cyan, dim or bold."""
_GAP = "  "
_WORDY = frozenset({"WHAT", "SCHEDULE", "REASON", "ERROR", "NOTE"})
_ROOM_FOR_WORDS = 36


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows under headings."""
    if sys.stdout.isatty():
        _print_rich(headings, rows)
    else:
        _print_plain(headings, rows)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one a line; a value of several lines stays in its column."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        first, *others = value.splitlines() or [""]
        print(f"{name:<{width}}{_GAP}{first}".rstrip())
        for line in others:
            print(f"{'':<{width}}{_GAP}{line}".rstrip())


def print_json(value: Any) -> None:
    """Print a value as indented JSON: instants in ISO 8601 and UTC."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _print_plain(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    lines = [headings, *([" ".join(_text(cell).split("\n")) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(_GAP.join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())


def _print_rich(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    coloured = has_colours(sys.stdout)
    console = Console(no_color=not coloured, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold" if coloured else "", padding=(0, len(_GAP), 0, 0))
    widths = [max(map(len, [heading, *_column(rows, at)])) for at, heading in enumerate(headings)]
    names = sum(width for heading, width in zip(headings, widths, strict=True) if heading not in _WORDY)
    # Names and times stay on one line while that leaves room for the words beside them.
    whole = names + len(_GAP) * len(headings) + _ROOM_FOR_WORDS <= console.width
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=whole and heading not in _WORDY)
    for row in rows:
        # As `Text`, a name with square brackets stays a name: markup is for constants.
        table.add_row(
            *(Text(cell) if isinstance(cell, str) else Text(cell[0], style=cell[1] if coloured else "") for cell in row)
        )
    console.print(table)


def _column(rows: Sequence[Sequence[Cell]], at: int) -> list[str]:
    return [line for row in rows for line in _text(row[at]).splitlines()]
