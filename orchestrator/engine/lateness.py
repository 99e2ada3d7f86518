"""Which jobs are late by what they promise? Looks every few seconds, and fires their hooks once for each breach."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from orchestrator.core.clock import Clock
from orchestrator.core.hooks import HookKind, RunEvent
from orchestrator.core.plan import Plan
from orchestrator.core.units import format_duration
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.hooks import Hooks
from orchestrator.store.lateness import Breach, Check, Lateness, keep_vigils, raise_late
from orchestrator.store.reactions import Response
from orchestrator.store.store import Store

SETTLING = timedelta(minutes=10)
"""An engine that has just started says nothing of missing successes: what was missed is being caught up."""
_WORDS = {
    Lateness.START: "it has not started within {} of when it was due (start_within)",
    Lateness.FINISH: "it has not finished within {} of when it was due (finish_within)",
    Lateness.SUCCESS: "it has not succeeded for {} (success_every)",
}


class Watch:
    """Looks for what is late by a plan; without an `sla` in it, this costs nothing."""

    def __init__(self, plan: Plan, hooks: Hooks, store: Store, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._began = clock.now()
        self.apply(plan, hooks)

    def apply(self, plan: Plan, hooks: Hooks) -> None:
        """Watch by another plan."""
        self._plan = plan
        self._hooks = hooks
        self._checks = _checks(plan)
        self._vigils = [job for check in self._checks if check.kind is Lateness.SUCCESS for job in check.jobs]
        self._changed = True

    async def look(self) -> bool:
        """Raise what is late; gives whether there is something to do about it."""
        now = self._clock.now()
        if self._changed or self._vigils:
            # Another engine, with another plan, may have ended what this one watches.
            await self._store.submit(keep_vigils, self._vigils, now, only=self._changed)
            self._changed = False
        checks = [check for check in self._checks if not self._is_early(check, now)]
        if not checks:
            return False
        raised = await self._store.submit(raise_late, checks, now, lambda breach: self._response(breach, now))
        for breach in raised:
            self._tell(breach, now)
        return bool(raised)

    def _is_early(self, check: Check, now: datetime) -> bool:
        return check.kind is Lateness.SUCCESS and now - self._began < min(check.limit, SETTLING)

    def _response(self, breach: Breach, now: datetime) -> Response:
        event = RunEvent(
            kind=HookKind.LATE,
            job=breach.job,
            at=now.isoformat(),
            run_id=breach.run_id or None,
            reason=_reason(breach),
            fire_time=breach.fire_time.isoformat() if breach.fire_time else None,
        )
        return self._hooks.respond(self._plan.jobs[breach.job], event, now)

    def _tell(self, breach: Breach, now: datetime) -> None:
        run = {"run_id": breach.run_id} if breach.run_id else {}
        fields = {"job": breach.job, **run, "reason": _reason(breach)}
        self._emit(Event(name="job.late", at=now, level="warning", fields=fields))


def _reason(breach: Breach) -> str:
    return _WORDS[breach.kind].format(format_duration(breach.limit))


def _checks(plan: Plan) -> list[Check]:
    """Jobs that have the same limit are looked for together."""
    alike: defaultdict[tuple[Lateness, timedelta], list[str]] = defaultdict(list)
    for job in plan.jobs.values():
        limits = (job.sla.start_within, job.sla.finish_within, job.sla.success_every)
        for kind, limit in zip(Lateness, limits, strict=True):
            if limit is not None and job.enabled:
                alike[kind, limit].append(job.name)
    return [Check(kind=kind, limit=limit, jobs=tuple(jobs)) for (kind, limit), jobs in alike.items()]
