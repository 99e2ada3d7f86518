"""May another worker be started now? A plugin that breaks the worker's start must not make the engine spin."""

from __future__ import annotations

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_HOPELESS = 5


class Starts:
    """Counts starts that failed in a row. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._failed = 0
        self._not_before = 0.0

    def allowed(self, now: float) -> bool:
        """Whether the pause after the last failure is over."""
        return now >= self._not_before

    def succeeded(self) -> None:
        """A worker became ready and executed an attempt."""
        self._failed = 0
        self._not_before = 0.0

    def failed(self, now: float) -> float:
        """Another one didn't; says how many seconds to wait."""
        self._failed += 1
        pause = min(_FIRST_PAUSE * 2.0 ** (self._failed - 1), _LONGEST_PAUSE)
        self._not_before = now + pause
        return pause

    def hopeless(self, why: str) -> str | None:
        """The reason to end what waits for a worker, once enough starts have failed."""
        if self._failed < _HOPELESS:
            return None
        return f"no worker could be started, {self._failed} times in a row; the last: {why.splitlines()[0]}"
