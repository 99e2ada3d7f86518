"""Do the callables exist and take the jobs' parameters? Asks a worker once, and places its answers in the YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.config.decoding import read_text
from orchestrator.config.keys import close_to
from orchestrator.config.rendering import has_broken
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.config.source import Block, Place, Source, at
from orchestrator.core.catalogue import CallableInfo, Inspection, Inspector, ParamCheck, ParamProblem, PluginProblem
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.json_values import holds_template
from orchestrator.core.keys import KeyPath
from orchestrator.core.plan import Job, PluginSources, Resource
from orchestrator.core.policies import Isolation
from orchestrator.plugins.isolation import check_isolation

_MAX_SUGGESTIONS = 100
_CODES = {"missing": "missing-param", "unknown": "unknown-param", "needs": "missing-package"}


def inspect(
    inspector: Inspector,
    sources: PluginSources,
    jobs: Mapping[str, Job],
    resources: Mapping[str, Resource],
    hooks: Iterable[ParamCheck],
    main: Source,
    report: Report,
) -> Inspection | None:
    """What a worker finds in the plugins; none if no worker could look, which is reported."""
    checks = [*(check for job in jobs.values() if (check := _check_of(job, jobs)) is not None), *hooks]
    uses = {name: resource.use for name, resource in resources.items()}
    try:
        return inspector.inspect(sources, checks, uses, str(main.file.parent))
    except (OrchestratorError, OSError) as error:
        report.error("plugins-unread", f"the plugins can't be read: {error}", main.key(("plugins",)))
        return None


def _check_of(job: Job, jobs: Mapping[str, Job]) -> ParamCheck | None:
    """None for what calls nothing: a workflow as a whole, a step that sleeps."""
    target = jobs.get(job.step.sub_job) if job.step is not None else None
    if target is not None:
        return param_check(job.name, target.call, {**target.params, **job.params}) if target.call else None
    return param_check(job.name, job.call, job.params) if job.call else None


def param_check(job: str, call: str, params: Mapping[str, Any]) -> ParamCheck:
    """What to ask about a job's parameters, by a name that comes back with the answer."""
    waits = tuple(name for name, value in params.items() if holds_template(value) or has_broken(value))
    present = {name: value for name, value in params.items() if name not in waits}
    return ParamCheck(job=job, call=call, params=present, deferred=waits)


def starts_by_itself(job: Job) -> bool:
    """Whether something in the file starts the job. Otherwise whoever asks for a run gives what parameters it lacks."""
    return bool(job.triggers or job.after or job.on_start or job.step is not None)


