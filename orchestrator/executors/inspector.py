"""Reads plugins without running them here: in processes that may hang or crash, again without the module that did."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import msgspec

from orchestrator.core.catalogue import Inspection, ParamCheck, ParamProblem, PluginProblem
from orchestrator.core.errors import PluginError
from orchestrator.core.plan import PluginSources, Workers
from orchestrator.core.units import format_duration
from orchestrator.executors import trace
from orchestrator.executors.reader import End, Reading, read_plugins
from orchestrator.plugins.import_failure import blame
from orchestrator.worker.inspection_messages import Announced, Request, Step, encode

DEFAULT_TIMEOUT = Workers().import_timeout


class ProcessInspector:
    """An `Inspector` whose every look at the plugins happens in a fresh interpreter.

    `import_timeout` is what one module's import may take. A module that takes longer, or that ends the process, is
    reported with the line where it was, and the rest is read again without it: never more than one round for each.
    """

    def __init__(self, import_timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self._timeout = import_timeout

    def inspect(
        self, sources: PluginSources, checks: list[ParamCheck], resources: dict[str, str], root: str
    ) -> Inspection:
        """Import `sources`, check parameters and resources. Raises `PluginError` if no reader can run at all."""
        if not (sources.folders or sources.modules or checks or resources):
            return Inspection()
        checks, unsendable = _sort_out(checks)
        seconds = (sources.import_timeout or self._timeout).total_seconds()
        request = Request(sources=sources, checks=checks, resources=resources, root=root, timeout=seconds)
        found = self._until_answered(request)
        return msgspec.structs.replace(found, param_problems=(*found.param_problems, *unsendable))

    def _until_answered(self, request: Request) -> Inspection:
        fatal: dict[Announced, PluginProblem] = {}
        while True:
            reading = read_plugins(request)
            if reading.inspection is not None:
                return _complete(reading.inspection, reading, fatal, request.checks)
            step = reading.last
            if step is None or step in fatal:
                raise PluginError(f"the reader of plugins ended without an answer{_last_words(reading)}")
            fatal[step] = self._problem(step, reading, request)
            request = _without(request, step)

    def _problem(self, step: Announced, reading: Reading, request: Request) -> PluginProblem:
        homes = (*request.sources.folders, request.root)
        frames = trace.frames(reading.trace, "inspection.py")
        file, line = blame(frames, homes)
        shown = "".join(f'  File "{file}", line {line}\n' for file, line in frames[:30])
        problem = PluginProblem(
            module=step.name,
            message=_message(step, reading, timedelta(seconds=request.timeout)),
            file=file or _file_of(step.name, request),
            line=line,
            traceback=f"Most recent call first:\n{shown}" if shown else "",
        )
        return _with_output(problem, reading, step)


def _sort_out(checks: list[ParamCheck]) -> tuple[list[ParamCheck], list[ParamProblem]]:
    """The checks that can be sent to another process, and problems of those that can't, like integers over 64 bits."""
    try:
        encode(checks)
    except (OverflowError, TypeError, ValueError):
        return _one_by_one(checks)
    return checks, []


def _one_by_one(checks: list[ParamCheck]) -> tuple[list[ParamCheck], list[ParamProblem]]:
    good, bad = [], []
    for check in checks:
        for name, value in check.params.items():
            try:
                encode(value)
            except (OverflowError, TypeError, ValueError) as error:
                message = f"{name!r} can't be sent to a worker: {error}"
                bad.append(ParamProblem(job=check.job, kind="type", path=(name,), message=message))
                break
        else:
            good.append(check)
    return good, bad


def _message(step: Announced, reading: Reading, timeout: timedelta) -> str:
    what = f"importing {step.name}" if step.step is Step.IMPORT else f"checking the parameters of {step.name}"
    if reading.end is End.STUCK or trace.timed_out(reading.trace):
        return f"{what} did not finish in {format_duration(timeout)}"
    if reading.end is End.LEFT:
        return f"{what} closed the process's files or made it another program"
    if reading.status < 0:
        return f"{what} crashed the process with {signal.Signals(-reading.status).name}"
    return f"{what} ended the process with exit status {reading.status}"


def _without(request: Request, step: Announced) -> Request:
    if step.step is Step.CHECK:
        return msgspec.structs.replace(request, unchecked=(*request.unchecked, step.name))
    sources = msgspec.structs.replace(request.sources, skip=(*request.sources.skip, step.name))
    return msgspec.structs.replace(request, sources=sources)


def _complete(
    inspection: Inspection, reading: Reading, fatal: dict[Announced, PluginProblem], checks: list[ParamCheck]
) -> Inspection:
    """Add what earlier rounds found, in place of "it is skipped"; and what each failed module printed."""
    imports = {step.name: problem for step, problem in fatal.items() if step.step is Step.IMPORT}
    found = [problem for problem in inspection.problems if problem.module not in imports]
    stuck = {step.name: problem for step, problem in fatal.items() if step.step is Step.CHECK}
    uncheckable = [
        ParamProblem(job=check.job, kind="type", path=(), message=_located(stuck[check.call]))
        for check in checks
        if check.call in stuck
    ]
    told = (_with_output(problem, reading, Announced(Step.IMPORT, problem.module)) for problem in found)
    return msgspec.structs.replace(
        inspection,
        problems=(*told, *imports.values()),
        param_problems=(*inspection.param_problems, *uncheckable),
    )


def _with_output(problem: PluginProblem, reading: Reading, step: Announced) -> PluginProblem:
    text = reading.printed.get(step)
    if not text:
        return problem
    return msgspec.structs.replace(problem, traceback=f"{problem.traceback}Output:\n{text}\n")


def _located(problem: PluginProblem) -> str:
    return f"{problem.message} ({problem.file}:{problem.line})" if problem.file else problem.message


def _file_of(module: str, request: Request) -> str:
    """The file of a module that died without a trace, where a plugin's or a project's own would be."""
    for folder in (*request.sources.folders, request.root):
        base = Path(folder, *module.split("."))
        for file in (base.with_name(base.name + ".py"), base / "__init__.py"):
            if file.is_file():
                return str(file)
    return ""


def _last_words(reading: Reading) -> str:
    said = "\n".join(reading.printed.values()).splitlines()
    return f" (exit status {reading.status}): {said[-1]}" if said else f" (exit status {reading.status})"
