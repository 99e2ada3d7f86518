"""What does a job want done when a run of it ends? Its hooks as runs and notices, ready for the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from orchestrator.core.hooks import DELIVERY, EVENT, Hook, HookKind, RunEvent
from orchestrator.core.plan import Job, Plan
from orchestrator.core.runs import Cause, RunState
from orchestrator.engine.newruns import new_run
from orchestrator.engine.verdict import Held
from orchestrator.executors.contract import Ended
from orchestrator.store.claims import Overdue
from orchestrator.store.creation import NewRun
from orchestrator.store.endings import Ending
from orchestrator.store.notices import Channel, NewNotice, delivery_params
from orchestrator.store.reactions import Reaction, Response


class Hooks:
    """The hooks of a plan's jobs. Runs that hooks created fire none themselves: nothing goes round in circles."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._concerned = {job.name: job for job in plan.jobs.values() if job.hooks or job.sla != _NO_SLA}

    def at_end(self, held: Held, ended: Ended, ending: Ending, now: datetime) -> Reaction | None:
        """What is to be done when an attempt ends so; None for nearly every job."""
        job = self._concerned.get(held.job.name)
        if job is None or held.run.cause is Cause.HOOK:
            return None
        kinds = _kinds(held, ending)
        return self._reaction(job, kinds, lambda kind: _run_event(kind, held, ended, ending), held.run.cause, now)

    def at_flow_end(self, held: Held, state: RunState, now: datetime) -> Reaction | None:
        """What is to be done when a workflow that begins now will have ended so; when and why is filled in then."""
        job = self._concerned.get(held.job.name)
        if job is None or held.run.cause is Cause.HOOK:
            return None
        kinds = {RunState.SUCCEEDED: (HookKind.SUCCESS,), RunState.FAILED: (HookKind.FAILURE, HookKind.DEAD)}

        def event(kind: HookKind) -> RunEvent:
            return RunEvent(
                kind=kind,
                job=held.job.name,
                at=_text(now) or "",
                run_id=held.run.id,
                attempt=1,
                state=state.value,
                fire_time=_text(held.run.fire_time),
                started_at=_text(now),
            )

        return self._reaction(job, kinds.get(state, ()), event, held.run.cause, now)

    def at_deadline(self, run: Overdue, reason: str, now: datetime) -> Reaction | None:
        """What is to be done when a run fails that never started."""
        job = self._concerned.get(run.job)
        if job is None or run.cause is Cause.HOOK:
            return None

        def event(kind: HookKind) -> RunEvent:
            state = RunState.FAILED.value
            return RunEvent(
                kind=kind,
                job=run.job,
                at=_text(now) or "",
                run_id=run.id,
                state=state,
                reason=reason,
                fire_time=_text(run.fire_time),
            )

        return self._reaction(job, (HookKind.FAILURE,), event, run.cause, now)

    def respond(self, job: Job, event: RunEvent, now: datetime) -> Response:
        """What is to be done about one event."""
        hooks = job.hooks.get(HookKind(event.kind), ())
        return Response(
            runs=tuple(self._runs(hooks, event, now)),
            notices=tuple(
                NewNotice(channel=self._channel(hook.notify, now), event=event)
                for hook in hooks
                if hook.notify is not None and hook.notify in self._plan.notifiers
            ),
        )

    def _reaction(self, job: Job, kinds: Iterable[HookKind], event: Any, cause: Cause, now: datetime) -> Reaction:
        responses = [self.respond(job, event(kind), now) for kind in kinds if kind in job.hooks]
        recovers = HookKind.RECOVERY in job.hooks
        succeeded = HookKind.SUCCESS in kinds
        return Reaction(
            job=job.name,
            now=Response(
                runs=tuple(run for response in responses for run in response.runs),
                notices=tuple(notice for response in responses for notice in response.notices),
            ),
            recovered=self.respond(job, event(HookKind.RECOVERY), now) if recovers and succeeded else Response(),
            tracked=recovers or job.sla != _NO_SLA,
            watched=job.sla.success_every is not None and cause is not Cause.BACKFILL,
        )

    def _runs(self, hooks: Sequence[Hook], event: RunEvent, now: datetime) -> Iterable[NewRun]:
        for hook in hooks:
            target = self._plan.jobs.get(hook.job) if hook.job is not None else None
            if target is not None and target.enabled:
                told = {**target.params, **hook.params, EVENT: msgspec.to_builtins(event)}
                yield new_run(msgspec.structs.replace(target, params=told), Cause.HOOK, now)

    def _channel(self, name: str, now: datetime) -> Channel:
        notifier = self._plan.notifiers[name]
        run = new_run(self._plan.jobs[notifier.delivery], Cause.HOOK, now)
        return Channel(notifier=notifier, delivery=msgspec.structs.replace(run, params=delivery_params(notifier)))


_NO_SLA = Job(name="", call="").sla


def merged_for_delivery(job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a run that is handed over. Where a message goes is looked up at the last moment: a delivery
    that failed for a wrong address is mended by mending the address."""
    return {**job.params, **params} if job.name.startswith(DELIVERY) else params


def _kinds(held: Held, ending: Ending) -> tuple[HookKind, ...]:
    match ending.state:
        case RunState.SUCCEEDED:
            return (HookKind.SUCCESS,)
        case RunState.SCHEDULED:
            return (HookKind.RETRY,)
        case RunState.FAILED if held.number >= held.job.retry.max_attempts:
            return (HookKind.FAILURE, HookKind.DEAD)
        case RunState.FAILED:
            return (HookKind.FAILURE,)
    return ()


def _run_event(kind: HookKind, held: Held, ended: Ended, ending: Ending) -> RunEvent:
    error, started_at = ended.error, ended.started_at
    return RunEvent(
        kind=kind,
        job=held.job.name,
        at=_text(ended.finished_at) or "",
        run_id=held.run.id,
        attempt=held.number,
        state=ending.state.value,
        reason=ending.reason,
        error_type=error.type if error else None,
        error_message=error.message if error else None,
        fire_time=_text(held.run.fire_time),
        started_at=_text(started_at),
        finished_at=_text(ended.finished_at),
        duration=(ended.finished_at - started_at).total_seconds() if started_at else None,
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
