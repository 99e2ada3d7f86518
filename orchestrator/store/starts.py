"""May one more start? A log of the starts of queues with a rate limit: never more than so many in any such period.

The log is exact: it is read and written in the transaction that claims, so it holds for every engine that shares the
store, and for those that come after a restart. Starts of one instant are one row. An empty key stands for the whole
queue. The wall clock may be set back: then what seems to have started later than now started, at the latest, now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, tuple_

from orchestrator.core.policies import RateLimit
from orchestrator.store.chunks import chunked
from orchestrator.store.tables import starts
from orchestrator.store.upserts import insert_into

WHOLE_QUEUE = ""
FORGOTTEN_AT_ONCE = 200
"""Rows of the log that count no more, deleted with each claim that adds to it: more than a claim usually adds."""
_KEY = (starts.c.queue, starts.c.group_key, starts.c.at)


class Budget:
    """What a rate leaves to a queue, or to each of its keys, while a claim is put together."""

    def __init__(self, connection: Connection, queue: str, rate: RateLimit, now: datetime) -> None:
        self._connection = connection
        self._queue = queue
        self._rate = rate
        self._now = now
        self._used: Counter[str] = Counter()
        self._oldest: dict[str, datetime] = {}
        self._spent: Counter[str] = Counter()
        self._known: set[str] = set()

    def look_at(self, keys: Iterable[str]) -> None:
        """Read what these keys have used. Served by the primary key."""
        new = [key for key in keys if key not in self._known]
        self._known.update(new)
        for chunk in chunked(new):
            self._read(chunk)

    def left(self, key: str = WHOLE_QUEUE) -> int:
        """How many more may start now."""
        if key not in self._known:
            self.look_at([key])
        return max(0, self._rate.count - self._used[key] - self._spent[key])

    def spend(self, count: int = 1, key: str = WHOLE_QUEUE) -> None:
        """So many start now."""
        self._spent[key] += count

    @property
    def next_at(self) -> datetime | None:
        """When one more of what is used up may start: of the keys that were looked at, the first."""
        used_up = [self._oldest.get(key, self._now) for key in self._known if not self.left(key)]
        return min(used_up) + self._rate.period if used_up else None

    def write(self) -> None:
        """Log what was spent, and forget a little of what counts no more."""
        spent = {key: count for key, count in self._spent.items() if count}
        if spent:
            note_starts(self._connection, self._queue, spent, self._rate, self._now)
            forget_starts(self._connection, self._now)

    def _read(self, keys: Iterable[str]) -> None:
        c = starts.c
        within = select(c.group_key, func.sum(c.count), func.min(c.at), func.max(c.at)).where(
            c.queue == self._queue, c.group_key.in_(keys), c.at > self._now - self._rate.period
        )
        for key, used, oldest, newest in self._connection.execute(within.group_by(c.group_key)).all():
            if newest > self._now:
                self._set_back(key)
            self._used[key] = used
            self._oldest[key] = min(oldest, self._now)

    def _set_back(self, key: str) -> None:
        c = starts.c
        gone = delete(starts).where(c.queue == self._queue, c.group_key == key, c.at > self._now)
        ahead = sum(self._connection.execute(gone.returning(c.count)).scalars())
        note_starts(self._connection, self._queue, {key: ahead}, self._rate, self._now)


def usage(connection: Connection, queue: str, rate: RateLimit, now: datetime) -> tuple[int, datetime | None]:
    """How many starts of a whole queue count now and, if that is all, when one more may start."""
    c = starts.c
    used = select(func.coalesce(func.sum(c.count), 0), func.min(c.at)).where(
        c.queue == queue, c.group_key == WHOLE_QUEUE, c.at > now - rate.period
    )
    count, oldest = connection.execute(used).one()
    return count, min(oldest, now) + rate.period if count >= rate.count else None


def note_starts(connection: Connection, queue: str, counts: dict[str, int], rate: RateLimit, now: datetime) -> None:
    """Log that so many of each key started now."""
    values = [
        {"queue": queue, "group_key": key, "at": now, "counts_until": now + rate.period, "count": count}
        for key, count in counts.items()
    ]
    insert = insert_into(starts, connection.dialect)
    more = {"count": starts.c.count + insert.excluded.count, "counts_until": insert.excluded.counts_until}
    connection.execute(insert.on_conflict_do_update(index_elements=["queue", "group_key", "at"], set_=more), values)


def forget_starts(connection: Connection, now: datetime) -> None:
    """Delete some of what counts no more. Served by `starts_old`."""
    old = select(*_KEY).where(starts.c.counts_until <= now).order_by(starts.c.counts_until).limit(FORGOTTEN_AT_ONCE)
    connection.execute(delete(starts).where(tuple_(*_KEY).in_(old)))
