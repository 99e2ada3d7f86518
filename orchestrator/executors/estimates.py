"""How long do a job's attempts take? Only short ones may wait behind each other at a worker."""

from __future__ import annotations

SHORT = 0.010
"""Seconds; below it an attempt is worth a place in a worker's own queue."""
AHEAD = 0.05
"""Seconds of work that the executor holds for each worker that isn't stuck."""
_MOST_AHEAD = 500
_LEAST = 20e-6


class Estimates:
    """Moving averages of durations, by job and over all. They rise faster than they fall."""

    def __init__(self) -> None:
        self._by_job: dict[str, float] = {}
        self._overall: float | None = None

    def note(self, job: str, seconds: float) -> None:
        """An attempt took so long."""
        self._by_job[job] = _moved(self._by_job.get(job), seconds)
        self._overall = _moved(self._overall, seconds)

    def is_short(self, job: str) -> bool:
        """Whether attempts of the job are known to be short."""
        return self._by_job.get(job, SHORT) < SHORT

    def ahead(self) -> int:
        """How many orders to hold beyond those that run, per worker."""
        if self._overall is None or self._overall > SHORT:
            return 0
        return min(_MOST_AHEAD, int(AHEAD / max(self._overall, _LEAST)))


def _moved(average: float | None, value: float) -> float:
    if average is None:
        return value
    return average + (value - average) * (0.5 if value > average else 0.1)
