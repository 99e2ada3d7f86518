"""What outlives an attempt? The value that the callable saves; and beside it, out of its sight, how far its loops over
chunks are and when its pauses end.

Both are stored as one JSON value. That is the callable's own as long as there is nothing beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_OURS = "$orchestrator"
"""Marks a stored value that holds more than the callable's own."""


class Place:
    """How many items a loop over chunks has done, and where the loops inside its present chunk are.

    The first one of a run is no loop: the run's outermost loops are inside it.
    """

    __slots__ = ("begun", "done", "inner")

    def __init__(self, done: int = 0) -> None:
        self.done = done
        self.inner: dict[str, Place] = {}
        self.begun: set[str] = set()
        """Which of the inner loops this attempt has begun: each once, or it would skip what it hasn't done."""

    def enter(self, name: str) -> Place:
        """Begin an inner loop, where an earlier attempt left it. Raises `ValueError` if it has been begun already."""
        if name in self.begun:
            which = f"called {name!r}" if name else "without a name"
            raise ValueError(f"a second loop over chunks {which}: give each its own, by `name=…`")
        self.begun.add(name)
        return self.inner.setdefault(name, Place())

    def advance(self, count: int) -> None:
        """So many items more are done, with all that was inside."""
        self.done += count
        self.inner = {}
        self.begun = set()

    def written(self) -> list[Any]:
        """It as a JSON value."""
        return [self.done, {name: place.written() for name, place in self.inner.items()}]

    @classmethod
    def read(cls, written: list[Any]) -> Place:
        """The opposite of `written`."""
        place = cls(written[0])
        place.inner = {name: cls.read(inner) for name, inner in written[1].items()}
        return place


class Checkpoint:
    """Progress that outlives the attempt: what one attempt saves, the run's next attempt loads."""

    def __init__(self, stored: Any, save: Callable[[Any], None]) -> None:
        self._value, self._place, self._ends = _opened(stored)
        self._save = save
        self._paused: set[str] = set()
        """Where this attempt has paused: what an earlier one left there has been made use of."""

    def load(self, default: Any = None) -> Any:
        """The last value saved by this run, in this attempt or an earlier one."""
        return default if self._value is None else self._value

    def save(self, value: Any) -> None:
        """Keep a JSON value. It doesn't wait for the disk: after a crash, work since the last stored one repeats."""
        self._save(_closed(value, self._place, {}))
        self._value, self._ends = value, {}

    # For the context's loops and pauses.

    @property
    def place(self) -> Place:
        """Where the run's loops over chunks are."""
        return self._place

    def advanced(self) -> None:
        """Keep where the loops are now. Pauses up to here won't be asked for again."""
        self._ends = {}
        self._save(_closed(self._value, self._place, {}))

    def pause(self, where: str, until: float) -> float:
        """A pause begins at a line of code: keep its end, in seconds of `time.time`, and give it. The first time, it
        is no later than the end of the one that an earlier attempt began there since the last save."""
        if where not in self._paused:
            self._paused.add(where)
            until = min(until, self._ends.get(where, until))
        self._ends[where] = until
        self._save(_closed(self._value, self._place, self._ends))
        return until


def _opened(stored: Any) -> tuple[Any, Place, dict[str, float]]:
    if not (isinstance(stored, dict) and _OURS in stored):
        return stored, Place(), {}
    place, ends = stored[_OURS]
    return stored.get("value"), Place.read(place), ends


def _closed(value: Any, place: Place, ends: dict[str, float]) -> Any:
    plain = not place.inner and not ends and not (isinstance(value, dict) and _OURS in value)
    return value if plain else {_OURS: [place.written(), dict(ends)], "value": value}
