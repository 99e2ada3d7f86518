"""Does the checker notice? Ways to break an engine, each of which must make a soak fail by a kind of violation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

_NOTHING_ELSE = (False, None, None, None)
"""Not cancelled, and no step of a workflow."""
COMMIT_DELAY = 0.3
"""Seconds between the lie "it is on disk" and its coming true."""


class Breakage(NamedTuple):
    """A mechanism taken out of the engine."""

    apply: Callable[[], None]
    """Called in the process that is to be broken, before it starts."""
    kinds: frozenset[str]
    """At least one of these is found."""
    weights: dict[str, int]
    """The faults under which it shows soon."""
    faults: int = 3
    """At least so many, however long it takes until they find somebody to strike."""
    rate: float = 150.0
    """Runs asked for in a second."""
    slow: float = 0.02
    """The share of the runs that take their time."""
    drain_within: float = 60.0
    """Seconds after which what hasn't finished counts as stuck."""
    of_enqueuer: bool = False
    """Whether it is the process that asks for work that is broken, rather than the engines."""


def _no_fence() -> None:
    """Any ending counts, whoever holds the run by now; and an engine that lost its lease reports on as if it hadn't."""
    from sqlalchemy import Connection, select

    from orchestrator.engine import engine
    from orchestrator.store import bulk, endings, instances
    from orchestrator.store.chunks import chunked
    from orchestrator.store.tables import runs

    def still_ours(connection: Connection, _owner: int, ends: Sequence[Any]) -> dict[int, Any]:
        attempts = {ending.run_id: ending.attempt for ending in ends}
        found: set[int] = set()
        for chunk in chunked(list(attempts)):
            found.update(connection.execute(select(runs.c.id).where(runs.c.id.in_(chunk))).scalars())
        return {run_id: endings._Ours(attempts[run_id], *_NOTHING_ELSE) for run_id in found}

    def insert_or_replace(
        connection: Connection, table: Any, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        text = bulk._insert_sql(table, columns, 1, connection.dialect)
        connection.exec_driver_sql(text.replace("INSERT", "INSERT OR REPLACE", 1), list(rows))

    async def renew_lease(self: Any) -> None:
        now = self._clock.now()
        renewed = await self._store.submit(instances.heartbeat, self._dispatcher.owner, now, now + engine.LEASE)
        if not renewed:
            await self._register()

    engine.Engine._renew_lease = renew_lease  # type: ignore[method-assign]
    endings._still_ours = still_ours  # type: ignore[assignment]
    endings.insert_rows = insert_or_replace  # type: ignore[assignment]


def _no_unique_fires() -> None:
    """Nothing asks whether a fire has its run already, and no index refuses the second one."""
    from orchestrator.store import creation
    from orchestrator.store.database import Database

    really_open = Database.open

    def open_and_drop(self: Database, **options: Any) -> None:
        really_open(self, **options)
        with self.writing.begin() as connection:
            for index in ("runs_fire", "runs_parent"):
                connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index}")

    Database.open = open_and_drop  # type: ignore[method-assign]
    creation._already_created = lambda *_: set()  # type: ignore[assignment]


def _told_before_the_commit() -> None:
    """Who waits for the disk is told at once, and the commit follows later."""
    from orchestrator.store import writer

    def commit(self: Any, connection: Any, group: list[Any]) -> None:
        with connection.begin():
            for request in group:
                writer._perform(connection, request)
            self._loop.call_soon_threadsafe(writer._settle, group)
            time.sleep(COMMIT_DELAY)

    writer.Writer._commit = commit  # type: ignore[method-assign]


def _fires_forgotten() -> None:
    """Some fires move the cursor and leave no row."""
    from orchestrator.engine import scheduler

    served = scheduler._served

    def sometimes(member: Any, runs: list[Any], fire_time: Any) -> Any:
        return served(member, [] if random.random() < 0.2 else runs, fire_time)

    scheduler._served = sometimes


def _no_recovery() -> None:
    """Nobody looks after the runs of dead engines."""
    from orchestrator.engine.recovery import Recovery

    async def sweep(_self: Recovery, _own_id: int) -> int:
        return 0

    Recovery.sweep = sweep  # type: ignore[method-assign]


def _no_last_attempt() -> None:
    """A run is retried however often it failed."""
    from orchestrator.engine import verdict

    def refusal(held: Any, _ended: Any) -> str | None:
        return None if held.number < held.job.retry.max_attempts + 2 else "enough, even so"

    verdict._why_no_retry = refusal  # type: ignore[assignment]


def _no_limits() -> None:
    """Jobs' `concurrency` holds nobody back."""
    from orchestrator.store import room

    room.Room.admit = lambda *_: True  # type: ignore[method-assign,assignment]


def _no_followers() -> None:
    """Every other end fires nothing."""
    from orchestrator.engine.newruns import Followers

    of = Followers.of

    def sometimes(self: Followers, *arguments: Any) -> Any:
        return of(self, *arguments) if random.random() < 0.5 else ()

    Followers.of = sometimes  # type: ignore[method-assign]


def _missed_forgotten() -> None:
    """Fires that a jump of the clock passed over become work as far as `catch_up` says, and the others leave no row."""
    from orchestrator.engine import scheduler

    serve = scheduler.serve_missed

    def without_the_rest(*arguments: Any) -> Any:
        return [run for run in serve(*arguments) if run.skip_reason is None]

    scheduler.serve_missed = without_the_rest  # type: ignore[assignment]


def _outcomes_dropped() -> None:
    """What a full disk doesn't take at once is given up."""
    from orchestrator.core.errors import StoreError
    from orchestrator.engine import recorder
    from orchestrator.store import writer
    from orchestrator.store.endings import Settled

    async def durable(self: recorder.Recorder, batch: Any) -> Settled:
        try:
            return await self._store.submit(recorder.write_batch, batch, self._clock.now())
        except StoreError:
            return Settled(states={}, created=[])

    writer.RETRY_PAUSES = ()  # type: ignore[assignment]
    recorder.Recorder._durable = durable  # type: ignore[method-assign]


BREAKAGES = {
    "no fence": Breakage(_no_fence, frozenset({"doubled"}), {"freeze": 1}, faults=3, rate=40.0, slow=0.8),
    "no unique fires": Breakage(_no_unique_fires, frozenset({"doubled"}), {"kill_worker": 1}),
    "told before the commit": Breakage(
        _told_before_the_commit, frozenset({"lost"}), {"kill_enqueuer": 1}, faults=6, rate=200.0, of_enqueuer=True
    ),
    "fires forgotten": Breakage(_fires_forgotten, frozenset({"lost"}), {"kill_worker": 1}),
    "no recovery": Breakage(_no_recovery, frozenset({"stuck"}), {"kill_engine": 1}, slow=0.2, drain_within=4.0),
    "no last attempt": Breakage(_no_last_attempt, frozenset({"out of policy"}), {"kill_worker": 1}),
    "no limits": Breakage(_no_limits, frozenset({"out of policy"}), {"kill_worker": 1}, slow=0.9),
    "missed forgotten": Breakage(_missed_forgotten, frozenset({"lost"}), {"clock_forward": 1}),
    "outcomes dropped": Breakage(
        _outcomes_dropped, frozenset({"stuck"}), {"full_disk": 1}, faults=4, rate=200.0, drain_within=6.0
    ),
    "no followers": Breakage(_no_followers, frozenset({"lost"}), {"kill_worker": 1}),
}
