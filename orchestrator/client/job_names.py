"""Which job is meant? A name that no job has is refused, with those that come close."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.errors import RequestError
from orchestrator.core.plan import Job, Plan


def named_job(plan: Plan, name: str) -> Job:
    """The job of that name. Raises `RequestError`."""
    declared = {job.name: job for job in plan.declared}
    if name in plan.jobs and plan.jobs[name].flow:
        flow, _, step = name.partition("/")
        raise RequestError(f"{name!r} is no job of its own: {step} is a step of {flow}", f"name the job: {flow}")
    if name not in plan.jobs:
        raise unknown_job(name, declared, f"in {plan.path}")
    return plan.jobs[name]


def usable_job(plan: Plan, name: str) -> Job:
    """The job of that name, if it can run. Raises `RequestError`."""
    job = named_job(plan, name)
    if job.unusable is not None:
        raise RequestError(f"{name} can't run: {job.unusable}", "`orchestrator validate` says more")
    return job


def unknown_job(name: str, names: Iterable[str], where: str) -> RequestError:
    """The refusal of a name, with the names that come close."""
    import difflib

    close = difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "`orchestrator jobs` lists them"
    return RequestError(f"there is no job {name!r} {where}", hint)
