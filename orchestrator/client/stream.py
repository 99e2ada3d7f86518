"""A stream of events, for `for` and `async for`: each event once, and a position from which it can be taken up again.

Nobody stores events. The stream looks at the runs that are new, at the unfinished ones that it knows, and at their
attempts; it looks so seldom that looking takes a small part of the time, however much there is.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self, TypeVar

import msgspec
from sqlalchemy import Connection

from orchestrator.client.events import Happening, RunEvent, Step, Told, as_told, has_news, in_order, retried, steps_of
from orchestrator.core.errors import RequestError
from orchestrator.core.runs import RunState
from orchestrator.store.activity import Scope, attempts_of, glimpses, newer, newest_id, unfinished
from orchestrator.store.store import Store

LOOK_EVERY = 0.1
"""Seconds."""
REST = 9
"""For each second of looking, so many of not looking."""
BATCH = 1_000
"""New runs in one look."""
_MARK = "p1."
_ENDS = frozenset(Happening(state.value) for state in RunState if state.finished)

T = TypeVar("T")
Since = int | datetime | str | None
"""After which a stream begins: a run's id, an instant, the `position` of another stream, or now."""


class Position(msgspec.Struct, array_like=True):
    """What has been told: of runs up to `last_id` everything, but of `runs` only so much."""

    last_id: int
    runs: dict[int, Told]


class EventStream:
    """Gives events as they come, for ever or, without `follow`, until there are no more for now. One for each user."""

    def __init__(self, store: Callable[[], Store], scope: Scope, since: Since, *, follow: bool) -> None:
        self._store = store
        self._scope = scope
        self._since = since
        self._follow = follow
        self._position: Position | None = None
        self._pending: deque[Step] = deque()
        self._pause = LOOK_EVERY
        self._ended = False

    @property
    def position(self) -> str:
        """Where a later stream with the same scope goes on: behind the last event that this one gave."""
        place = self._begun()
        return _MARK + base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode()

    @property
    def has_more(self) -> bool:
        """Whether events are at hand already, without another look."""
        return bool(self._pending)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RunEvent:
        while (event := self._next()) is None:
            if self._ended:
                raise StopIteration
            time.sleep(self._pause)
        return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent:
        if self._pending:
            return self._give()
        while (event := await asyncio.to_thread(self._next)) is None:
            if self._ended:
                raise StopAsyncIteration
            await asyncio.sleep(self._pause)
        return event

    def _next(self) -> RunEvent | None:
        """The next event; None if there is none at the moment."""
        if not self._pending and not self._ended:
            began = time.monotonic()
            self._pending.extend(self._store().read(_look, self._scope, self._begun()))
            self._pause = max(LOOK_EVERY, REST * (time.monotonic() - began))
            self._ended = not self._pending and not self._follow
        return self._give() if self._pending else None

    def _give(self) -> RunEvent:
        step, place = self._pending.popleft(), self._begun()
        run_id = step.event.run_id
        place.last_id = max(place.last_id, run_id)
        if step.after is None:
            place.runs.pop(run_id, None)
        else:
            place.runs[run_id] = step.after
        if self._scope.run is not None and step.event.what in _ENDS:
            self._ended = True
        return step.event

    def _begun(self) -> Position:
        if self._position is None:
            self._position = self._store().read(_begin, self._scope, self._since)
        return self._position


def _begin(connection: Connection, scope: Scope, since: Since) -> Position:
    if isinstance(since, str):
        return _read_position(since)
    if since is None and scope.run is not None:
        return Position(scope.run - 1, {})
    if isinstance(since, int):
        last_id = since
    else:
        last_id = newest_id(connection, since.astimezone(UTC) if since is not None else None)
    known = unfinished(connection, scope, last_id)
    return Position(last_id, {run_id: as_told(run) for run_id, run in known.items()})


def _read_position(text: str) -> Position:
    mark, body = text[: len(_MARK)], text[len(_MARK) :]
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(body if mark == _MARK else ""), type=Position)
    except (ValueError, msgspec.MsgspecError):
        hint = "a position is what an earlier stream gave as its `position`"
        raise RequestError(f"{text[:40]!r} is not a position", hint) from None


def _look(connection: Connection, scope: Scope, place: Position) -> list[Step]:
    now = datetime.now(UTC)
    fresh = newer(connection, scope, place.last_id, BATCH)
    # With many that are new, those that are known wait for the next look: each look has an end.
    old = [] if len(fresh) == BATCH else _news_of_known(connection, scope, place, now)
    tried = attempts_of(connection, [run.id for run in fresh if run.attempt])
    return in_order([*old, *(steps_of(run, tried.get(run.id, []), None, now) for run in fresh)])


def _news_of_known(connection: Connection, scope: Scope, place: Position, now: datetime) -> list[list[Step]]:
    present = unfinished(connection, scope, place.last_id)
    ended = place.runs.keys() - present.keys()
    known = place.runs
    changed = {mark.id for mark in present.values() if mark.id not in known or has_news(mark, known[mark.id])}
    looked_at = glimpses(connection, ended | changed)
    tried = attempts_of(connection, [run.id for run in looked_at.values() if run.attempt])
    for run_id in ended - looked_at.keys():
        del place.runs[run_id]  # deleted with its history before anybody looked
    tellings = []
    for run_id, run in sorted(looked_at.items()):
        told, first = place.runs.get(run_id), []
        if told is None:
            event, told = retried(run)
            first = [Step(event, told)]
        steps = [*first, *steps_of(run, tried.get(run_id, []), told, now)]
        if steps:
            tellings.append(steps)
        elif run_id in present:
            # What has changed is nothing to tell of.
            place.runs[run_id] = msgspec.structs.replace(as_told(present[run_id]), number=told.number)
    return tellings
