"""What happened, according to the store? Read from the SQLite file itself, as any user's tool could."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.trials import TrialError

MICRO = 1_000_000
UNFINISHED = "('queued', 'running', 'scheduled', 'waiting')"


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        yield connection


@dataclass(frozen=True)
class Span:
    """When the first attempt began and the last one ended, in seconds since 1970."""

    began: float
    ended: float


def wait_until_finished(path: Path, seconds: float, look_every: float = 0.02) -> float:
    """Wait until no run is unfinished; gives when that was seen. Looks through a partial index, so it costs little."""
    deadline = time.time() + seconds
    # Written as the index `runs_active` has it, so that SQLite uses that.
    query = f"SELECT 1 FROM runs WHERE state IN {UNFINISHED} LIMIT 1"
    with _reading(path) as connection:
        while connection.execute(query).fetchone() is not None:
            if time.time() > deadline:
                raise TrialError(f"runs were still unfinished after {seconds:.0f} s")
            time.sleep(look_every)
    return time.time()


def span_of_single_attempts(path: Path, expected: int) -> Span:
    """The span of all attempts, once it is certain that each run has exactly one, and that it succeeded."""
    with _reading(path) as connection:
        (runs,) = connection.execute("SELECT count(*) FROM runs WHERE state = 'succeeded'").fetchone()
        attempts, succeeded, distinct, began, ended = connection.execute(
            "SELECT count(*), sum(outcome = 'succeeded'), count(DISTINCT run_id), min(started_at), max(finished_at) "
            "FROM attempts"
        ).fetchone()
    if not runs == attempts == succeeded == distinct == expected:
        raise TrialError(
            f"of {expected} runs {runs} succeeded, with {attempts} attempts, {succeeded} good ones, of {distinct} runs"
        )
    return Span(began / MICRO, ended / MICRO)


@dataclass(frozen=True)
class Fires:
    """What became of the fire times within a window."""

    lateness: list[float]
    """Seconds from each fire time to the start of its attempt, ascending."""
    skipped: int
    """Recorded as skipped: an earlier run of the job was not finished."""
    recorded: int
    """Fire times that have a run, whatever became of it."""


def fires_within(path: Path, since: int, until: int) -> Fires:
    """The fires of the whole seconds from `since` up to, not including, `until`."""
    window = (since * MICRO, until * MICRO)
    with _reading(path) as connection:
        found = connection.execute(
            "SELECT a.started_at - r.fire_time FROM runs r JOIN attempts a ON a.run_id = r.id AND a.attempt = 1 "
            "WHERE r.fire_time >= ? AND r.fire_time < ? ORDER BY 1",
            window,
        )
        lateness = [late / MICRO for (late,) in found]
        recorded, skipped = connection.execute(
            "SELECT count(*), coalesce(sum(state = 'skipped'), 0) FROM runs WHERE fire_time >= ? AND fire_time < ?",
            window,
        ).fetchone()
    return Fires(lateness, skipped, recorded)


def wait_for_attempt_of(path: Path, job: str, nth: int, seconds: float) -> float:
    """Wait for the `nth` attempt of a job to be recorded; gives when it started, in seconds since 1970."""
    deadline = time.time() + seconds
    query = "SELECT a.started_at FROM runs r JOIN attempts a ON a.run_id = r.id WHERE r.job = ? ORDER BY r.id"
    while time.time() < deadline:
        try:
            with _reading(path) as connection:
                found = connection.execute(query, (job,)).fetchall()
        except sqlite3.OperationalError:
            found = []  # the database or its tables are still being made
        if len(found) >= nth:
            return float(found[nth - 1][0] / MICRO)
        time.sleep(0.02)
    raise TrialError(f"attempt {nth} of {job} did not happen within {seconds:.0f} s")
