"""How the parts make an engine: what starts first, what runs side by side, and how it all ends without loss."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from orchestrator.core.clock import Clock
from orchestrator.core.errors import StoreError
from orchestrator.core.plan import Plan
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import RunState
from orchestrator.engine.consequences import Consequences
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.flowing import with_former_steps
from orchestrator.engine.inbox import Inbox
from orchestrator.engine.lateness import Watch
from orchestrator.engine.maintenance import Maintenance, Task
from orchestrator.engine.newruns import key_of
from orchestrator.engine.orphans import Orphans
from orchestrator.engine.recorder import Recorder, flow_event
from orchestrator.engine.recovery import Recovery
from orchestrator.engine.retention import Pruner
from orchestrator.engine.scheduler import Scheduler
from orchestrator.executors.contract import Executor
from orchestrator.store import instances, queries
from orchestrator.store.alignment import align_isolation, give_keys, without_key
from orchestrator.store.backfills import admit
from orchestrator.store.claims import DEADLINE_REASON, Aftermath, Overdue, expire
from orchestrator.store.expiry import EXPIRED_REASON, skip_expired
from orchestrator.store.flow_deadlines import expire_waiting
from orchestrator.store.plans import keep_plan
from orchestrator.store.store import Store

LEASE = timedelta(seconds=15)
"""For how long an engine that isn't heard of still counts as alive, where nothing tells that its process is gone."""
HEARTBEAT_SECONDS = 5
RECOVERY_SECONDS = 5
DEADLINE_SECONDS = 1
BACKFILL_SECONDS = 2
LATE_SECONDS = 5
RETENTION_SECONDS = 2
TIDY_SECONDS = 60
SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread keeps the interpreter. The store's writer asks for it again after every row: with the
default of 5 ms each row would wait that long whenever the loop is busy (measured: 578 µs a row against 4)."""


class Engine:
    """One engine: give it a plan, an open store and an executor that hasn't started, and `run` it."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        executor: Executor,
        *,
        clock: Clock,
        emit: Emit,
        only_run: int | None = None,
    ) -> None:
        """With `only_run`, nothing fires and only that run is executed: the plan need not know any other's job, so all
        others are left alone, whatever becomes of them."""
        self._plan = plan
        self._store = store
        self._executor = executor
        self._clock = clock
        self._emit = emit
        self._stopping = asyncio.Event()
        self._only_run = only_run
        self._hurried = False
        self._executing = False
        self._wake_path = ""
        self._host = socket.gethostname()
        consequences = Consequences(plan)
        self._dispatcher = Dispatcher(plan, store, executor, clock, emit, on_pauses=self._pause, only_run=only_run)
        self._scheduler = Scheduler(plan, store, clock, emit, self._dispatcher)
        self._recorder = Recorder(
            self._dispatcher.held, consequences, store, clock, emit, on_settled=self._dispatcher.settled
        )
        self._dispatcher.on_own = self._recorder.take_ends
        self._dispatcher.on_lost = self._renew_lease
        self._recovery = Recovery(plan, store, consequences, clock, emit, self._host)
        self._watch = Watch(plan, consequences.hooks, store, clock, emit)
        self._pruner = Pruner(plan, store, clock)
        self._orphans = Orphans(store, clock)
        own: dict[Task, int] = {
            self._renew_lease: HEARTBEAT_SECONDS,
            self._expire: DEADLINE_SECONDS,
            _tidy_memory: TIDY_SECONDS,
        }
        others: dict[Task, int] = {
            self._recover: RECOVERY_SECONDS,
            self._admit: BACKFILL_SECONDS,
            self._look_for_late: LATE_SECONDS,
            self._pruner.sweep: RETENTION_SECONDS,
            self._orphans.sweep: RETENTION_SECONDS,
            self._align_keys: TIDY_SECONDS,
        }
        self._maintenance = Maintenance(own | others if only_run is None else own, clock, emit)

    @property
    def next_fires(self) -> dict[str, datetime]:
        """When each job fires next, once `run` has started."""
        return self._scheduler.next_fires

    def stop(self) -> None:
        """Stop gracefully: nothing new starts, what runs may finish within `shutdown_grace`."""
        self._stopping.set()

    def hurry(self) -> None:
        """Don't wait for what runs: interrupt it and give it back to the queue."""
        self._hurried = True
        self._stopping.set()

    async def apply(self, plan: Plan) -> None:
        """Use another plan: what runs goes on as it began, what is created from now on follows the new one.

        Raises `StoreError` where waiting runs can't be told; the plan is in use all the same, and may be applied again.
        """
        whole = with_former_steps(plan, self._plan)
        await self._scheduler.apply(whole, self._take_up)
        if self._plan is not whole:
            return  # it is stopping
        await self._align(whole)
        await self._store.submit(keep_plan, plan, self._clock.now())
        await self._store.submit(instances.note_config, self._dispatcher.owner, self._clock.now(), None)
        _spare_the_collector()
        self._say("config.applied", jobs=len(plan.declared), path=plan.path)

    def _take_up(self, plan: Plan) -> None:
        """All parts at once: no run of one plan may meet workers, policies or limits of the other."""
        self._plan = plan
        consequences = Consequences(plan)
        self._executor.apply(plan)
        self._recorder.consequences = consequences
        self._recovery.apply(plan, consequences)
        self._watch.apply(plan, consequences.hooks)
        self._pruner.apply(plan)
        self._dispatcher.apply(plan)

    async def refuse(self, error: str) -> None:
        """Note that the configuration as it is now can't be used; the engine goes on with the one it has."""
        await self._store.submit(instances.note_config, self._dispatcher.owner, self._clock.now(), error)
        self._say("config.refused", level="error", error=error)

    async def run(self) -> None:
        """Work until `stop`; then everything is written, every worker has ended and the lease is given back."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._store.start_writer(self._on_trouble)
        inbox = Inbox(self._store.database.path.parent, lambda: self._dispatcher.wake(listen=True))
        self._wake_path = str(inbox.path)
        try:
            await self._register()
            await self._start()
            await self._work()
        except BaseException as error:  # noqa: BLE001 - it goes on from here
            if self._executing:
                await self._executor.stop(timedelta(0), lambda: True)
            with suppress(StoreError):  # what ends it is worth telling, not what follows from it
                await self._retire()
            raise _cause(error) from None
        else:
            await self._retire()
        finally:
            inbox.close()
        self._say("engine.stopped")

    async def _retire(self) -> None:
        await self._store.submit(instances.retire, self._dispatcher.owner, self._clock.now())

    async def _register(self) -> None:
        now = self._clock.now()
        self._dispatcher.owner = await self._store.submit(
            instances.register,
            host=self._host,
            pid=os.getpid(),
            plan_path=self._plan.path,
            wake_path=self._wake_path,
            now=now,
            lease_until=now + LEASE,
        )

    async def _start(self) -> None:
        if self._only_run is None:
            self._dispatcher.add_queues(await self._store.read_soon(queries.active_queues))
            self._scheduler.paused = frozenset(await self._store.read_soon(queries.paused_jobs))
            await self._recovery.sweep(self._dispatcher.owner)
            await self._align(self._plan)
            await self._store.submit(keep_plan, self._plan, self._clock.now())
            await self._scheduler.start()
        self._executing = True
        await self._executor.start(self._plan, self._recorder.take)
        _spare_the_collector()
        self._say("engine.started", instance=self._dispatcher.owner, jobs=len(self._plan.declared))

    async def _align(self, plan: Plan) -> None:
        isolations = {job.name: job.isolation for job in plan.jobs.values()}
        anywhere = min(isolations.values(), default=Isolation.PROCESS)
        await self._store.submit(align_isolation, isolations, anywhere)
        await self._align_keys()

    async def _align_keys(self) -> None:
        """Others may go on creating runs by a file in which a queue had no key yet."""
        keyed = [queue.name for queue in self._plan.queues.values() if queue.per_key is not None]
        while keyed and (found := await self._store.read_soon(without_key, keyed)):
            keys = {run_id: key_of(self._plan.jobs.get(job), params) for run_id, job, params in found}
            await self._store.submit(give_keys, keys)
            self._dispatcher.wake()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(self._recorder.run(), name="recorder")
            loops = [
                tasks.create_task(self._scheduler.run(), name="scheduler"),
                tasks.create_task(self._dispatcher.run(), name="dispatcher"),
            ]
            upkeep = tasks.create_task(self._maintenance.run(), name="maintenance")
            await self._stopping.wait()
            await self._wind_down(loops)
            self._recorder.close()
            await recording
            self._maintenance.stop()
            await upkeep

    async def _wind_down(self, loops: list[asyncio.Task[None]]) -> None:
        """No new fires or claims; then the executor finishes or gives back what it has. The lease lives on."""
        self._say("engine.stopping", running=len(self._dispatcher.held))
        self._scheduler.stop()
        self._dispatcher.stop()
        await asyncio.wait(loops)
        await self._executor.stop(self._plan.shutdown_grace, lambda: self._hurried)

    async def _renew_lease(self) -> None:
        now = self._clock.now()
        if await self._store.submit(instances.heartbeat, self._dispatcher.owner, now, now + LEASE):
            return
        # Another engine took this one for dead (it was stopped, or the machine slept): its runs are no longer its own.
        # Whoever sweeps first recovers them, so what becomes of the attempts here is nobody's business any more.
        self._say("engine.lease_lost", level="error", instance=self._dispatcher.owner)
        lost = list(self._dispatcher.held.values())
        self._dispatcher.held.clear()
        for held in lost:
            self._executor.cancel(held.run.id, held.run.attempt, "the engine's lease ran out")
        await self._register()

    async def _recover(self) -> None:
        if await self._recovery.sweep(self._dispatcher.owner):
            self._dispatcher.wake()

    async def _expire(self) -> None:
        now = self._clock.now()

        consequences = self._recorder.consequences

        def aftermath(run: Overdue) -> Aftermath:
            return Aftermath(
                followers=consequences.followers.of(run.job, RunState.FAILED, now),
                reaction=consequences.hooks.at_deadline(run, DEADLINE_REASON, now),
            )

        of = consequences.followers.of
        # Both are handed over before either is waited for: one commit.
        overdue = self._store.submit(expire, now, aftermath, self._only_run)
        expired = self._store.submit(skip_expired, now, lambda job: of(job, RunState.SKIPPED, now), self._only_run)
        for run in await overdue:
            self._say("run.failed", level="error", job=run.job, run_id=run.id, reason="its deadline passed")
        stopped = self._store.submit(expire_waiting, now, self._only_run)
        for run_id, job in await expired:
            self._say("run.skipped", level="warning", job=job, run_id=run_id, reason=EXPIRED_REASON)
        for flow in (await stopped).ended:
            self._emit(flow_event(flow, now))
        if (await stopped).created:
            self._dispatcher.wake()

    async def _admit(self) -> None:
        """Ends make room for a backfill's next runs at once; this finds what was cancelled or recovered."""
        if await self._store.submit(admit, self._clock.now()):
            self._dispatcher.wake()

    async def _look_for_late(self) -> None:
        if await self._watch.look():
            self._dispatcher.wake()

    def _pause(self, jobs: frozenset[str]) -> None:
        self._scheduler.paused = jobs

    def _on_trouble(self, message: str) -> None:
        """Called from the writer's thread."""
        self._emit(Event(name="store.retrying", at=self._clock.now(), level="warning", fields={"error": message}))

    def _say(self, name: str, *, level: str = "info", **fields: Any) -> None:
        self._emit(Event(name=name, at=self._clock.now(), level=level, fields=fields))


def _cause(error: BaseException) -> BaseException:
    """What ended a group of tasks: the first of them that failed took the others along."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _spare_the_collector() -> None:
    """What the plan is made of stays: the garbage collector need not look through it (33 ms, and that while firing)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _tidy_memory() -> None:
    """Few objects are in circles, but those that are hold lists of ids: left to the collector's own thresholds, which
    count objects and not bytes, they are kept for hours. With the plan frozen this takes a few milliseconds."""
    gc.collect()
