"""What is a mutation? A small change of the source that takes a mechanism out, and the tests that must notice."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Mutation(NamedTuple):
    """One of them."""

    promise: int
    """Its number in docs/reliability.md."""
    what: str
    """The mechanism, in a few words, as it is without it."""
    file: str
    old: str
    """Stands in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """Each of them fails; `file::function`, with parameters in brackets where only one of them concerns it."""

    def applied(self, text: str) -> str:
        """The file's text with the change."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {text.count(self.old)} times: {self.old}")
        return text.replace(self.old, self.new)
