"""May another worker be started now? A plugin that breaks the worker's start, or a machine that refuses it, must not
make the engine spin."""

from __future__ import annotations

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_LONGEST_REFUSAL = 2.0
"""Seconds between tries while the system refuses: it costs little to ask, and may be over at any time."""
_HOPELESS = 5


class Starts:
    """Counts starts that failed in a row, and those that the system refused. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._failed = 0
        self._not_before = 0.0
        self._refusals = 0
        self._refused_until = 0.0
        self._told = ""

    def allowed(self, now: float) -> bool:
        """Whether the pause after the last failure is over."""
        return now >= self._not_before and now >= self._refused_until

    def succeeded(self) -> None:
        """A worker became ready and executed an attempt."""
        self._failed = 0
        self._not_before = 0.0

    def failed(self, now: float) -> float:
        """Another one didn't; says how many seconds to wait."""
        self._failed += 1
        pause = _pause(self._failed, _LONGEST_PAUSE)
        self._not_before = now + pause
        return pause

    def hopeless(self, why: str) -> str | None:
        """The reason to end what waits for a worker, once enough starts have failed."""
        if self._failed < _HOPELESS:
            return None
        return f"no worker could be started, {self._failed} times in a row; the last: {why.splitlines()[0]}"

    def refused(self, now: float) -> float:
        """The system would not start one; says how many seconds to wait."""
        self._refusals += 1
        pause = _pause(self._refusals, _LONGEST_REFUSAL)
        self._refused_until = now + pause
        return pause

    def refusing(self, now: float) -> bool:
        """Whether the system has refused one lately."""
        return now < self._refused_until

    def is_news(self, why: str) -> bool:
        """Whether this refusal hasn't been told yet: the same comes again with every try."""
        news, self._told = why != self._told, why
        return news

    def accepted(self) -> bool:
        """The system started one; gives whether a refusal had been told, which is over now."""
        told, self._told, self._refusals = bool(self._told), "", 0
        return told


def _pause(count: int, longest: float) -> float:
    return min(_FIRST_PAUSE * 2.0 ** (count - 1), longest)
