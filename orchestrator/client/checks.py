"""Does a callable take these parameters? Whoever asks never imports plugins: another process looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestrator.core.catalogue import ParamCheck, ParamProblem
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


def param_check(job: Job, params: Mapping[str, Any], name: str) -> ParamCheck:
    """The question about a job's parameters with these in their place; `name` is what problems will name."""
    merged = {**job.params, **params}
    deferred = tuple(key for key, value in merged.items() if holds_template(value))
    return ParamCheck(job=name, call=job.call, params=merged, deferred=deferred)
