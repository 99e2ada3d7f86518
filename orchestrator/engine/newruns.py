"""How a job's declaration becomes a run to create: by a fire, by another job's end, at start, or by a person."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import msgspec

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.hooks import DELIVERY
from orchestrator.core.json_values import DEEPEST, TEMPLATE_KEY, holds_template, is_too_deep
from orchestrator.core.keys import group_key, key_of_all, make_key, shortened
from orchestrator.core.plan import Job, Plan
from orchestrator.core.policies import KEY_UNIQUE, Overlap
from orchestrator.core.runs import Cause, RunState
from orchestrator.core.triggers import On
from orchestrator.store.creation import NewRun


class ParamsError(OrchestratorError):
    """Parameters asked for with a run, which no worker could be given."""

    exit_code = 2


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What whoever asks for a run may want otherwise than its job says."""

    due_at: datetime | None = None
    priority: int | None = None
    expires_in: timedelta | None = None
    key: str | None = None
    """What a duplicate is told by, instead of the job's `unique.by`."""


AS_DECLARED = Asked()


def new_run(
    job: Job,
    cause: Cause,
    now: datetime,
    *,
    fire_time: datetime | None = None,
    delay: timedelta = timedelta(0),
    params: dict[str, Any] | None = None,
    skip_reason: str | None = None,
    asked: Asked = AS_DECLARED,
) -> NewRun:
    """A run of `job`, due when `asked`, else at its fire time or now, plus `delay`. Given `params` replace the job's
    own, key by key.

    Raises `ParamsError` for `params` that can't be sent to a worker, or that would be a template there.
    """
    if params:
        _check(params)
    due_at = (asked.due_at or fire_time or now) + delay
    # Where messages go may hold passwords: that is looked up when they are sent, and not copied to every run.
    own = {} if job.name.startswith(DELIVERY) else job.params
    merged = {**own, **params} if params else own
    expires_in = job.expires_in if asked.expires_in is None else asked.expires_in
    return NewRun(
        job=job.name,
        cause=cause,
        created_at=now,
        due_at=due_at,
        queue=job.queue,
        isolation=job.isolation,
        priority=job.priority if asked.priority is None else asked.priority,
        fire_time=fire_time,
        params=merged or None,
        deadline_at=None if job.deadline is None else max(due_at, now) + job.deadline,
        # Only what a schedule asks for can collide; what a person or a catch-up asks for waits its turn.
        overlap=job.overlap if cause in (Cause.FIRE, Cause.AFTER, Cause.START) else Overlap.ALLOW,
        skip_reason=skip_reason or job.unusable,
        gathered=job.batch is not None,
        order=job.order,
        aging=job.aging,
        group_key=None if job.group_by is None else key_of(job, merged),
        expires_at=None if expires_in is None else max(due_at, now) + expires_in,
        # A step of a workflow is nobody's duplicate: its workflow waits for it.
        **({} if cause is Cause.STEP else _uniqueness(job, merged, asked.key, now)),
    )


def _uniqueness(job: Job, params: dict[str, Any], key: str | None, now: datetime) -> dict[str, Any]:
    """What another run would be its duplicate by, and for how long."""
    policy = job.unique or (KEY_UNIQUE if key is not None else None)
    if policy is None:
        return {}
    if key is None:
        key = key_of_all(params) if policy.by is None else make_key(policy.by, params)
    return {
        "unique_key": None if key is None else shortened(key),
        "unique_until": None if policy.window is None else now + policy.window,
        "on_conflict": policy.on_conflict,
    }


def key_of(job: Job | None, params: dict[str, Any] | None) -> str:
    """What a run of a queue with limits for each key shares them by."""
    return group_key(None if job is None else job.group_by, params)


def _check(params: dict[str, Any]) -> None:
    """What is refused here would otherwise be found by an engine, again and again, when it hands the run over."""
    if is_too_deep(params):
        raise ParamsError(f"the parameters can't be sent to a worker: they are nested deeper than {DEEPEST} levels")
    try:
        msgspec.msgpack.encode(params)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParamsError(f"the parameters can't be sent to a worker: {error}") from None
    # Templates may read secrets: whoever may trigger a job may not, therefore, bring templates of their own.
    if holds_template(params):
        raise ParamsError(f"the key {TEMPLATE_KEY!r} is reserved: only jobs.yaml may hold templates")


def random_delay(most: timedelta) -> timedelta:
    """A pause drawn evenly from none to `most`: spreads load, so it needs no good randomness."""
    return most * random.random() if most else most  # noqa: S311


class Followers:
    """Which jobs run after which: an index of every `after` trigger of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._by_parent: defaultdict[str, list[tuple[On, Job]]] = defaultdict(list)
        for job in plan.jobs.values():
            if job.enabled:
                for trigger in job.after:
                    self._by_parent[trigger.job].append((trigger.on, job))

    def of(self, job: str, state: RunState, now: datetime) -> tuple[NewRun, ...]:
        """The runs that follow when a run of `job` ends in `state`."""
        if job not in self._by_parent:
            return ()
        wanted = {On.END, _END_OF.get(state)}
        return tuple(new_run(child, Cause.AFTER, now) for on, child in self._by_parent[job] if on in wanted)


_END_OF = {RunState.SUCCEEDED: On.SUCCESS, RunState.FAILED: On.FAILURE}
