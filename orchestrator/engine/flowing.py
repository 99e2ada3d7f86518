"""How a workflow begins: its steps as the plan has them at that moment, and the runs that will follow its end."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from orchestrator.core.flows import Step, StepKind, items_of
from orchestrator.core.json_values import holds_template
from orchestrator.core.plan import Job, Plan
from orchestrator.core.runs import Cause
from orchestrator.engine.newruns import new_run
from orchestrator.store.creation import NewRun
from orchestrator.store.flow_rows import NewFlow, NewStep, Templates
from orchestrator.store.flow_rules import CONDITION_REASON


def new_flow(plan: Plan, flow: Job, now: datetime) -> NewFlow:
    """The workflow as it begins now; it goes on as it began, whatever becomes of the plan."""
    return NewFlow(steps=tuple(_new_step(plan, step, now) for step in flow.steps))


def with_former_steps(plan: Plan, former: Plan) -> Plan:
    """The plan, and the steps that it has no more: workflows that began by the former one may still come to them."""
    gone = {name: job for name, job in former.jobs.items() if job.step is not None and name not in plan.jobs}
    return msgspec.structs.replace(plan, jobs={**plan.jobs, **gone}) if gone else plan


def needs_no_worker(job: Job) -> bool:
    """Whether a claimed run of the job is for the engine itself: a workflow to begin, or a step that has slept."""
    return bool(job.steps) or (job.step is not None and job.step.kind is StepKind.SLEEP)


def is_workerless(job: Job) -> bool:
    """Whether no run of the job is ever for a worker: that of a step that is prepared is."""
    return needs_no_worker(job) and not (job.step is not None and job.step.prepares)


def _new_step(plan: Plan, step: Step, now: datetime) -> NewStep:
    hidden = plan.jobs[step.job]
    known = step.foreach is not None and not holds_template(step.foreach)
    return NewStep(
        step=step,
        templates=Templates(
            run=_run_of(plan, step, hidden, now),
            prepare=_preparation(hidden, now) if step.prepares else None,
            key=plan.jobs[step.sub_job].group_by if step.kind is StepKind.JOB else None,
        ),
        items=items_of(step.foreach, is_matrix=step.is_matrix) if known else None,
        skip_reason=CONDITION_REASON if step.when is False else None,
    )


def _run_of(plan: Plan, step: Step, hidden: Job, now: datetime) -> NewRun:
    match step.kind:
        case StepKind.APPROVE:
            return msgspec.structs.replace(new_run(hidden, Cause.STEP, now), waits=True)
        case StepKind.SLEEP:
            return new_run(hidden, Cause.STEP, now, delay=step.pause)
        case StepKind.JOB:
            given = None if holds_template(hidden.params) else hidden.params
            run = new_run(plan.jobs[step.sub_job], Cause.STEP, now, params=given)
            return msgspec.structs.replace(run, deadline_at=_earlier(run.deadline_at, hidden.deadline, now))
    return new_run(hidden, Cause.STEP, now)


def _preparation(hidden: Job, now: datetime) -> NewRun:
    return msgspec.structs.replace(new_run(hidden, Cause.STEP, now), deadline_at=None, waits=False)


def _earlier(deadline_at: datetime | None, limit: timedelta | None, now: datetime) -> datetime | None:
    given = [at for at in (deadline_at, now + limit if limit is not None else None) if at is not None]
    return min(given, default=None)
