"""Which run starts next? Claims what is due in batches, as the executor has room, and hands it over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec

from orchestrator.core.batches import BatchItem
from orchestrator.core.clock import Clock
from orchestrator.core.errors import DamagedError, OrchestratorError, StoreError
from orchestrator.core.flows import StepKind, StepSight
from orchestrator.core.plan import Job, Plan
from orchestrator.core.policies import Isolation, Overlap
from orchestrator.core.runs import Cause, Outcome
from orchestrator.engine.batching import items_of
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.flowing import is_workerless, needs_no_worker, new_flow
from orchestrator.engine.hooks import merged_for_delivery
from orchestrator.engine.verdict import Held, prepares
from orchestrator.executors.contract import Ended, Executor, Order
from orchestrator.store.candidates import Lane
from orchestrator.store.claims import ClaimedRun, ClaimRequest, Wishes, claim
from orchestrator.store.creation import Created, NewRun
from orchestrator.store.flow_rows import NewFlow
from orchestrator.store.grabs import Grab
from orchestrator.store.store import Store

LOOK_EVERY = 1.0
"""Seconds. Due runs that nobody woke us for, and people's wishes, are found this late at the latest."""
MAX_BATCH = 500


class Dispatcher:
    """Moves runs from the store to the executor. `held` is everything that this engine is executing."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        executor: Executor,
        clock: Clock,
        emit: Emit,
        on_pauses: Callable[[frozenset[str]], None],
        only_run: int | None = None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._emit = emit
        self._on_pauses = on_pauses
        self._only_run = only_run
        self._queues: list[str] = []
        self._turns: dict[Lane, str] = {}
        self._wake = asyncio.Event()
        self._listen = True
        self._looked_at = 0.0
        self._next_due: datetime | None = None
        self._waiting = False
        self._working = False
        self._stopping = False
        self.owner = 0
        """The engine's present id in the store; it owns what is claimed."""
        self.held: dict[int, Held] = {}
        self.on_own: Callable[[list[Ended]], None] = lambda _: None
        """Takes the ends of runs that no executor sees: what can't be executed at all, and what needs no worker."""
        self.on_lost: Callable[[], Awaitable[None]] = _nothing
        """Registers the engine anew after it was taken for dead."""
        self.apply(plan)

    def apply(self, plan: Plan) -> None:
        """Use another plan for what is claimed from now on."""
        self._plan = plan
        self._queues = sorted({*self._queues, *plan.queues, *(job.queue for job in plan.jobs.values())})
        self._queue_limits = {q.name: q.concurrency for q in plan.queues.values() if q.concurrency is not None}
        self._job_limits = {j.name: j.concurrency for j in plan.jobs.values() if j.concurrency is not None}
        self._ruled = {q.name: q for q in plan.queues.values() if q.rate_limit is not None or q.per_key is not None}
        self._batches = {j.name: j.batch for j in plan.jobs.values() if j.batch is not None}
        self._isolations = sorted({job.isolation for job in plan.jobs.values()})
        self._step_reads = {job.name: job.step.reads for job in plan.jobs.values() if job.step is not None}
        self._flow_jobs = [job.name for job in plan.jobs.values() if job.steps and job.concurrency is not None]
        self._workerless = frozenset(job.name for job in plan.jobs.values() if is_workerless(job))
        self._replaces = any(job.overlap is Overlap.REPLACE for job in plan.jobs.values())
        self.wake()

    def add_queues(self, names: Iterable[str]) -> None:
        """Serve these queues too: they hold runs though no job of the plan uses them any more."""
        self._queues = sorted({*self._queues, *names})

    def wake(self, *, listen: bool = False) -> None:
        """Look at the store now: something is due, there is room again, or (`listen`) somebody asked something."""
        self._listen = self._listen or listen or self._replaces
        self._wake.set()

    def settled(self, *, restless: bool) -> None:
        """Attempts have ended. There is something to claim if runs wait for the room, or some are to start again."""
        if restless or self._waiting:
            self.wake()

    def grab(self) -> Grab | None:
        """What could start right now: new runs may be created as claimed, so far as they overtake nobody."""
        if not self._working or self._stopping:
            return None
        return Grab(
            owner=self.owner,
            now=self._clock.now(),
            capacity=self._room(),
            queue_limits=self._queue_limits,
            closed=self._ruled,
        )

    def start_created(self, new: Sequence[NewRun], created: Sequence[Created]) -> None:
        """Execute what was created as claimed; look for the rest."""
        claimed = [
            _as_claimed(run, made.id)
            for run, made in zip(new, created, strict=True)
            if made.owner is not None and made.id is not None
        ]
        if claimed:
            self._hand_over(claimed, next(made.owner for made in created if made.owner is not None))
        if len(claimed) < len(created):
            self.wake()

    def stop(self) -> None:
        """Claim nothing more; `run` returns once a claim under way has been handed over."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Claim and hand over until `stop`."""
        self._working = True
        while not self._stopping:
            self._wake.clear()
            try:
                more = await self._round()
            except DamagedError:
                raise
            except StoreError as error:
                event = Event(
                    name="dispatcher.delayed", at=self._clock.now(), level="error", fields={"error": str(error)}
                )
                self._emit(event)
                await self._clock.wait(asyncio.Event(), LOOK_EVERY)
                continue
            if not more:
                await self._sleep()

    async def _round(self) -> bool:
        """One claim. True when there may be more to claim right away."""
        request = self._request()
        claimed = await self._store.submit(claim, request)
        if claimed.lost and request.owner == self.owner:
            await self.on_lost()
            return True
        self._next_due = claimed.next_due
        self._turns.update(claimed.turns)
        self._waiting = claimed.waiting
        if claimed.wishes is not None:
            self._heed(claimed.wishes)
        self._hand_over(claimed.runs, request.owner, claimed.batches)
        return bool(claimed.runs) and claimed.waiting

    def _request(self) -> ClaimRequest:
        listen = self._listen or self._clock.monotonic() - self._looked_at >= LOOK_EVERY
        if listen:
            self._listen = False
            self._looked_at = self._clock.monotonic()
        self._queues.append(self._queues.pop(0))
        return ClaimRequest(
            owner=self.owner,
            now=self._clock.now(),
            capacity=self._room(),
            queues=self._queues,
            queue_limits=self._queue_limits,
            job_limits=self._job_limits,
            ruled=self._ruled,
            turns=self._turns,
            batches=self._batches,
            listen=listen,
            step_reads=self._step_reads,
            flow_jobs=self._flow_jobs,
            workerless=self._workerless,
            only_run=self._only_run,
        )

    def _room(self) -> dict[Isolation, int]:
        room = {isolation: min(MAX_BATCH, self._executor.capacity(isolation)) for isolation in self._isolations}
        return {isolation: count for isolation, count in room.items() if count > 0}

    async def _sleep(self) -> None:
        seconds = LOOK_EVERY
        if self._next_due is not None:
            seconds = min(seconds, (self._next_due - self._clock.now()).total_seconds())
        if seconds > 0:
            await self._clock.wait(self._wake, seconds)

    def _heed(self, wishes: Wishes) -> None:
        self._on_pauses(wishes.paused)
        for run_id, attempt, reason in wishes.cancels:
            self._executor.cancel(run_id, attempt, reason or "cancelled on request")

    def _hand_over(
        self, runs: Sequence[ClaimedRun], owner: int, batches: Mapping[int, Sequence[int]] = MappingProxyType({})
    ) -> None:
        possible: list[Held] = []
        ours: list[Ended] = []
        for run in runs:
            job = self._plan.jobs.get(run.job)
            reason = self._why_impossible(run, job)
            flow = None
            if job is not None and job.steps and reason is None:
                flow, reason = self._begun(job)
            held = Held(run=run, owner=owner, job=job or Job(name=run.job, call=""), flow=flow)
            self.held[run.id] = held
            if reason is not None:
                ours.append(_ended(run, Outcome.FAILED, self._clock.now(), reason))
            elif needs_no_worker(held.job) and not prepares(held):
                ours.append(_ended(run, Outcome.SUCCEEDED, self._clock.now()))
            else:
                possible.append(held)
        if orders := self._orders(possible, batches) if batches else [_order(held) for held in possible]:
            self._executor.submit(orders)
        if ours:
            self.on_own(ours)

    def _orders(self, possible: Sequence[Held], batches: Mapping[int, Sequence[int]]) -> list[Order]:
        """An order for each run, but one for all of a batch, which is named after its first."""
        behind = {run_id for run_ids in batches.values() for run_id in run_ids[1:]}
        orders = []
        for held in possible:
            if run_ids := batches.get(held.run.id):
                members = [self.held[run_id] for run_id in run_ids]
                keys = tuple((one.run.id, one.run.attempt) for one in members)
                self.held[held.run.id] = msgspec.structs.replace(held, members=keys)
                orders.append(_order(held, items_of(members)))
            elif held.run.id not in behind:
                orders.append(_order(held))
        return orders

    def _begun(self, job: Job) -> tuple[NewFlow | None, str | None]:
        """The workflow as it begins now, or why it can't."""
        try:
            return new_flow(self._plan, job, self._clock.now()), None
        except OrchestratorError as error:
            return None, str(error)

    def _why_impossible(self, run: ClaimedRun, job: Job | None) -> str | None:
        if job is None and run.cause is Cause.STEP and "/" in run.job:
            flow, _, step = run.job.partition("/")
            return f"step `{step}` of `{flow}` is no longer declared in {self._plan.path}"
        if job is None:
            return f"no job {run.job!r} is declared in {self._plan.path}"
        return job.unusable


