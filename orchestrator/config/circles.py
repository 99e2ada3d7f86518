"""Does anything wait for itself? A walk that finds circles, whatever the edges mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def circles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """A circle through each set of nodes that reach each other; found by a walk without recursion."""
    done: set[str] = set()
    found = []
    for start in edges:
        trail: dict[str, int] = {}
        stack = [(start, iter(edges.get(start, ())))] if start not in done else []
        if stack:
            trail[start] = 0
        while stack:
            node, rest = stack[-1]
            after = next(rest, None)
            if after is None:
                stack.pop()
                trail.pop(node)
                done.add(node)
            elif after in trail:
                found.append(list(trail)[trail[after] :])
            elif after not in done:
                trail[after] = len(trail)
                stack.append((after, iter(edges.get(after, ()))))
    return found
