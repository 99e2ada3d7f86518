"""Which places does a template read, as far as their names are written in it? `steps.a.result` is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jinja2 import meta, nodes

from orchestrator.config.templates import parsed
from orchestrator.core.json_values import TEMPLATE_KEY

Path = tuple[str, ...]
Steps = tuple[str | int, ...]


class Reading(NamedTuple):
    """What a template reads. Of a place inside another, the longest is listed; `guarded` ones have a default or are
    tested for."""

    paths: frozenset[Path]
    guarded: frozenset[Path]


def reading(text: str) -> Reading:
    """The places that a template, which was compiled without a fault before, reads."""
    tree = parsed(text)
    roots = meta.find_undeclared_variables(tree)
    every = list(tree.find_all(nodes.Node))
    inside = {id(node.node) for node in every if isinstance(node, (nodes.Getattr, nodes.Getitem)) and _name(node)}
    places = (nodes.Name, nodes.Getattr, nodes.Getitem)
    found = {_path(node) for node in every if isinstance(node, places) and id(node) not in inside}
    guards = [
        node.node
        for node in every
        if (isinstance(node, nodes.Test) and node.name in ("defined", "undefined"))
        or (isinstance(node, nodes.Filter) and node.name in ("default", "d"))
    ]
    return Reading(
        frozenset(path for path in found if path and path[0] in roots),
        frozenset(path for node in guards if isinstance(node, places) and (path := _path(node))),
    )


def templates_in(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """The template markers in a value, each with the way to it."""
    if isinstance(value, dict):
        if TEMPLATE_KEY in value:
            yield steps, value[TEMPLATE_KEY]
            return
        for key, inner in value.items():
            yield from templates_in(inner, (*steps, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from templates_in(inner, (*steps, index))


def _path(node: nodes.Node) -> Path:
    """The names that lead to a place; as far as they go where it isn't names alone."""
    names: list[str] = []
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        name = _name(node)
        names = [name, *names] if name is not None else []
        node = node.node
    return (node.name, *names) if isinstance(node, nodes.Name) else ()


def _name(node: nodes.Getattr | nodes.Getitem) -> str | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None
