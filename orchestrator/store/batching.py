"""Which runs are claimed together, to be worked off in one call: `size` of them, or what there is after `wait`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, func, select, type_coerce, update

from orchestrator.core.policies import Batching
from orchestrator.store.candidates import CANDIDATE, Candidate, ClaimRequest, Lane, fetch, in_line
from orchestrator.store.chunks import chunked
from orchestrator.store.states import is_queued
from orchestrator.store.tables import runs

LONGEST = 8 * 2**20
"""Characters of the parameters of a batch: more would be too much for one message to a worker. A run by itself may
have more."""


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
    connection: Connection, request: ClaimRequest, lane: Lane, picked: Sequence[Candidate]
) -> tuple[list[Candidate], dict[int, tuple[int, ...]]]:
    """Make a batch of each picked run of a job that has them, of what waits in the lane in order.

    Gives all runs to claim, and the batches by their first run.
    """
    filled = [row for row in picked if row.job not in request.batches]
    batches: dict[int, tuple[int, ...]] = {}
    for job, calls in Counter(row.job for row in picked if row.job in request.batches).items():
        for together in _batches(connection, request, lane, job, calls):
            filled += fetch(connection, CANDIDATE.where(runs.c.id.in_(together)).order_by(runs.c.rank, runs.c.id))
            batches[together[0]] = tuple(together)
    return filled, batches


def _batches(connection: Connection, request: ClaimRequest, lane: Lane, job: str, calls: int) -> Iterator[list[int]]:
    """At most so many. Served by `runs_claimable`, which holds the job: others are passed over within the index."""
    batching = request.batches[job]
    length = func.coalesce(func.length(type_coerce(runs.c.params, Text)), 0)
    line = in_line(lane, request.now).where(runs.c.job == job).with_only_columns(runs.c.id, length)
    sizes = [(run_id, size) for run_id, size in connection.execute(line.limit(calls * batching.size))]
    ahead = 0
    for together, is_full in _cut(sizes, batching.size):
        # What is left beside full batches may go on waiting for company, as if it stood there alone.
        if calls > 0 and (ahead == 0 or is_full or _waited(connection, together, batching, request.now)):
            calls -= 1
            yield together
        ahead += len(together)


def _cut(sizes: Sequence[tuple[int, int]], most: int) -> Iterator[tuple[list[int], bool]]:
    """Runs, each with the length of its parameters, in groups; and whether a group has no room for more."""
    together: list[int] = []
    length = 0
    for run_id, size in sizes:
        if together and (len(together) == most or length + size > LONGEST):
            yield together, True
            together, length = [], 0
        together.append(run_id)
        length += size
    if together:
        yield together, len(together) == most


def _waited(connection: Connection, together: Sequence[int], batching: Batching, now: datetime) -> bool:
    since = connection.execute(select(func.min(runs.c.due_at)).where(runs.c.id.in_(together)))
    return bool(since.scalar_one() + batching.wait <= now)


def note_batches(connection: Connection, batches: Mapping[int, Sequence[int]]) -> None:
    """Write down which run a batch is named after: the others don't count where attempts are limited."""
    for leader, run_ids in batches.items():
        for chunk in chunked(run_ids[1:]):
            connection.execute(_NOTE, {"ids": chunk, "leader": leader})


_NOTE = update(runs).where(runs.c.id.in_(bindparam("ids", expanding=True))).values(batch_id=bindparam("leader"))
