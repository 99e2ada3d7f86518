"""`python -m soak.mutations [WORD…]`: take out each mechanism (or those that a word names), see its tests fail, and
print a table; exit status 1 if a test was too weak to notice."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from soak.mutations.listing import MUTATIONS
from soak.mutations.mutation import Mutation
from soak.mutations.place import Tree


def main(words: Sequence[str]) -> int:
    """Try them."""
    chosen = [mutation for mutation in MUTATIONS if not words or any(_names(word, mutation) for word in words)]
    with tempfile.TemporaryDirectory(prefix="orchestrator-mutations-") as folder:
        tree = Tree(Path(folder).resolve())
        if spoiled := tree.failing(tuple(dict.fromkeys(test for mutation in chosen for test in mutation.tests))):
            _say(f"these fail without any change: {', '.join(sorted(spoiled))}")
            return 1
        _say(f"{len(chosen)} mutations; unchanged, all their tests pass")
        unnoticed = [mutation for mutation in chosen if not _is_noticed(tree, mutation)]
    _say(f"{len(chosen) - len(unnoticed)} of {len(chosen)} noticed")
    for mutation in unnoticed:
        _say(f"UNNOTICED: {mutation.promise}. {mutation.what}")
    return 1 if unnoticed else 0


def _names(word: str, mutation: Mutation) -> bool:
    """A word is a promise's number, or part of what a mutation is called."""
    return word == str(mutation.promise) or (not word.isdigit() and word in mutation.what)


def _is_noticed(tree: Tree, mutation: Mutation) -> bool:
    began = time.monotonic()
    tree.apply(mutation)
    try:
        failed = tree.failing(mutation.tests)
    finally:
        tree.undo(mutation)
    missing = set(mutation.tests) - failed
    told = "NO " if missing else "yes"
    seconds = time.monotonic() - began
    _say(f"{mutation.promise:2}  {told}  {seconds:4.0f} s  {mutation.what}  [{_short(mutation.tests)}]")
    return not missing


def _short(tests: Iterable[str]) -> str:
    return ", ".join(test.rpartition("::")[2] for test in tests)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
