"""From YAML text to plain data with positions, through the parser's events: the fastest way that keeps both."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from orchestrator.config.decoding import Fault
from orchestrator.config.scalars import NumberError, has_leading_zero, resolve
from orchestrator.config.source import BROKEN, Block, Items, Spot
from orchestrator.config.syntax import explain

MAX_DEPTH = 64
MAX_EXPANDED = 500_000
"""Values that aliases may add to a file."""
_MOST_VALUES = 2_000_000
_MOST_FAULTS = 1_000
"""A file with more is no configuration; reading on would only cost time."""
_CORE = "tag:yaml.org,2002:"
_OPEN = object()
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, or PyYAML's own where it was built without."""


class _Stop(Exception):  # noqa: N818 - ends the reading, after its fault was noted
    """Nothing after this can be read."""


def parse(text: str, lines: Callable[[], list[str]]) -> tuple[Any, Spot, list[Fault]]:
    """The only document's data, where it starts, and what is wrong with it. Data that can't be read is `BROKEN`."""
    builder = _Builder(lines)
    try:
        tree, start = builder.document(text)
    except _Stop:
        tree, start = BROKEN, Spot(1, 1, 0)
    except yaml.YAMLError as error:
        builder.faults.append(explain(error, lines()))
        tree, start = BROKEN, Spot(1, 1, 0)
    return tree, start, builder.faults


