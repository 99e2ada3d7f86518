"""When `at:` fires: at each of its instants, once."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime


class Instants:
    """A list of instants, ascending."""

    def __init__(self, times: tuple[datetime, ...]) -> None:
        self._times = [time.astimezone(UTC) for time in times]

    def next(self, after: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002 - see Schedule
        index = bisect_right(self._times, after)
        return self._times[index] if index < len(self._times) else None

    def last(self, after: datetime, until: datetime, anchor: datetime) -> datetime | None:  # noqa: ARG002
        index = bisect_right(self._times, until)
        found = self._times[index - 1] if index else None
        return found if found is not None and found > after else None
