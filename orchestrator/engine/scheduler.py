"""When does which job fire? A heap of beats: it sleeps until the first is due, and writes all due fires as one."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Protocol

import msgspec

from orchestrator.core.clock import Clock
from orchestrator.core.errors import DamagedError, StoreError
from orchestrator.core.plan import Plan
from orchestrator.core.runs import Cause, RunState
from orchestrator.engine.beats import Beat, Member, gather, time_triggers
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.misfires import Missed, look_back, serve_missed
from orchestrator.engine.newruns import new_run, random_delay
from orchestrator.store import queries
from orchestrator.store.creation import Created, CursorMove, NewRun, create_runs
from orchestrator.store.cursors import sync_cursors
from orchestrator.store.grabs import Grab
from orchestrator.store.store import Store

LONGEST_SLEEP = 1.0
"""Seconds. The wall clock may be set while we sleep: it is looked at again at least this often."""
LATE = timedelta(seconds=5)
"""A fire served later than this is a misfire: the machine slept, or the clock was set forward."""
WENT_BACK = timedelta(seconds=5)
SPREAD_PER_JOB = timedelta(milliseconds=10)
LONGEST_SPREAD = timedelta(minutes=1)
ROWS_PER_WRITE = 500
"""Rows in one transaction: few enough that the first of a thousand start while the others are being written."""
PAUSED_REASON = "the job is paused"


class Starter(Protocol):
    """Who executes: it says what it could start at once, and then starts what was created so."""

    def grab(self) -> Grab | None:
        """What could start right now."""

    def start_created(self, new: Sequence[NewRun], created: Sequence[Created]) -> None:
        """These were created: some of them running, some to be claimed when there is room."""


class _Served(msgspec.Struct, frozen=True):
    """What a trigger is owed for the fires up to a time. Its runs and its cursor are written together."""

    runs: list[NewRun]
    move: CursorMove | None = None


class Scheduler:
    """Turns time into runs. `start` serves what was missed; `run` serves what comes."""

    def __init__(self, plan: Plan, store: Store, clock: Clock, emit: Emit, starter: Starter) -> None:
        self._plan = plan
        self._store = store
        self._clock = clock
        self._emit = emit
        self._starter = starter
        self._heap: list[tuple[datetime, int, Beat]] = []
        self._order = count()
        self._seen = clock.now()
        self._awake = asyncio.Event()
        self._stopping = False
        self._next_plan: Plan | None = None
        self._on_change: Callable[[Plan], None] = lambda _: None
        self._plan_changed = asyncio.Event()
        self.paused: frozenset[str] = frozenset()
        """Jobs whose fires are recorded as skipped; whoever learns of a pause sets it."""

    @property
    def next_fires(self) -> dict[str, datetime]:
        """When each job fires next."""
        fires: dict[str, datetime] = {}
        for at, _, beat in sorted(self._heap, key=lambda entry: entry[0]):
            for member in beat.members:
                fires.setdefault(member.job.name, at)
        return fires

    async def start(self) -> None:
        """Read the cursors, create what was missed by each job's `catch_up`, and the runs of `on_start` jobs."""
        now = self._clock.now()
        beats = await self._gather(self._plan, now)
        await self._catch_up(beats, now)
        for beat in beats:
            self._push(beat, beat.schedule.next(max(now, beat.anchor), beat.anchor))
        starting = [job for job in self._plan.jobs.values() if job.enabled and job.on_start]
        await self._create([_Served(runs=[new_run(job, Cause.START, now)]) for job in starting])

    async def run(self) -> None:
        """Serve fires until `stop`."""
        while not self._stopping:
            self._awake.clear()
            if self._next_plan is not None:
                await self._change_plan(self._next_plan)
            self._notice_clock()
            due = self._pop_due(self._clock.now())
            if due:
                await self._serve(due)
            else:
                await self._sleep()
        self._plan_changed.set()

    async def apply(self, plan: Plan, on_change: Callable[[Plan], None]) -> None:
        """Use another plan; returns when nothing is fired by the old one any more. `on_change` is called between the
        last fire of the old one and the first of the new one, once the database has taken the new triggers.

        Triggers that stay keep their cursors, new ones start now.
        """
        self._next_plan, self._on_change = plan, on_change
        self._plan_changed.clear()
        self._awake.set()
        await self._plan_changed.wait()

    def stop(self) -> None:
        """Fire nothing more."""
        self._stopping = True
        self._awake.set()

    async def _change_plan(self, plan: Plan) -> None:
        try:
            beats = await self._gather(plan, self._clock.now())
        except DamagedError:
            raise
        except StoreError as error:
            # The old beats go on until the database can be written again: then the plan is still to be changed.
            fields = {"error": str(error)}
            self._emit(Event(name="scheduler.delayed", at=self._clock.now(), level="error", fields=fields))
            return
        self._plan, self._next_plan = plan, None
        self._on_change(plan)
        self._heap.clear()
        for beat in beats:
            self._push(beat, beat.after(beat.anchor))
        self._plan_changed.set()

    async def _gather(self, plan: Plan, now: datetime) -> list[Beat]:
        wanted = {(job.name, key) for job, _, key in time_triggers(plan)}
        return gather(plan, await self._store.submit(sync_cursors, wanted, now))

    def _push(self, beat: Beat, at: datetime | None) -> None:
        beat.next = at
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._order), beat))

    def _pop_due(self, now: datetime) -> list[Beat]:
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    async def _sleep(self) -> None:
        seconds = LONGEST_SLEEP
        if self._heap:
            seconds = min(seconds, (self._heap[0][0] - self._clock.now()).total_seconds())
        if seconds > 0:
            await self._clock.wait(self._awake, seconds)

    def _notice_clock(self) -> None:
        now = self._clock.now()
        if self._seen - now > WENT_BACK:
            fields = {"by": (self._seen - now).total_seconds(), "note": "fires resume where they left off"}
            self._emit(Event(name="clock.went_back", at=now, level="warning", fields=fields))
        self._seen = now

    async def _serve(self, due: list[Beat]) -> None:
        """Write every due fire with its trigger's cursor; only when all are written are the beats moved on."""
        now = self._clock.now()
        try:
            if any(_is_late(beat, now) for beat in due):
                await self._learn_what_others_served(due)
            nexts = await self._write_due(due, now)
        except DamagedError:
            raise
        except StoreError as error:
            await self._put_off(due, error)
            return
        for beat, fire_time, following in nexts:
            beat.anchor = fire_time
            for member in beat.members:
                member.cursor = fire_time
            self._push(beat, following)

    async def _write_due(self, due: list[Beat], now: datetime) -> list[tuple[Beat, datetime, datetime | None]]:
        """Gives each beat with the fire time that it has served now, and the one that follows."""
        served: list[_Served] = []
        nexts: list[tuple[Beat, datetime, datetime | None]] = []
        for beat in due:
            fire_time, runs = self._runs_of(beat, now)
            served += [
                _served(member, runs_of_it, fire_time) for member, runs_of_it in zip(beat.members, runs, strict=True)
            ]
            nexts.append((beat, fire_time, beat.after(fire_time)))
        await self._create(served)
        return nexts

    async def _learn_what_others_served(self, due: list[Beat]) -> None:
        """Who was asleep may be behind another engine: fires that have their rows are not missed."""
        cursors = await self._store.read_soon(queries.read_cursors)
        for beat in due:
            for member in beat.members:
                member.cursor = max(member.cursor, cursors.get((member.job.name, member.key), member.cursor))

    async def _put_off(self, due: list[Beat], error: StoreError) -> None:
        fields = {"error": str(error), "schedules": len(due)}
        self._emit(Event(name="scheduler.delayed", at=self._clock.now(), level="error", fields=fields))
        for beat in due:
            self._push(beat, beat.next)
        await self._clock.wait(self._awake, LONGEST_SLEEP)

    def _runs_of(self, beat: Beat, now: datetime) -> tuple[datetime, list[list[NewRun]]]:
        """The newest fire time that is due, and what each member is owed for it (or, when late, for all until then)."""
        fire_time = beat.next
        assert fire_time is not None  # noqa: S101 - only beats with a fire time are in the heap
        if _is_late(beat, now):
            newest = beat.schedule.last(fire_time - timedelta.resolution, now, beat.anchor) or fire_time
            found = {cursor: look_back(beat, cursor, now) for cursor in {member.cursor for member in beat.members}}
            spread = _spread(len(beat.members))
            return newest, [
                self._missed_runs(beat, member, missed, now, spread) if (missed := found[member.cursor]) else []
                for member in beat.members
            ]
        return fire_time, [[self._fire(member, fire_time, now)] for member in beat.members]

    def _fire(self, member: Member, fire_time: datetime, now: datetime) -> NewRun:
        paused = PAUSED_REASON if member.job.name in self.paused else None
        delay = random_delay(member.jitter)
        return new_run(member.job, Cause.FIRE, now, fire_time=fire_time, delay=delay, skip_reason=paused)

    def _missed_runs(
        self, beat: Beat, member: Member, missed: Missed, now: datetime, spread: timedelta
    ) -> list[NewRun]:
        if member.job.name in self.paused:
            return [new_run(member.job, Cause.CATCH_UP, now, fire_time=missed.newest, skip_reason=PAUSED_REASON)]
        return serve_missed(beat, member, missed, now, spread)

    async def _catch_up(self, beats: list[Beat], now: datetime) -> None:
        """Serve what passed before this engine started; members of a beat may have stopped at different times."""
        found: dict[tuple[int, datetime], Missed | None] = {}
        behind: list[tuple[Beat, Member, Missed]] = []
        for beat in beats:
            for member in beat.members:
                key = (id(beat), member.cursor)
                if key not in found:
                    found[key] = look_back(beat, member.cursor, now)
                if missed := found[key]:
                    behind.append((beat, member, missed))
        spread = _spread(len(behind))
        served = []
        for beat, member, missed in behind:
            served.append(_served(member, self._missed_runs(beat, member, missed, now, spread), missed.newest))
            member.cursor = beat.anchor = missed.newest
        await self._create(served)

    async def _create(self, served: Sequence[_Served]) -> None:
        """Write fires in order, each trigger's runs together with its cursor; what is written can start meanwhile."""
        new: list[NewRun] = []
        moves: list[CursorMove] = []
        for position, one in enumerate(served):
            new += one.runs
            if one.move is not None:
                moves.append(one.move)
            if len(new) >= ROWS_PER_WRITE or position == len(served) - 1:
                created = await self._store.submit(create_runs, new, moves, self._starter.grab())
                self._starter.start_created(new, created)
                self._tell(new, created)
                new, moves = [], []

    def _tell(self, new: Sequence[NewRun], created: list[Created]) -> None:
        for run, made in zip(new, created, strict=True):
            if made.state is RunState.SKIPPED and made.id is not None:
                fields = {
                    "job": made.job,
                    "run_id": made.id,
                    "fire_time": run.fire_time,
                    "reason": made.reason,
                }
                self._emit(Event(name="run.skipped", at=run.created_at, level="warning", fields=fields))


def _is_late(beat: Beat, now: datetime) -> bool:
    return beat.next is not None and now - beat.next > LATE


def _served(member: Member, runs: list[NewRun], fire_time: datetime) -> _Served:
    return _Served(runs, CursorMove(job=member.job.name, trigger=member.key, fire_time=fire_time))


def _spread(jobs: int) -> timedelta:
    return min(LONGEST_SPREAD, SPREAD_PER_JOB * (jobs - 1))
