"""A configuration file that was read: its text, its data, and where in the text each part of the data stands."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

Path_ = Sequence[str | int]
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_LINES_BEFORE = 1
TO_LINE_END = 0
"""An end column that means: as far as the line goes."""


class Spot(NamedTuple):
    """A stretch of one line, counted from 1."""

    line: int
    column: int
    end: int


class _Broken:
    """Stands in the data for what could not be read and was reported already: nothing more is said about it."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Any = _Broken()


class Block(dict[str, Any]):
    """A mapping that knows where its keys and values stand: for each key in turn, line, column and end of the key and
    then of the value. They are kept compactly, because a file may have a hundred thousand."""

    __slots__ = ("_order", "spots")
    spots: array[int]
    _order: dict[str, int]

    def spot(self, key: str) -> tuple[int, ...]:
        """Line, column and end of a key and of its value."""
        order: dict[str, int] = getattr(self, "_order", {})
        if key not in order:
            order = self._order = {name: index for index, name in enumerate(self)}
        return tuple(self.spots[6 * order[key] : 6 * order[key] + 6])


class Items(list[Any]):
    """A sequence that knows where its items stand."""

    __slots__ = ("spots",)
    spots: array[int]

    def spot(self, index: int) -> Spot:
        """Where an item stands."""
        return Spot(*self.spots[3 * index : 3 * index + 3])


class Source:
    """One file. `tree` is plain data made of `Block`, `Items` and scalars."""

    def __init__(self, file: Path, text: str, tree: Any = None, start: Spot | None = None) -> None:
        self.file = file
        self.text = text
        self.tree = tree
        self._start = start or Spot(1, 1, TO_LINE_END)

    @cached_property
    def lines(self) -> list[str]:
        """The text cut where YAML cuts it."""
        return _BREAK.split(self.text)

    def frame(self, line: int) -> list[str]:
        """The lines that lead to `line`, for a diagnostic."""
        return self.lines[max(0, line - 1 - _LINES_BEFORE) : line]

    def key(self, path: Path_) -> Place:
        """Where the key at the end of `path` stands."""
        return Place(self, self._walk(path)[0])

    def value(self, path: Path_) -> Place:
        """Where the value at `path` stands; its key if the value is empty. What isn't there is where it would be."""
        key, value = self._walk(path)
        return Place(self, value if value.end == TO_LINE_END or value.end > value.column else key)

    def _walk(self, path: Path_) -> tuple[Spot, Spot]:
        node, key, value = self.tree, self._start, self._start
        for step in path:
            if isinstance(node, Block) and step in node:
                spot = node.spot(str(step))
                key, value, node = Spot(*spot[:3]), Spot(*spot[3:]), node[str(step)]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
                key = value = node.spot(step)
                node = node[step]
            elif step != 0 or isinstance(node, Items):  # one value may stand for a list of one
                break
        return key, value


class Place(NamedTuple):
    """A spot in a file."""

    source: Source
    spot: Spot

    @property
    def end_column(self) -> int:
        """The first column after the place."""
        if self.spot.end != TO_LINE_END:
            return self.spot.end
        lines = self.source.lines
        text = lines[self.spot.line - 1].rstrip() if self.spot.line <= len(lines) else ""
        return max(self.spot.column, len(text) + 1)

    def __str__(self) -> str:
        return f"{self.source.file.name}:{self.spot.line}"


def at(source: Source, line: int, column: int, end: int = TO_LINE_END) -> Place:
    """A place by its numbers."""
    return Place(source, Spot(line, column, end))
