"""From the checked shapes of jobs, queues and resources to the plan's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from orchestrator.config.flow_rendering import rendered_steps
from orchestrator.config.flows import Flows, check_sub_params, settle_isolation
from orchestrator.config.hooks import HookReader
from orchestrator.config.model_file import FileShape, ResourceShape
from orchestrator.config.model_hooks import HOOKS, NotifierShape
from orchestrator.config.model_job import JobShape
from orchestrator.config.model_policies import Policies
from orchestrator.config.model_queue import QueueShape, to_queue
from orchestrator.config.notifying import check_installed, check_urls, delivery_of, notifier_of
from orchestrator.config.policies import Merge
from orchestrator.config.queue_facts import with_queue
from orchestrator.config.relations import Relations
from orchestrator.config.rendering import Rendering, Use, plain
from orchestrator.config.report import Report
from orchestrator.config.schedules import Schedules
from orchestrator.config.sections import Entry, Sections
from orchestrator.config.shape import check, sound_part
from orchestrator.config.shapes import Shape
from orchestrator.config.source import BROKEN, Block, Source
from orchestrator.core.errors import TriggerError
from orchestrator.core.hooks import Notifier
from orchestrator.core.plan import DEFAULT_QUEUE, Job, Queue, Resource
from orchestrator.core.policies import Batching
from orchestrator.triggers.zones import zone

S = TypeVar("S", bound=Shape)
_USES = {"params": Use.PARAMS, "unique": Use.KEY, **dict.fromkeys(HOOKS, Use.HOOK)}


class Planner:
    """Builds what the plan holds; what isn't sound is reported and left out."""

    def __init__(
        self, main: Source, sections: Sections, rendering: Rendering, settings: FileShape | None, report: Report
    ) -> None:
        self.resource_entries: dict[str, Entry[ResourceShape]] = {}
        self.step_entries: dict[str, Entry[Any]] = {}
        """Where the steps that became hidden jobs are written, as written."""
        self.timezone = _timezone(main, settings, report)
        self.defaults = settings.defaults if settings and "defaults" in settings.model_fields_set else Policies()
        self._main = main
        self._sections = sections
        self._rendering = rendering
        self._report = report
        self._queues: dict[str, Queue] = {}
        policies = Entry("defaults", main, ("defaults",), self.defaults)
        self.hooks = HookReader(policies, sections.jobs, sections.notifiers, report)

    def queues(self) -> dict[str, Queue]:
        """The queues; `default` is always among them."""
        made = {DEFAULT_QUEUE: Queue(name=DEFAULT_QUEUE)}
        for entry in self._sections.queues.values():
            shape = self._shape(QueueShape, entry, {"rate_limit_by": Use.KEY, "per_key": Use.KEY})
            if shape is not None:
                made[entry.name] = to_queue(entry.name, shape)
        self._queues = made
        return made

    def resources(self) -> dict[str, Resource]:
        """The resources."""
        made = {}
        for entry in self._sections.resources.values():
            shape = self._shape(ResourceShape, entry, {"with": Use.OPTIONS})
            if shape is not None:
                self.resource_entries[entry.name] = entry.holding(shape)
                options = plain(shape.options or {})
                made[entry.name] = Resource(name=entry.name, use=shape.use, options=options, close=shape.close)
        return made

    def notifiers(self) -> tuple[dict[str, Notifier], dict[str, Job]]:
        """The notifiers, and the hidden jobs that deliver for them."""
        made, deliveries = {}, {}
        entries = self._sections.notifiers
        installed = not entries or check_installed(next(iter(entries.values())), self._report)
        uses = {"urls": Use.OPTIONS, "subject": Use.MESSAGE, "body": Use.MESSAGE}
        for entry in entries.values():
            shape = self._shape(NotifierShape, entry, uses)
            if shape is not None and installed:
                whole = entry.holding(shape)
                check_urls(whole, self._report)
                made[entry.name] = notifier_of(whole)
                deliveries[made[entry.name].delivery] = delivery_of(whole, made[entry.name])
        return made, deliveries

    def jobs(self, now: datetime) -> dict[str, Job]:
        """The jobs, with defaults merged and schedules checked; those of workflows' steps are among them."""
        relations = Relations(self._sections.jobs, self._sections.queues, self._report)
        if "queue" in self.defaults.model_fields_set:
            relations.check_default_queue(Entry("defaults", self._main, ("defaults",), None), self.defaults.queue)
        schedules = Schedules(self.timezone, now, self._report)
        merge = Merge(self.defaults, self._main, self._report)
        flows = Flows(relations, merge, self._rendering, self._report)
        made: dict[str, Job] = {}
        for name, entry in self._sections.jobs.items():
            shape = self._shape(JobShape, entry, _USES)
            if shape is not None:
                job = self._job(entry.holding(shape), relations, schedules, merge)
                made[name] = job if not shape.steps else self._flow(flows, entry, shape, job, made)
        relations.check_circles({name: job.after for name, job in made.items()}, _hook_jobs(made))
        flows.check_circles()
        check_sub_params(made, self.step_entries, self._report)
        return settle_isolation(made)

    def _flow(self, flows: Flows, entry: Entry[Any], shape: JobShape, job: Job, made: dict[str, Job]) -> Job:
        flow, steps = flows.build(entry.holding(shape), job)
        made[flow.name] = flow
        for name, (hidden, step) in steps.items():
            made[name] = with_queue(hidden, self._queues.get(hidden.queue), step, self._report)
            self.step_entries[name] = step.holding(entry.value[step.path[-2]][step.name])
        return flow

    def _job(self, entry: Entry[JobShape], relations: Relations, schedules: Schedules, merge: Merge) -> Job:
        shape = entry.value
        if shape.call is not None and not shape.call.strip():
            self._report.error("no-value", f"job `{entry.name}` has an empty `call`", entry.at("call"))
        relations.check_queue(entry)
        timezone = schedules.timezone(entry)
        triggers = schedules.triggers(entry, timezone)
        job = Job(
            name=entry.name,
            call=shape.call or "",
            params=plain(shape.params or {}),
            description=shape.description or "",
            triggers=triggers,
            after=relations.afters(entry),
            on_start=bool(shape.on_start),
            timezone=timezone,
            batch=_batching(shape),
            enabled="enabled" not in shape.model_fields_set or shape.enabled,
            hooks=self.hooks.read(entry),
            **merge.policies(entry, scheduled=bool(triggers)),
        )
        return with_queue(job, self._queues.get(job.queue), entry, self._report)

    def _shape(self, kind: type[S], entry: Entry[Any], uses: dict[str, Use]) -> S | None:
        value = entry.value
        if isinstance(value, Block):
            rendered = {
                key: rendered_steps(self._rendering, inner, entry.source, (*entry.path, key))
                if kind is JobShape and key in ("steps", "finally")
                else self._rendering.value(inner, entry.source, (*entry.path, key), uses.get(key, Use.SETTING))
                for key, inner in value.items()
            }
        elif value is BROKEN:
            return None
        else:
            rendered = {} if value is None else value
        return check(kind, rendered, entry.source, entry.path, self._report) or sound_part(kind, rendered)


def _batching(shape: JobShape) -> Batching | None:
    if "batch" not in shape.model_fields_set:
        return None
    return Batching(**{name: getattr(shape.batch, name) for name in shape.batch.model_fields_set})


def _hook_jobs(jobs: dict[str, Job]) -> dict[str, set[str]]:
    """The jobs that are run as hooks of each job."""
    return {
        name: {hook.job for hooks in job.hooks.values() for hook in hooks if hook.job is not None}
        for name, job in jobs.items()
        if job.hooks
    }


def _timezone(main: Source, settings: FileShape | None, report: Report) -> str:
    if settings is None or "timezone" not in settings.model_fields_set:
        return "UTC"
    try:
        zone(settings.timezone)
    except TriggerError as error:
        report.error("bad-timezone", str(error), main.value(("timezone",)), error.hint)
        return "UTC"
    return settings.timezone
