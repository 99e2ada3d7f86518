"""Is this `jobs.yaml` right, and what does it say? The whole way from a path to a checked `Plan`."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.config.diagnostics import Diagnostic
from orchestrator.config.flows import settle_isolation, unusable_flows
from orchestrator.config.including import included
from orchestrator.config.inspecting import Verdicts, inspect
from orchestrator.config.model_file import FileShape, WorkersShape
from orchestrator.config.model_hooks import HOOKS
from orchestrator.config.planning import Planner
from orchestrator.config.plugin_sources import plugin_sources
from orchestrator.config.reading import read_source
from orchestrator.config.rendering import Rendering, Use, plain
from orchestrator.config.report import Report
from orchestrator.config.sections import Sections, settings
from orchestrator.config.shape import check
from orchestrator.config.source import Block, Source
from orchestrator.config.variables import declare_secrets, settle_variables
from orchestrator.core.catalogue import Inspection, Inspector, PluginProblem
from orchestrator.core.plan import Job, Plan, PluginSources, Workers


@dataclass(frozen=True)
class Loaded:
    """What became of a configuration. `plan` is there when there are no errors, or when the only ones are plugins that
    can't be used: then the jobs that need them are marked `unusable`."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    inspection: Inspection | None = None

    @property
    def ok(self) -> bool:
        """No errors at all; there may be warnings."""
        return not any(d.severity == "error" for d in self.diagnostics)

    @property
    def usable(self) -> bool:
        """There is a plan to run, if perhaps without some of its jobs."""
        return self.plan is not None


def load(path: Path, *, environ: Mapping[str, str], inspector: Inspector | None, now: datetime) -> Loaded:
    """Read and check a configuration; whatever is wrong with it is among the diagnostics, and nothing is raised.

    `inspector` reads the plugins; without one neither callables nor parameters are checked. `now` decides which
    schedules are over.
    """
    report = Report()
    with _paused_garbage_collector():
        main = read_source(Path(os.path.abspath(path)), report)  # noqa: PTH100 - resolving would follow links
        if main is None:
            return Loaded(None, report.result())
        return _Loading(main, environ, report).finish(inspector, now)


class _Loading:
    """The steps, in order."""

    def __init__(self, main: Source, environ: Mapping[str, str], report: Report) -> None:
        self.main, self.report = main, report
        self.rendering = Rendering(environ, report)
        self.include = self._early("include")
        self.plugins = self._early("plugins")
        self.fragments, self.files = included(main, self.include, report)
        self.sections = Sections()
        for source in (main, *self.fragments):
            self.sections.gather(source, report)
        self.secrets = declare_secrets(main, self.rendering, report, environ)
        settle_variables(self.sections.vars, self.rendering, report)
        self.settings = self._settings()
        sources = plugin_sources(main, self.plugins, report)
        self.sources = msgspec.structs.replace(sources, import_timeout=self._workers().import_timeout)

    def finish(self, inspector: Inspector | None, now: datetime) -> Loaded:
        planner = Planner(self.main, self.sections, self.rendering, self.settings, self.report)
        queues, resources, jobs = planner.queues(), planner.resources(), planner.jobs(now)
        notifiers, deliveries = planner.notifiers()
        if not self.sections.jobs and "jobs" not in self.main.tree and not self.report.errors:
            self.report.warning("no-jobs", "there are no jobs", self.main.key(()), "add them under `jobs`")
        inspection, forgiven = None, 0
        if inspector is not None:
            hooks = [check for check, _ in planner.hooks.checks(jobs)]
            inspection = inspect(inspector, self.sources, jobs, resources, hooks, self.main, self.report)
        if inspection is not None:
            jobs, forgiven = self._inspected(planner, jobs, inspection)
        if self.report.errors > forgiven or self.settings is None:
            return Loaded(None, self.report.result(), inspection)
        plan = Plan(
            path=str(self.main.file),
            root=str(self.main.file.parent),
            timezone=planner.timezone,
            jobs={**jobs, **deliveries},
            queues=queues,
            notifiers=notifiers,
            resources=resources,
            sources=self._without_failed(inspection),
            vars=plain(self.rendering.vars),
            secrets=self.secrets,
            workers=self._workers(),
            files=(str(self.main.file), *map(str, self.files)),
            includes=self._patterns(),
            **({"shutdown_grace": grace} if (grace := self.settings.shutdown_grace) is not None else {}),
        )
        return Loaded(plan, self.report.result(), inspection)

    def _inspected(self, planner: Planner, jobs: dict[str, Job], found: Inspection) -> tuple[dict[str, Job], int]:
        isolation = planner.defaults.isolation
        verdicts = Verdicts(found, isolation, self.main, self.report)
        verdicts.tell_problems()
        broken = verdicts.tell_resources(planner.resource_entries)
        entries = {**self.sections.jobs, **planner.step_entries}
        settled = {}
        for name, job in jobs.items():
            if job.call:
                place, reason = verdicts.settle(job, entries[name], broken)
                job = msgspec.structs.replace(job, isolation=place, unusable=reason)  # noqa: PLW2901
            settled[name] = job
        verdicts.tell_params(settled, entries)
        verdicts.tell_hooks({check.job: place for check, place in planner.hooks.checks(jobs)})
        return unusable_flows(settle_isolation(settled)), verdicts.plugin_errors

    def _early(self, key: str) -> Any:
        return self.rendering.value(self.main.tree.get(key), self.main, (key,), Use.EARLY)

    def _settings(self) -> FileShape | None:
        early = {"include": self.include, "plugins": self.plugins}
        data = {
            key: early[key] if key in early else self._setting(key, value) for key, value in settings(self.main).items()
        }
        return check(FileShape, data, self.main, (), self.report)

    def _setting(self, key: str, value: Any) -> Any:
        if key != "defaults" or not isinstance(value, Block):
            return self.rendering.value(value, self.main, (key,), Use.SETTING)
        return {
            name: self.rendering.value(inner, self.main, (key, name), Use.HOOK if name in HOOKS else Use.KEY)
            for name, inner in value.items()
        }

    def _without_failed(self, inspection: Inspection | None) -> PluginSources:
        """Workers don't import what failed; a plugin with a lesser problem has offered callables all the same."""
        problems = inspection.problems if inspection is not None else ()
        failed = tuple(dict.fromkeys(problem.module for problem in problems if _failed_at_import(problem)))
        return msgspec.structs.replace(self.sources, skip=failed)

    def _patterns(self) -> tuple[str, ...]:
        written = self.include if isinstance(self.include, list) else []
        return tuple(str(self.main.file.parent / pattern) for pattern in written if isinstance(pattern, str))

    def _workers(self) -> Workers:
        shape: WorkersShape | None = self.settings.workers if self.settings is not None else None
        if shape is None:
            return Workers()
        return Workers(**{name: getattr(shape, name) for name in shape.model_fields_set})


def _failed_at_import(problem: PluginProblem) -> bool:
    raised = problem.traceback and not problem.traceback.startswith("Output:")
    return bool(raised) or problem.message.startswith("importing ")


@contextmanager
def _paused_garbage_collector() -> Iterator[None]:
    """Reading makes hundreds of thousands of objects and no circles: collecting among them triples the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