class Verdicts:
    """What an inspection means for the jobs and resources. `plugin_errors` counts the errors that only make jobs
    unusable."""

    def __init__(self, inspection: Inspection, isolation: Isolation | None, main: Source, report: Report) -> None:
        self.plugin_errors = 0
        self._default_isolation = isolation
        self._found = inspection
        self._main = main
        self._report = report
        self._misses = 0

    def tell_problems(self) -> None:
        """Report each plugin that can't be used, where it went wrong."""
        for problem in self._found.problems:
            hint = None if problem.file else "correct `plugins`, or install what provides it"
            message = f"plugin `{problem.module}`: {problem.message}"
            self._soft_error("plugin-failed", message, self._plugin_place(problem), hint)

    def tell_resources(self, resources: Mapping[str, Entry[Any]]) -> dict[str, str]:
        """Report resources whose `use` can't be imported; those that a failed plugin was to provide, by reason."""
        unusable = {}
        for name, why in self._found.resource_problems.items():
            place = resources[name].at("use")
            use = str(getattr(resources[name].value, "use", ""))
            if (cause := self._cause(use)) is not None:
                unusable[name] = f"resource `{name}` needs plugin `{cause.module}`, which can't be used"
                self._soft_error("plugin-needed", unusable[name], place, _told_at(cause))
            else:
                self._report.error("bad-resource", f"resource `{name}`: {why}", place)
        return unusable

    def settle(self, job: Job, entry: Entry[Any], resources: Mapping[str, str]) -> tuple[Isolation, str | None]:
        """Where the job runs, and why it can't run although the rest can."""
        info = self._found.callables.get(job.call)
        reason = None
        if info is None:
            reason = self._missing_callable(job, entry)
        else:
            used = (*info.resources, *(str(job.params.get(name)) for name in info.names_resources))
            broken = [resources[name] for name in used if name in resources]
            reason = broken[0] if broken else None
            if job.batch is not None and not info.takes_batch:
                message = f"`{job.call}` works off one run in a call: it has no parameter for a batch"
                hint = "annotate one `Batch` (from orchestrator import Batch), or remove `batch`"
                self._report.error("bad-batch", message, entry.at("batch"), hint)
            for warning in info.warnings:
                self._report.warning("odd-callable", warning, entry.at("call"))
            self._check_key(job, entry, info)
        if reason is not None:
            self._soft_error("plugin-needed", f"job `{job.name}` can't run: {reason}", entry.at("call"))
        return self._isolation(job, entry, info), reason

    def tell_params(self, jobs: Mapping[str, Job], entries: Mapping[str, Entry[Any]]) -> None:
        """Report wrong parameters, each where it is written."""
        for problem in self._found.param_problems:
            job, entry = jobs.get(problem.job), entries.get(problem.job)
            if job is None or entry is None:
                continue
            if job.step is not None and job.step.sub_job and not _is_its_own(problem, job):
                continue
            if problem.kind == "unknown_callable":
                if job.unusable is not None:
                    continue
                hint = problem.hint or self._suggestion(job.call)
                self._report.error("unknown-callable", problem.message, entry.at("call"), hint)
            elif problem.kind != "missing" or starts_by_itself(job):
                self._tell_param(problem, job, entry)

    def tell_hooks(self, places: Mapping[str, Place]) -> None:
        """Report parameters that a hook's job doesn't take, or lacks. `event` is given only to who takes it."""
        for problem in self._found.param_problems:
            place = places.get(problem.job)
            untold = problem.kind == "unknown" and problem.path == ("event",)
            if place is not None and problem.kind != "unknown_callable" and not untold:
                hint = problem.hint
                if problem.kind == "missing":
                    hint = "give it in the hook's `params`, or in the job's own"
                self._report.error("bad-hook-param", problem.message, place, hint)

    def _tell_param(self, problem: ParamProblem, job: Job, entry: Entry[Any]) -> None:
        code = _CODES.get(problem.kind, "bad-param")
        if not problem.path:
            place = entry.at("call")
        elif problem.kind == "missing":
            place = entry.key("params", *problem.path[:-1]) if job.params else entry.at("call")
        elif problem.kind == "unknown":
            place = entry.key("params", *problem.path)
        else:
            place = entry.at("params", *problem.path)
        message = problem.message if job.call in problem.message else f"`{job.call}`: {problem.message}"
        self._report.error(code, message, place, problem.hint)

    def _check_key(self, job: Job, entry: Entry[Any], info: CallableInfo) -> None:
        """A key made of a parameter that isn't there would never be anybody's duplicate. Only the job's own: one of
        `defaults` may well be meant for other jobs."""
        if job.unique is None or job.unique.by is None or info.extra or "unique" not in entry.value:
            return
        known = [parameter.name for parameter in info.parameters]
        for path in job.unique.by:
            if isinstance(path, KeyPath) and path.names[0] not in known:
                message = f"`{job.call}` has no parameter `{path.names[0]}`"
                close = close_to(path.names[0], known)
                hint = f"did you mean `{close}`?" if close else f"it has: {', '.join(known) or 'none'}"
                self._report.error("unknown-param", message, entry.at("unique", "by"), hint)

    def _missing_callable(self, job: Job, entry: Entry[Any]) -> str | None:
        """Why a callable that the worker didn't find is the plugins' fault; none if it is the job's."""
        cause = self._cause(job.call)
        if cause is not None:
            return f"plugin `{cause.module}`, which is to provide `{job.call}`, can't be used ({_place_of(cause)})"
        if self._found.problems and not self._was_read(job.call):
            return f"no plugin that could be read has `{job.call}`"
        if not any(p.job == job.name and p.kind == "unknown_callable" for p in self._found.param_problems):
            message = f"no callable is named `{job.call}`"
            self._report.error("unknown-callable", message, entry.at("call"), self._suggestion(job.call))
        return None

    def _was_read(self, call: str) -> bool:
        """Whether the plugin that the name leads into has offered callables, so that the name itself is wrong."""
        home = call.replace(":", ".").rpartition(".")[0] + "."
        return any(name.startswith(home) for name in self._found.callables)

    def _cause(self, call: str) -> PluginProblem | None:
        path = call.replace(":", ".") + "."
        return next((problem for problem in self._found.problems if path.startswith(problem.module + ".")), None)

    def _isolation(self, job: Job, entry: Entry[Any], info: CallableInfo | None) -> Isolation:
        """The job's own wish, else the file's default where the callable allows it, else the callable's."""
        if info is None:
            return job.isolation
        if isinstance(entry.value, Block) and "isolation" in entry.value:
            if (why := check_isolation(info, job.isolation)) is not None:
                self._report.error("bad-isolation", why, entry.at("isolation"))
            return job.isolation
        wish = self._default_isolation
        return wish if wish is not None and check_isolation(info, wish) is None else info.isolation

    def _suggestion(self, call: str) -> str | None:
        self._misses += 1
        close = close_to(call, self._found.callables) if self._misses <= _MAX_SUGGESTIONS else None
        return f"did you mean `{close}`?" if close else None

    def _soft_error(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        before = self._report.errors
        self._report.error(code, message, place, hint)
        self.plugin_errors += self._report.errors - before

    def _plugin_place(self, problem: PluginProblem) -> Place:
        """The line of the plugin; of `plugins` in the configuration if it has none."""
        file = Path(problem.file) if problem.file else None
        if file is not None and file.is_file():
            text, _ = read_text(file)
            return at(Source(file, text), max(1, problem.line), 1)
        return self._main.key(("plugins",))


def _is_its_own(problem: ParamProblem, step: Job) -> bool:
    """Whether what is wrong with another job's parameters is what this step gives it."""
    return problem.kind == "missing" or bool(problem.path and problem.path[0] in step.params)


def _place_of(problem: PluginProblem) -> str:
    return f"{problem.file}:{problem.line}" if problem.file and problem.line else problem.file or "see its error"


def _told_at(problem: PluginProblem) -> str:
    return f"see {_place_of(problem)}"
