"""From the `steps` of a job to a workflow: a hidden job for each step, which has all its policies, and the steps with
what they wait for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from orchestrator.config.circles import circles
from orchestrator.config.flow_needs import check_needs
from orchestrator.config.flow_templates import StepTemplates
from orchestrator.config.model_job import JobShape
from orchestrator.config.model_step import StepShape
from orchestrator.config.policies import Merge
from orchestrator.config.relations import Relations
from orchestrator.config.rendering import Rendering, plain
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry, check_name
from orchestrator.core.flows import OnFailure, Step, StepKind
from orchestrator.core.plan import Job
from orchestrator.core.policies import Isolation

_EVERY = timedelta(seconds=30)
"""How long a `wait_for` step waits between two looks, if it doesn't say."""


class Flows:
    """Builds workflows; what isn't sound is reported."""

    def __init__(self, relations: Relations, merge: Merge, rendering: Rendering, report: Report) -> None:
        self._relations = relations
        self._merge = merge
        self._rendering = rendering
        self._report = report
        self._sub_jobs: dict[tuple[str, str], Entry[StepShape]] = {}

    def build(self, entry: Entry[JobShape], job: Job) -> tuple[Job, dict[str, tuple[Job, Entry[StepShape]]]]:
        """The job with its steps, and the hidden jobs, each with the place of its step."""
        entries = self._entries(entry)
        needed = check_needs(entries, self._report)
        templates = StepTemplates(job, entries, needed, self._rendering, self._report)
        made = {}
        steps = []
        for step in entries.values():
            hidden = self._hidden(entry, job, step)
            found = templates.check(step, self._step(entry, hidden.name, step), hidden.params)
            steps.append(found)
            made[hidden.name] = (msgspec.structs.replace(hidden, step=found), step)
            if step.value.kind is StepKind.JOB and self._relations.sub_job(step.value.job, step.at("job")):
                self._sub_jobs.setdefault((entry.name, step.value.job), step)
        return msgspec.structs.replace(job, steps=tuple(steps)), made

    def check_circles(self) -> None:
        """Report workflows that run each other without end."""
        edges: dict[str, list[str]] = {}
        for flow, sub_job in self._sub_jobs:
            edges.setdefault(flow, []).append(sub_job)
        for circle in circles(edges):
            message = f"these jobs run each other in a circle: {' runs '.join([*circle, circle[0]])}"
            place = self._sub_jobs[circle[0], circle[1 % len(circle)]].at("job")
            self._report.error("job-circle", message, place, "one of them has to end without running another")

    def _entries(self, job: Entry[JobShape]) -> dict[str, Entry[StepShape]]:
        found: dict[str, Entry[StepShape]] = {}
        for key, shapes in (("steps", job.value.steps), ("finally", job.value.finals)):
            for name, shape in (shapes or {}).items():
                entry = Entry(name, job.source, (*job.path, key, name), shape)
                check_name("step", entry, self._report)
                if found.setdefault(name, entry) is not entry:
                    message = f"step `{name}` is there twice: also at {found[name].key()}"
                    self._report.error("duplicate-name", message, entry.key(), "rename one of them")
        return found

    def _hidden(self, entry: Entry[JobShape], job: Job, step: Entry[StepShape]) -> Job:
        shape = step.value
        policies = self._merge.step_policies(step, entry)
        for key in ("call", "wait_for"):
            if key in shape.model_fields_set and not getattr(shape, key).strip():
                self._report.error("no-value", f"step `{step.name}` has an empty `{key}`", step.at(key))
        self._relations.check_queue(step)
        if shape.kind is not StepKind.CALL:
            policies |= {"deadline": shape.timeout if "timeout" in shape.model_fields_set else None}
            policies["timeout"] = _shorter(job.timeout, policies["deadline"])
        return Job(
            name=f"{entry.name}/{step.name}",
            call=shape.call or shape.wait_for or "",
            params=plain(shape.params or {}),
            description=shape.description or "",
            timezone=job.timezone,
            flow=entry.name,
            **policies,
        )

    def _step(self, flow: Entry[JobShape], hidden: str, step: Entry[StepShape]) -> Step:
        shape = step.value
        pause = shape.sleep if shape.kind is StepKind.SLEEP else shape.every or _EVERY
        return Step(
            name=step.name,
            job=hidden,
            kind=shape.kind,
            needs=tuple(dict.fromkeys(shape.needs or ())),
            needs_any=tuple(dict.fromkeys(shape.needs_any or ())),
            on_failure=shape.on_failure or OnFailure.FAIL,
            is_final=step.name in (flow.value.finals or {}),
            when=plain(shape.when) if "when" in shape.model_fields_set else None,
            foreach=plain(shape.foreach if "foreach" in shape.model_fields_set else shape.matrix),
            is_matrix="matrix" in shape.model_fields_set,
            max_parallel=shape.max_parallel,
            sub_job=shape.job or "",
            pause=pause if shape.kind in (StepKind.SLEEP, StepKind.WAIT_FOR) else timedelta(0),
            message=shape.approve or "",
        )


def _shorter(timeout: timedelta | None, limit: timedelta | None) -> timedelta | None:
    given = [one for one in (timeout, limit) if one is not None]
    return min(given, default=None)


def settle_isolation(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """What no worker executes goes where its workflow's first callable goes: no kind of worker is started for it."""
    settled = dict(jobs)
    for flow in jobs.values():
        if not flow.steps:
            continue
        hidden = [jobs[step.job] for step in flow.steps if step.job in jobs]
        place = next((job.isolation for job in hidden if job.call), Isolation.PROCESS)
        for job in (flow, *(job for job in hidden if not job.call)):
            settled[job.name] = msgspec.structs.replace(job, isolation=place)
    return settled


def unusable_flows(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """A workflow can't run while one of its steps can't."""
    settled = dict(jobs)
    for flow in jobs.values():
        for step in flow.steps:
            reason = jobs[step.job].unusable if step.job in jobs else None
            if reason is not None:
                settled[flow.name] = msgspec.structs.replace(flow, unusable=f"step `{step.name}`: {reason}")
                break
    return settled


def check_sub_params(jobs: Mapping[str, Job], entries: Mapping[str, Entry[Any]], report: Report) -> None:
    """What a step gives to another workflow, that one must have declared."""
    for job in jobs.values():
        target = jobs.get(job.step.sub_job) if job.step is not None else None
        if target is None or not target.steps or job.name not in entries:
            continue
        for name in job.params:
            if name not in target.params:
                known = ", ".join(target.params) or "none"
                message = f"the workflow `{target.name}` has no parameter `{name}`"
                report.error("unknown-param", message, entries[job.name].key("params", name), f"it has: {known}")