async def _nothing() -> None:
    return


def _order(held: Held, items: tuple[BatchItem, ...] = ()) -> Order:
    run, job = held.run, held.job
    return Order(
        run_id=run.id,
        attempt=run.attempt,
        number=held.number,
        job=job.name,
        call=job.call,
        isolation=job.isolation,
        params=merged_for_delivery(job, run.params or {}),
        cause=run.cause.value,
        fire_time=run.fire_time,
        timezone=job.timezone,
        max_attempts=job.retry.max_attempts,
        timeout=job.timeout,
        grace=job.grace,
        heartbeat=job.heartbeat,
        deadline_at=run.deadline_at,
        memory_limit=job.memory_limit,
        log_limit=job.log_limit,
        checkpoint=run.checkpoint,
        items=items,
        sight=_sight(held) if job.step is not None else None,
    )


def _as_claimed(run: NewRun, run_id: int) -> ClaimedRun:
    """A run that was created as its own first attempt."""
    return ClaimedRun(
        id=run_id,
        job=run.job,
        attempt=1,
        uncharged=0,
        cause=run.cause,
        fire_time=run.fire_time,
        deadline_at=run.deadline_at,
        params=run.params,
    )


def _ended(run: ClaimedRun, outcome: Outcome, now: datetime, reason: str | None = None) -> Ended:
    return Ended(run_id=run.id, attempt=run.attempt, outcome=outcome, finished_at=now, reason=reason)


def _sight(held: Held) -> StepSight | None:
    """What the attempt of a step needs to know: what the store has of its workflow, and what the plan says."""
    step, sight = held.job.step, held.run.sight
    if step is None or sight is None:
        return None
    is_preparing, is_sub_job = prepares(held), step.kind is StepKind.JOB
    # A condition that reads no item was asked when the step was prepared.
    asks = step.when_per_item is not is_preparing if step.prepares else True
    return msgspec.structs.replace(
        sight,
        files=tuple(file for file in sight.files if file.at[0] in step.loads) if sight.files else (),
        state=sight.state if step.is_final else None,
        is_matrix=step.is_matrix,
        when=step.when if asks else None,
        when_of_item=step.when if is_preparing and step.when_per_item and is_sub_job else None,
        prepares=is_preparing,
        foreach=step.foreach if is_preparing else None,
        is_sub_job=is_sub_job,
    )
