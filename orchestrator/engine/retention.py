"""Nothing grows without bound: forgets history beyond each job's retention, in steps so small that no fire waits."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from orchestrator.core import result_files
from orchestrator.core.clock import Clock
from orchestrator.core.plan import Plan, Retention
from orchestrator.store import pruning, queries
from orchestrator.store.plans import last_known
from orchestrator.store.pruning import Rule
from orchestrator.store.store import Store

LOOK_AT = 200
"""Runs looked at in one transaction; how many of them are deleted in it depends on what they consist of."""
STEPS = 40
"""Transactions in one sweep, each of which lets others go first."""
KEEP_INSTANCES = timedelta(days=7)
KEEP_FIRES = timedelta(minutes=5)
REST = 60.0
"""Seconds from a round over all jobs that found nothing to the next one, at least."""
REST_PER_JOB = 0.05


class Pruner:
    """Sweeps over the jobs in turn; each sweep goes on where the one before stopped."""

    def __init__(self, plan: Plan, store: Store, clock: Clock) -> None:
        self._plan = plan
        self._store = store
        self._clock = clock
        self._turn: list[str] = []
        self._rest = REST
        self._rest_until = 0.0
        self._found = 0
        self._positions: dict[str, int] = {}
        self._unknown: dict[str, Retention] = {}
        """Of jobs that the plan lacks, what it says where they were last declared."""

    def apply(self, plan: Plan) -> None:
        """Keep what another plan says, from the next round on."""
        self._plan = plan
        self._unknown = {}
        self._rest_until = 0.0

    async def sweep(self) -> int:
        """Prune for a while; gives how many runs were deleted."""
        if not self._turn:
            if self._clock.monotonic() < self._rest_until:
                return 0
            await self._begin_round()
        deleted = 0
        for _ in range(STEPS):
            if not self._turn:
                break
            deleted += await self._step(self._turn[-1])
        self._found += deleted
        if not self._turn and not self._found:
            self._rest_until = self._clock.monotonic() + self._rest
        return deleted

    async def _begin_round(self) -> None:
        await self._store.submit(pruning.prune_instances, self._clock.now() - KEEP_INSTANCES)
        names = await self._store.read_soon(queries.jobs_with_runs)
        # The runs of a workflow's steps, whose jobs are named `flow/step`, go with the workflow's.
        self._turn = sorted((name for name in names if "/" not in name), reverse=True)
        if unknown := [name for name in self._turn if name not in self._plan.jobs and name not in self._unknown]:
            known = await self._store.read_soon(last_known, unknown)
            found = {name: known[name].jobs[name].retention for name in known}
            self._unknown |= dict.fromkeys(unknown, Retention()) | found
        self._rest = max(REST, REST_PER_JOB * len(self._turn))
        self._found = 0

    async def _step(self, name: str) -> int:
        """One look at one job; when nothing more is to go there, it is the next job's turn."""
        job = self._plan.jobs.get(name)
        rule = self._rule(job.retention if job is not None else self._unknown.get(name, Retention()))
        position = self._positions.get(name, 0)
        pruned = await self._store.submit(pruning.prune, name, rule, position, LOOK_AT)
        if pruned.files:
            await asyncio.to_thread(result_files.delete, self._store.database.results, pruned.files)
        if pruned.position is None:
            self._positions.pop(name, None)
            self._turn.pop()
        else:
            self._positions[name] = pruned.position
        return pruned.deleted

    def _rule(self, retention: Retention) -> Rule:
        now = self._clock.now()
        return Rule(
            count=max(1, retention.count),
            before=now - retention.age,
            failed_before=now - retention.failed_age,
            served_after=now - KEEP_FIRES,
            now=now,
        )
