"""One worker process as the engine sees it: what it was given, what it is at, and how it is told, asked and killed.

Kinds differ in how many attempts run at once and in how one of them is reached: `SoloWorker` (process isolation),
`LoopWorker` (async) and `ThreadWorker`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

import msgspec

from orchestrator.core import kin
from orchestrator.core.runs import Outcome
from orchestrator.executors import departure
from orchestrator.executors.assigning import assignment
from orchestrator.executors.departure import Remains
from orchestrator.executors.flight import Flight, Verdict
from orchestrator.executors.launch import Launched
from orchestrator.executors.link import Link
from orchestrator.worker.interrupt import ASK_SIGNAL, DUMP_SIGNAL
from orchestrator.worker.messages import (
    Cancel,
    FromWorker,
    LongMessageError,
    Setup,
    Stop,
    ToWorker,
    from_worker,
)
from orchestrator.worker.slot import REVOKE_PAUSE

_LINGER = 1.0
"""Seconds between the end of a worker's line and its killing, if it doesn't exit by itself."""
_DUMP_PAUSE = 0.03
"""Seconds for faulthandler to write down where the worker was before it is killed."""


class State(Enum):
    """Where a worker is in its life. Only a ready one is given orders."""

    STARTING = auto()
    READY = auto()
    RETIRING = auto()
    """It finishes what it has begun."""
    STOPPING = auto()
    """It closes its resources."""
    KILLED = auto()
    GONE = auto()


class Owner(Protocol):
    """Whom a worker tells what happens to it."""

    def on_messages(self, worker: Worker, messages: list[FromWorker]) -> None:
        """It said something."""

    def on_returned(self, worker: Worker, flights: list[Flight]) -> None:
        """These will not begin there: they may be given to another."""

    def on_gone(self, worker: Worker, remains: Remains) -> None:
        """Its process and all that this started have ended."""


class Worker:
    """A process, the orders it holds by sequence, and its state."""

    def __init__(self, loop: asyncio.AbstractEventLoop, launched: Launched, setup: Setup, owner: Owner) -> None:
        self._loop = loop
        self._launched = launched
        self._owner = owner
        self.slot = launched.slot
        self.pid = launched.process.pid
        self.state = State.STARTING
        self.since = time.monotonic()
        """When it was started; when told to stop, since then."""
        self.idle_since = self.since
        self.flights: dict[int, Flight] = {}
        self.stuck: dict[int, Flight] = {}
        """Attempts whose end was reported although they go on: threads that overran."""
        self.runs = 0
        self.why = ""
        """Why it retires or was killed."""
        self.killed = False
        """Whether its end was our doing."""
        self.was_ready = False
        self.noted = ""
        """The end of what it wrote outside attempts."""
        self.revoking = 0
        self._sequence = 0
        departure.watch(loop, launched.process, self._on_exit)
        self.link = Link(loop, launched.socket, self._on_bodies, self._on_broken)
        self.link.send([setup])

    @property
    def alive(self) -> bool:
        """Whether it takes orders now or will soon."""
        return self.state is State.STARTING or self.state is State.READY

    @property
    def empty(self) -> bool:
        """Whether nothing of what it was given can still have an effect there."""
        return not self.flights and not self.stuck

    def assign(self, flights: list[Flight]) -> None:
        """Give it orders. One that is too long to be handed over comes back as failed."""
        now = time.monotonic()
        messages: list[ToWorker] = []
        for flight in flights:
            self._sequence += 1
            flight.worker, flight.sequence, flight.assigned_at = self, self._sequence, now
            flight.place = self._take_place()
            self.flights[self._sequence] = flight
            messages.append(assignment(flight))
        try:
            self.link.send(messages)
        except LongMessageError:
            for flight, message in zip(flights, messages, strict=True):
                self._try(flight, message)

    def _try(self, flight: Flight, message: ToWorker) -> None:
        try:
            self.link.send([message])
        except LongMessageError as error:
            reason = f"it can't be handed to a worker: with its parameters and what it reads it has {error}"
            flight.verdict = Verdict(Outcome.FAILED, reason)
            del self.flights[flight.sequence]
            self._free_place(flight)
            self._return([flight])

    def release(self, sequence: int) -> Flight | None:
        """An attempt ended there: it is out of its hands. None if it was not in them."""
        flight = self.flights.pop(sequence, None)
        if flight is not None:
            self.runs += 1
        else:
            flight = self.stuck.pop(sequence, None)
            if flight is not None:
                self._free_place(flight)
            return None
        self._free_place(flight)
        if not self.flights:
            self.idle_since = time.monotonic()
        return flight

    def started(self, flight: Flight) -> float | None:
        """When an attempt started, in monotonic seconds; None if it hasn't."""
        return self.slot.started(flight.place) if self.slot.begun(flight.place, flight.sequence) else None

    def watched(self) -> Iterable[Flight]:
        """The orders that can be running, for whoever looks after timeouts."""
        return list(self.flights.values())

    def revoke(self) -> None:
        """Take back what hasn't begun. The answer comes as `on_returned`, soon, whatever state the process is in."""
        if self.flights and not self.revoking:
            self.revoking = self._sequence
            self.slot.revoke(self._sequence)
            self._loop.call_later(REVOKE_PAUSE, self._reclaim)

    def voided(self, sequence: int) -> None:
        """It says that it came upon a revoked assignment and left it."""
        flight = self.flights.pop(sequence, None)
        if flight is not None:
            self._free_place(flight)
            self._return([flight])
        else:
            self._free_voided(sequence)

    def ask(self, flight: Flight) -> None:
        """Ask an attempt to stop."""
        flight.asked = True
        self.slot.ask(flight.place, flight.sequence)
        self._nudge(flight)

    def kill(self, why: str) -> None:
        """End it and all that it started. What becomes of its orders is decided when it is gone."""
        if self.state in (State.KILLED, State.GONE):
            return
        ready = self.state is not State.STARTING
        self.state, self.why = State.KILLED, why
        if ready:
            self._signal(DUMP_SIGNAL)
        self._loop.call_later(_DUMP_PAUSE if ready else 0, self._kill_now)

    def stop(self) -> None:
        """Tell an empty worker to close its resources and exit."""
        self.state, self.since = State.STOPPING, time.monotonic()
        self.link.send([Stop()])

    def culprits(self, remains: Remains) -> list[Flight]:
        """Whose fault is it if the process ended of itself? Among the attempts that had begun; none if unknown."""
        raise NotImplementedError

    def blamed(self, flight: Flight) -> Flight:
        """Whose fault is it if `flight` doesn't stop when asked?"""
        return flight

    def _take_place(self) -> int:
        return 0

    def _free_place(self, flight: Flight) -> None:
        """Its place can be given to another."""

    def _free_voided(self, sequence: int) -> None:
        """The place of a returned order can be given to another."""

    def _nudge(self, flight: Flight) -> None:
        """Make the worker look at what it was asked."""

    def _signal(self, number: int) -> None:
        if self.state is not State.GONE:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _kill_now(self) -> None:
        if self.state is not State.GONE:
            kin.kill_group(self.pid)

    def _reclaim(self) -> None:
        revoked, self.revoking = self.revoking, 0
        if self.state is State.GONE:
            return
        back = [
            flight
            for flight in self.flights.values()
            if flight.sequence <= revoked and self.slot.claimed(flight.place) < flight.sequence
        ]
        self._return(back)

    def _return(self, flights: list[Flight]) -> None:
        for flight in flights:
            self.flights.pop(flight.sequence, None)
            flight.worker = None
        self._owner.on_returned(self, flights)

    def _on_bodies(self, bodies: list[bytes]) -> None:
        try:
            messages = [message for body in bodies for message in from_worker(body)]
        except (msgspec.MsgspecError, ValueError) as error:
            self.kill(f"it said something that can't be understood: {error}")
            return
        self._owner.on_messages(self, messages)

    def _on_broken(self, why: str) -> None:
        """Nothing more will be heard of it. Usually because it is about to be gone: then it gets the time for that."""
        self._loop.call_later(_LINGER, self.kill, why)

    def _on_exit(self) -> None:
        last = self.link.close()
        self._on_bodies(last)
        self.killed = self.state is State.KILLED
        self.state = State.GONE
        self.revoking = 0
        waiting = [flight for flight in self.flights.values() if self.started(flight) is None]
        if len(waiting) == len(self.flights):
            for flight in waiting:
                flight.deaths += 1
        self._return(waiting)
        this = self._launched
        burial = self._loop.run_in_executor(None, departure.bury, this.process, this.mark, this.dump, this.pipes)
        burial.add_done_callback(lambda done: self._on_buried(done.result()))

    def _on_buried(self, remains: Remains) -> None:
        self._owner.on_gone(self, remains)
        self.slot.close()


