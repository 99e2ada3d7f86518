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

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, len(_GAP), 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # As `Text`, a name with square brackets stays a name: markup is for constants.
        table.add_row(*(Text(cell) if isinstance(cell, str) else Text(cell[0], style=cell[1]) for cell in row))
    Console(no_color=not has_colours(sys.stdout), highlight=False).print(table)
