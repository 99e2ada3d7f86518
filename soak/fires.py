"""Has every fire time its row? One of its own, or the row that sums up the fires which nothing could serve."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from soak.evidence import Evidence, RunRow

SECOND = 1_000_000
"""Microseconds."""
_SUMMED_UP = re.compile(r"^(?:(\d+)(\+?) fire times from|the fire time) .* \(catch_up: \w+\)$")


def lost_fires(evidence: Evidence) -> Iterator[str]:
    """Fire times of jobs that fire every second, between the first and the last that an engine owed, without a row."""
    rows: dict[str, list[RunRow]] = defaultdict(list)
    for run in evidence.runs.values():
        if run.fire_time is not None:
            rows[run.job].append(run)
    for job, policy in evidence.policies.items():
        if policy.fires_every_second:
            missing = _missing(rows[job], evidence.fired_from, evidence.fired_until)
            if missing:
                yield f"{len(missing)} fire times of {job} have no row; the first is {missing[0]}"


def _missing(rows: list[RunRow], begin: int, end: int) -> list[int]:
    served = {row.fire_time for row in rows if row.fire_time is not None}
    for row in rows:
        if row.fire_time is not None and row.state == "skipped":
            served.update(_summed_up(row.fire_time, row.reason or "", served, end))
    first = -(-begin // SECOND) * SECOND
    return [at for at in range(first, end + 1, SECOND) if at not in served]


def _summed_up(first: int, reason: str, served: set[int], end: int) -> Iterator[int]:
    """The fires that one row stands for: as many as it says, or, if it says "at least", up to the next row."""
    found = _SUMMED_UP.match(reason)
    if found is None:
        return
    count = int(found[1] or 1)
    yield from range(first, first + count * SECOND, SECOND)
    at = first + count * SECOND
    while found[2] and at not in served and at <= end:
        yield at
        at += SECOND
