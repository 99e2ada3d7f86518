"""Whose runs were left behind? Finds engines that died, and records and retries what they were executing, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from orchestrator.core.clock import Clock
from orchestrator.core.plan import Job, Plan
from orchestrator.core.runs import Outcome, Run
from orchestrator.engine.consequences import Consequences
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.flowing import needs_no_worker
from orchestrator.engine.inbox import remove_left
from orchestrator.engine.recorder import finished_event, with_consequences
from orchestrator.engine.verdict import Held, judge
from orchestrator.executors.contract import Ended
from orchestrator.store import instances, queries
from orchestrator.store.claims import ClaimedRun
from orchestrator.store.endings import settle
from orchestrator.store.instances import Instance
from orchestrator.store.plans import last_known
from orchestrator.store.store import Store
from orchestrator.store.wake import is_listening

BATCH = 500
_GONE = "its process is gone"
_DIED = "the engine that was executing it died"


class _Policies(NamedTuple):
    """What says what becomes of the runs of a job."""

    job: Job
    consequences: Consequences


class Recovery:
    """Sweeps for dead engines. Every step is fenced, so however many engines sweep, each run is recovered once."""

    def __init__(
        self, plan: Plan, store: Store, consequences: Consequences, clock: Clock, emit: Emit, host: str
    ) -> None:
        self._plan = plan
        self._store = store
        self._clock = clock
        self._emit = emit
        self._host = host
        self._consequences = consequences
        self._suspects: dict[int, datetime] = {}

    def apply(self, plan: Plan, consequences: Consequences) -> None:
        """Judge what is recovered from now on by another plan."""
        self._plan = plan
        self._consequences = consequences

    async def sweep(self, own_id: int) -> int:
        """Retire dead engines and recover what stopped engines still hold; gives how many runs were recovered."""
        living = await self._store.read_soon(instances.living)
        before, self._suspects = self._suspects, self._overdue(living)
        for instance in living:
            if instance.id != own_id and (why := self._why_dead(instance, before)):
                await self._store.submit(instances.retire, instance.id, self._clock.now())
                if why == _GONE and instance.wake_path:
                    remove_left(instance.wake_path)
                fields = {"instance": instance.id, "host": instance.host, "pid": instance.pid, "reason": why}
                self._emit(Event(name="engine.lost", at=self._clock.now(), level="warning", fields=fields))
        owners = await self._store.read_soon(instances.orphan_owners)
        return sum([await self._recover(owner) for owner in owners])

    def _overdue(self, living: Sequence[Instance]) -> dict[int, datetime]:
        """Engines whose lease ran out, and when they were last heard of."""
        now = self._clock.now()
        return {instance.id: instance.heartbeat_at for instance in living if instance.lease_until < now}

    def _why_dead(self, instance: Instance, before: Mapping[int, datetime]) -> str | None:
        """`before` are the suspects of the sweep before this one. While something locks the database for all, every
        lease runs out; who lives renews it as soon as that is possible, and must be given the time to."""
        if instance.host == self._host and instance.wake_path and not is_listening(instance.wake_path):
            return _GONE
        if instance.id in self._suspects and before.get(instance.id) == instance.heartbeat_at:
            return "its lease ran out"
        return None

    async def _recover(self, owner: int) -> int:
        recovered = 0
        while runs := await self._store.read_soon(queries.running_of, [owner], BATCH):
            now = self._clock.now()
            policies = await self._policies(runs)
            judged = [
                (one := self._held(run, owner, policies), end := self._crashed(run, one.job), judge(one, end))
                for run in runs
            ]
            endings = [
                with_consequences(ending, held, ended, policies[held.run.job].consequences, self._clock)
                for held, ended, ending in judged
            ]
            settled = await self._store.submit(settle, owner, endings, now)
            if not settled.states:
                return recovered
            for held, ended, ending in judged:
                if (state := settled.states.get(ending.run_id)) is not None:
                    self._emit(finished_event(held, ended, ending, state))
            recovered += len(settled.states)
        return recovered

    async def _policies(self, runs: Sequence[Run]) -> dict[str, _Policies]:
        """What holds for each job. One that this plan lacks was removed, or is new where another engine works by a
        newer file: then it is what the newest plan said that has it."""
        plan, consequences = self._plan, self._consequences
        names = {run.job for run in runs}
        unknown = names - plan.jobs.keys()
        others = await self._store.read_soon(last_known, unknown) if unknown else {}
        made = {id(other): Consequences(other) for other in others.values()}
        found = {name: _Policies(plan.jobs[name], consequences) for name in names - unknown}
        found |= {name: _Policies(_undeclared(name), consequences) for name in unknown}
        return found | {name: _Policies(other.jobs[name], made[id(other)]) for name, other in others.items()}

    def _held(self, run: Run, owner: int, policies: Mapping[str, _Policies]) -> Held:
        claimed = ClaimedRun(
            id=run.id,
            job=run.job,
            attempt=run.attempt,
            uncharged=run.uncharged,
            cause=run.cause,
            fire_time=run.fire_time,
            deadline_at=run.deadline_at,
            params=run.params,
        )
        return Held(run=claimed, owner=owner, job=policies[run.job].job)

    def _crashed(self, run: Run, job: Job) -> Ended:
        if needs_no_worker(job):
            # Nothing was executed: it is claimed again, by whoever is there.
            now = self._clock.now()
            return Ended(run_id=run.id, attempt=run.attempt, outcome=Outcome.RELEASED, finished_at=now)
        return Ended(
            run_id=run.id,
            attempt=run.attempt,
            outcome=Outcome.CRASHED,
            started_at=run.started_at,
            finished_at=self._clock.now(),
            reason=_DIED if job.call or job.step is not None else f"{_DIED}, and no configuration declares its job",
        )


def _undeclared(name: str) -> Job:
    """A job of which nobody knows any more whether it can bear to be executed twice: rather not at all."""
    return Job(name=name, call="", at_most_once=True)