class SoloWorker(Worker):
    """Executes one attempt at a time; short ones may wait in its own queue."""

    def __init__(self, loop: asyncio.AbstractEventLoop, launched: Launched, setup: Setup, owner: Owner) -> None:
        super().__init__(loop, launched, setup, owner)
        self.stalled = False
        """What it is at takes long: nothing may wait behind it."""
        self.only_short = False

    def watched(self) -> Iterable[Flight]:
        return [next(iter(self.flights.values()))] if self.flights else []

    def release(self, sequence: int) -> Flight | None:
        self.stalled = False
        return super().release(sequence)

    def culprits(self, remains: Remains) -> list[Flight]:  # noqa: ARG002 - there is only one
        return list(self.flights.values())[:1]

    def _nudge(self, flight: Flight) -> None:  # noqa: ARG002 - the slot says which
        self._signal(ASK_SIGNAL)


class SharedWorker(Worker):
    """Executes many attempts at once, each in a place of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, launched: Launched, setup: Setup, owner: Owner) -> None:
        super().__init__(loop, launched, setup, owner)
        self._places = list(range(setup.limit))
        self._void_places: dict[int, int] = {}

    @property
    def room(self) -> int:
        """How many more it takes."""
        return len(self._places)

    def _take_place(self) -> int:
        return self._places.pop()

    def _free_place(self, flight: Flight) -> None:
        self._places.append(flight.place)

    def _free_voided(self, sequence: int) -> None:
        if (place := self._void_places.pop(sequence, None)) is not None:
            self._places.append(place)

    def _reclaim(self) -> None:
        before = dict(self.flights)
        super()._reclaim()
        # Until the worker has come upon a returned order, it may still write to that order's cells.
        self._void_places.update((s, f.place) for s, f in before.items() if s not in self.flights)


class LoopWorker(SharedWorker):
    """Executes coroutines on one loop."""

    def culprits(self, remains: Remains) -> list[Flight]:  # noqa: ARG002 - the slot tells
        sequence, _ = self.slot.stepping()
        return [self.flights[sequence]] if sequence in self.flights else []

    def blamed(self, flight: Flight) -> Flight:
        sequence, since = self.slot.stepping()
        blocking = sequence in self.flights and since <= flight.kill_at - flight.grace
        return self.flights[sequence] if blocking else flight

    def _nudge(self, flight: Flight) -> None:
        self.link.send([Cancel(sequence=flight.sequence)])


class ThreadWorker(SharedWorker):
    """Executes callables in threads, which can be asked but not stopped."""

    def culprits(self, remains: Remains) -> list[Flight]:
        leaver = self.slot.leaver() or remains.thread
        return [flight for flight in self.flights.values() if self.slot.thread(flight.place) == leaver]
