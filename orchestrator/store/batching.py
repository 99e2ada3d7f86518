"""Which runs are claimed together, to be worked off in one call: `size` of them, or what there is after `wait`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, update

from orchestrator.core.policies import Batching, Isolation
from orchestrator.store.candidates import Candidate, ClaimRequest, fetch, in_line
from orchestrator.store.chunks import chunked
from orchestrator.store.states import is_queued
from orchestrator.store.tables import runs


class Gathered:
    """What the jobs with batches have waiting."""

    def __init__(self, connection: Connection, batches: Mapping[str, Batching], now: datetime) -> None:
        self.unready: list[str] = []
        """Jobs whose runs don't fill a batch, and may still wait for more."""
        self.next_ready: datetime | None = None
        """When the first of them need not wait any longer."""
        for job, batching in batches.items():
            self._look(connection, job, batching, now)

    def _look(self, connection: Connection, job: str, batching: Batching, now: datetime) -> None:
        """Served by `runs_active`; no more rows are read than make a batch."""
        waiting = select(runs.c.due_at).where(runs.c.job == job, is_queued).limit(batching.size)
        due = list(connection.execute(waiting).scalars())
        if not due or len(due) >= batching.size:
            return
        ready_at = min(due) + batching.wait
        if ready_at > now:
            self.unready.append(job)
            self.next_ready = min(ready_at, self.next_ready or ready_at)


def fill(
    connection: Connection, request: ClaimRequest, picked: Sequence[Candidate]
) -> tuple[list[Candidate], dict[int, tuple[int, ...]]]:
    """Make a batch of each picked run of a job that has them, of what waits in its lane in order.

    Gives all runs to claim, and the batches by their first run.
    """
    filled = [row for row in picked if row.job not in request.batches]
    batches: dict[int, tuple[int, ...]] = {}
    for job, calls in Counter(row.job for row in picked if row.job in request.batches).items():
        first = next(row for row in picked if row.job == job)
        for together in _batches(connection, request, first, calls):
            filled += together
            batches[together[0].id] = tuple(row.id for row in together)
    return filled, batches


def _batches(connection: Connection, request: ClaimRequest, first: Candidate, calls: int) -> Iterator[list[Candidate]]:
    """At most so many. Served by `runs_claimable`, which holds the job: others are passed over within the index."""
    batching = request.batches[first.job]
    queue, isolation = connection.execute(select(runs.c.queue, runs.c.isolation).where(runs.c.id == first.id)).one()
    same = in_line((queue, Isolation(isolation)), request.now).where(runs.c.job == first.job)
    rows = fetch(connection, same.limit(calls * batching.size))
    for start in range(0, len(rows), batching.size):
        together = rows[start : start + batching.size]
        # What is left beside full batches may go on waiting for company, as if it stood there alone.
        if start == 0 or len(together) == batching.size or _waited(connection, together, batching, request.now):
            yield together


def _waited(connection: Connection, together: Sequence[Candidate], batching: Batching, now: datetime) -> bool:
    since = connection.execute(select(func.min(runs.c.due_at)).where(runs.c.id.in_([row.id for row in together])))
    return bool(since.scalar_one() + batching.wait <= now)


def note_batches(connection: Connection, batches: Mapping[int, Sequence[int]]) -> None:
    """Write down which run a batch is named after: the others don't count where attempts are limited."""
    for leader, run_ids in batches.items():
        for chunk in chunked(run_ids[1:]):
            connection.execute(_NOTE, {"ids": chunk, "leader": leader})


_NOTE = update(runs).where(runs.c.id.in_(bindparam("ids", expanding=True))).values(batch_id=bindparam("leader"))