class _Builder:
    def __init__(self, lines: Callable[[], list[str]]) -> None:
        self.faults: list[Fault] = []
        self._lines = lines
        self._next: Any = None
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._size = 0
        self._expanded = 0

    def document(self, text: str) -> tuple[Any, Spot]:
        self._next = Loader(text).get_event
        self._next()
        if type(self._next()) is StreamEndEvent:
            self.faults.append(Fault("empty-file", "the file is empty", hint="start with `version: 1`"))
            raise _Stop
        event = self._next()
        tree = self._node(event, 0)
        self._next()
        after = self._next()
        if type(after) is DocumentStartEvent:
            self._stop(after, "several-documents", "the file holds several YAML documents", "remove the `---`")
        return tree, Spot(event.start_mark.line + 1, event.start_mark.column + 1, 0)

    def _node(self, event: Any, depth: int) -> Any:
        kind = type(event)
        if kind is AliasEvent:
            return self._alias(event)
        self._size += 1
        if self._size > _MOST_VALUES:
            self._stop(event, "file-too-large", f"more than {_MOST_VALUES:,} values", "is it a jobs file?")
        if kind is ScalarEvent:
            value = self._scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            return value
        if depth >= MAX_DEPTH:
            self._stop(event, "too-deep", f"more than {MAX_DEPTH} levels of nesting", "flatten the data")
        before = self._size
        if event.anchor is not None:
            self._anchors[event.anchor] = (_OPEN, 0)
        if event.tag is not None:
            self._check_tag(event, "map" if kind is MappingStartEvent else "seq")
        value = self._mapping(event, depth) if kind is MappingStartEvent else self._sequence(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._size - before + 1)
        return value

    def _scalar(self, event: Any) -> Any:
        text = event.value
        if event.tag is not None:
            return text if self._check_tag(event, "str") else BROKEN
        if not event.implicit[0]:
            return text if text.isascii() else self._encodable(event)
        try:
            value = resolve(text)
        except NumberError as error:
            self._fault(event, "bad-number", str(error), f'put it in quotes if it is text: "{text[:30]}"')
            return BROKEN
        if has_leading_zero(text):
            hint = f'put it in quotes if it is text: "{text}"; octal is written 0o{text.lstrip("0") or "0"}'
            self._fault(event, "leading-zero", f"`{text}` is read as the number {value}", hint, warning=True)
        return value

    def _encodable(self, event: Any) -> Any:
        """Text, unless escapes like `\\ud800` made something that no file or message can hold."""
        try:
            event.value.encode()
        except UnicodeEncodeError:
            self._fault(event, "bad-character", "half a surrogate pair is not a character")
            return BROKEN
        return event.value

    def _sequence(self, depth: int) -> Items:
        items, spots = Items(), array("I")
        while type(event := self._next()) is not SequenceEndEvent:
            start, end = event.start_mark, event.end_mark
            stop = end.column + 1 if end.line == start.line else 0
            spots.extend((start.line + 1, start.column + 1, stop))
            items.append(self._node(event, depth + 1))
        items.spots = spots
        return items

    def _mapping(self, opening: Any, depth: int) -> Any:
        block = Block()
        spots = block.spots = array("I")
        merged: list[Block] = []
        broken = False
        while type(event := self._next()) is not MappingEndEvent:
            key = self._key(event, opening, depth)
            value_event = self._next()
            value = self._node(value_event, depth + 1)
            if key is None:
                broken = True
            elif key == "<<" and type(event) is ScalarEvent and event.implicit[0]:
                self._merge(value, value_event, merged)
            elif key in block:
                self._duplicate(key, event, block.spot(key)[0])
            else:
                block[key] = value
                spots.extend(_spots(event, value_event))
        for other in merged:
            for index, (key, value) in enumerate(other.items()):
                if key not in block:
                    block[key] = value
                    spots.extend(other.spots[6 * index : 6 * index + 6])
        return BROKEN if broken else block

    def _key(self, event: Any, opening: Any, depth: int) -> str | None:
        """A key's text as it is written: `on`, `404` and `true` are names here. None if it can't be one."""
        if type(event) is ScalarEvent and event.tag is None:
            self._size += 1
            if event.anchor is not None:
                self._anchors[event.anchor] = (event.value, 1)
            if event.value or not event.implicit[0]:
                return str(event.value)
            self._fault(event, "bad-key", "a key is missing before the `:`", "write `key: value`")
            return None
        value = self._node(event, depth + 1)
        if isinstance(value, str):
            return value
        at = opening.start_mark
        if opening.flow_style and self._lines()[at.line].startswith("{{", at.column):
            inner = _braced(self._lines()[at.line][at.column :])
            message = "a value that starts with `{{` must be quoted: YAML reads a mapping"
            self._fault(opening, "unquoted-template", message, f"put it in quotes: {_quoted(inner)}", end=len(inner))
        elif value is not BROKEN:
            self._fault(event, "bad-key", "a key must be text, not a list or mapping")
        return None

    def _merge(self, value: Any, event: Any, merged: list[Block]) -> None:
        for part in value if isinstance(value, Items) else [value]:
            if isinstance(part, Block):
                merged.append(part)
            elif part is not BROKEN:
                self._fault(event, "bad-merge", "`<<` takes a mapping or a list of mappings", "write `<<: *name`")

    def _duplicate(self, key: str, event: Any, first: int) -> None:
        self._fault(event, "duplicate-key", f"duplicate key `{key}`", f"it is already set on line {first}; keep one")

    def _alias(self, event: Any) -> Any:
        value, size = self._anchors.get(event.anchor, (None, 0))
        if value is _OPEN:
            self._fault(event, "bad-alias", f"`*{event.anchor}` contains itself")
            return BROKEN
        if not size:
            hint = f'define it with `&{event.anchor}` before, or put the value in quotes: "*{event.anchor}"'
            self._fault(event, "bad-alias", f"there is no anchor `&{event.anchor}` above", hint)
            return BROKEN
        self._size += size
        self._expanded += size
        if self._expanded > MAX_EXPANDED:
            message = f"aliases expand to more than {MAX_EXPANDED:,} values"
            self._stop(event, "alias-bomb", message, "repeat less, or write the values where they are needed")
        return value

    def _check_tag(self, event: Any, kind: str) -> bool:
        if event.tag in (_CORE + kind, "!"):
            return True
        tag = event.tag.replace(_CORE, "!!")
        hint = "YAML's own types are recognised without one; text goes in quotes"
        end = len(tag) if self._lines()[event.start_mark.line].startswith(tag, event.start_mark.column) else 0
        self._fault(event, "yaml-tag", f"the tag `{tag}` is not allowed", f"remove it: {hint}", end=end)
        return False

    def _fault(
        self, event: Any, code: str, message: str, hint: str | None = None, *, end: int = 0, warning: bool = False
    ) -> None:
        start, stop = event.start_mark, event.end_mark
        last = start.column + end if end else stop.column if stop.line == start.line else -1
        if len(self.faults) >= _MOST_FAULTS:
            raise _Stop
        self.faults.append(Fault(code, message, start.line + 1, start.column + 1, last + 1, hint, warning))

    def _stop(self, event: Any, code: str, message: str, hint: str) -> NoReturn:
        self._fault(event, code, message, hint)
        raise _Stop


def _spots(key: Any, value: Any) -> tuple[int, int, int, int, int, int]:
    a, b, c, d = key.start_mark, key.end_mark, value.start_mark, value.end_mark
    return (
        a.line + 1,
        a.column + 1,
        b.column + 1 if b.line == a.line else 0,
        c.line + 1,
        c.column + 1,
        d.column + 1 if d.line == c.line else 0,
    )


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


def _braced(text: str) -> str:
    """The `{{ … }}` that text starts with, and what is glued to it."""
    end = text.find("}}") + 2
    while 1 < end < len(text) and text[end] not in ",]} \t":
        end += 1
    return text[:end] if end > 1 else text.rstrip()
