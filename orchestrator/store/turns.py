"""Whose turn is it? In a queue with limits for each key, the keys take turns, however much waits of each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, select

from orchestrator.store.candidates import Candidate, ClaimRequest, Lane, fetch, in_line
from orchestrator.store.room import KeyRoom, Room
from orchestrator.store.states import is_queued
from orchestrator.store.tables import runs

PAGE = 50
"""Keys looked at together, at least: those at their limit may stand in front."""


class Round:
    """One lane's share of a claim. What it costs grows with what it takes and with the keys that are at their limits,
    not with what waits."""

    def __init__(
        self, connection: Connection, request: ClaimRequest, lane: Lane, room: Room, paused: Sequence[str]
    ) -> None:
        self._connection = connection
        # Built once for all keys: each where() would cost as much as asking.
        self._line = in_line(lane, request.now).where(runs.c.group_key == bindparam("turn")).limit(bindparam("most"))
        self._room = room
        self._keys: KeyRoom = room.keys[lane[0]]
        self._pages = _cycle(connection, lane, request.turns.get(lane))
        self._open: list[str] = []
        self._barred = set(paused)
        self._picked: list[Candidate] = []
        self.last: str | None = None
        """Whose turn it was last."""

    def take(self, wanted: int) -> list[Candidate]:
        """The next `wanted` runs, those of each key in their order."""
        while (missing := wanted - len(self._picked)) > 0:
            self._find_keys(missing)
            if not self._open:
                break
            self._deal(-(-missing // len(self._open)), wanted)
        return self._picked

    def _find_keys(self, wanted: int) -> None:
        while len(self._open) < wanted and (page := next(self._pages, None)) is not None:
            self._keys.look_at(page)
            self._open += [key for key in page if self._keys.left(key) > 0]

    def _deal(self, depth: int, wanted: int) -> None:
        """One to each key, and again, `depth` times. Keys that have nothing more to start are closed."""
        asked = {key: min(depth, self._keys.left(key)) for key in self._open}
        rest = self._rest()
        lines = {key: fetch(self._connection, rest, turn=key, most=count) for key, count in asked.items()}
        refused: set[str] = set()
        for turn in range(depth):
            for key, line in lines.items():
                if turn >= len(line):
                    continue
                if len(self._picked) == wanted:
                    return
                self._pick(key, line[turn], refused)
        # Jobs at their limit stood in front: look past them.
        self._barred |= refused
        self._open = [key for key, line in lines.items() if len(line) == asked[key] and self._keys.left(key) > 0]

    def _pick(self, key: str, row: Candidate, refused: set[str]) -> None:
        if not self._room.admit(row.job):
            refused.add(row.job)
            return
        self._picked.append(row)
        self._keys.count(key, row.job)
        self.last = key

    def _rest(self) -> Select[tuple[object, ...]]:
        """What is left of a key's line. Served by `runs_turns`."""
        line = self._line
        if self._barred:
            line = line.where(runs.c.job.not_in(sorted(self._barred)))
        if self._picked:
            line = line.where(runs.c.id.not_in([row.id for row in self._picked]))
        return line


def _cycle(connection: Connection, lane: Lane, last: str | None) -> Iterator[list[str]]:
    """The keys that wait in a lane, each once, from the one after `last` round to `last` itself; some at a time."""
    if last is not None:
        yield from _keys_after(connection, lane, last)
    for page in _keys_after(connection, lane, None):
        if last is None:
            yield page
        elif rest := [key for key in page if key <= last]:
            yield rest
        else:
            return


def _keys_after(connection: Connection, lane: Lane, key: str | None) -> Iterator[list[str]]:
    while True:
        first = _FIRST_KEYS if key is None else _NEXT_KEYS
        fields = {"queue": lane[0], "isolation": lane[1].value, "key": key or "", "most": PAGE}
        page: list[str] = list(connection.execute(first, fields).scalars())
        if page:
            yield page
        if len(page) < PAGE:
            return
        key = page[-1]


def _lowest(of: ColumnElement[bool]) -> ColumnElement[str]:
    ours = and_(is_queued, runs.c.queue == bindparam("queue"), runs.c.isolation == bindparam("isolation"), of)
    return select(func.min(runs.c.group_key)).where(ours).scalar_subquery()


def _jump(first: ColumnElement[bool]) -> Select[Any]:
    """From key to key in `runs_turns`, whatever number of runs each has."""
    keys = select(_lowest(first).label("key")).cte("keys", recursive=True)
    after = _lowest(runs.c.group_key > keys.c.key)
    keys = keys.union_all(select(after).select_from(keys).where(keys.c.key.is_not(None)))
    return select(keys.c.key).where(keys.c.key.is_not(None)).limit(bindparam("most"))


_FIRST_KEYS = _jump(runs.c.group_key >= bindparam("key"))
_NEXT_KEYS = _jump(runs.c.group_key > bindparam("key"))
