"""Does a callable take these parameters? Whoever asks never imports plugins: another process looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestrator.core.catalogue import ParamCheck, ParamProblem
from orchestrator.core.errors import RequestError
from orchestrator.core.json_values import holds_template
from orchestrator.core.plan import Job, Plan


class Checker(Protocol):
    """Asks callables whether they take parameters."""

    def problems(self, plan: Plan, checks: list[ParamCheck]) -> Sequence[ParamProblem]:
        """What is wrong; each problem names the `job` of its check."""


class FreshChecker:
    """Starts a process for each batch and leaves nothing running. What hangs or dies in it is told as a problem."""

    def problems(self, plan: Plan, checks: list[ParamCheck]) -> Sequence[ParamProblem]:
        from orchestrator.executors.inspector import ProcessInspector

        inspector = ProcessInspector(plan.workers.import_timeout)
        uses = {resource.name: resource.use for resource in plan.resources.values()}
        return inspector.inspect(plan.sources, checks, uses, plan.root).param_problems


def check_flow_params(job: Job, params: Mapping[str, Any]) -> None:
    """A workflow takes the parameters that it declares. Raises `RequestError`."""
    unknown = [name for name in params if name not in job.params]
    if unknown:
        known = ", ".join(job.params) or "none"
        raise RequestError(f"the workflow {job.name} has no parameter {', '.join(unknown)}", f"it has: {known}")


def param_check(job: Job, params: Mapping[str, Any], name: str) -> ParamCheck:
    """The question about a job's parameters with these in their place; `name` is what problems will name."""
    merged = {**job.params, **params}
    deferred = tuple(key for key, value in merged.items() if holds_template(value))
    return ParamCheck(job=name, call=job.call, params=merged, deferred=deferred)
