"""Can these runs be created? Their jobs are known and usable, and take the parameters; all faults are told at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from orchestrator.client.checks import Checker, check_flow_params, param_check
from orchestrator.client.job_names import usable_job
from orchestrator.client.requests import Wanted
from orchestrator.core.catalogue import ParamProblem
from orchestrator.core.errors import OrchestratorError, RequestError
from orchestrator.core.plan import Plan
from orchestrator.core.runs import Cause
from orchestrator.engine.newruns import new_run
from orchestrator.store.creation import NewRun


class Fault(msgspec.Struct, frozen=True):
    """Why a request, by its place among the others, can't become a run."""

    place: int
    message: str
    hint: str | None = None


class Prepared(msgspec.Struct, frozen=True):
    """Runs to create, the places of the requests that they come from, and why the others can't be."""

    new: list[NewRun]
    places: list[int]
    faults: list[Fault]


def prepare(plan: Plan, wanted: Iterable[tuple[int, Wanted]], now: datetime, checker: Checker | None) -> Prepared:
    """Make runs of requests. Without a checker, the parameters are taken on trust."""
    made: dict[int, tuple[Wanted, NewRun]] = {}
    faults: list[Fault] = []
    for place, one in wanted:
        try:
            job = usable_job(plan, one.job)
            if job.steps and checker is not None:
                check_flow_params(job, one.params)
            made[place] = one, new_run(job, Cause.MANUAL, now, params=one.params, asked=one.asked)
        except OrchestratorError as error:
            faults.append(Fault(place, str(error), getattr(error, "hint", None)))
    # The place stands where a job's name does: it is what the problems are told apart by. A workflow calls nothing.
    jobs = {place: plan.jobs[one.job] for place, (one, _) in made.items()}
    checks = [param_check(job, made[place][0].params, str(place)) for place, job in jobs.items() if job.call]
    if checker is not None and checks:
        refused = [Fault(int(p.job), _message(made, p), p.hint) for p in checker.problems(plan, checks)]
        faults += refused
        for fault in refused:
            made.pop(fault.place, None)
    faults.sort(key=lambda fault: fault.place)
    return Prepared([new for _, new in made.values()], list(made), faults)


def _message(made: dict[int, tuple[Wanted, NewRun]], problem: ParamProblem) -> str:
    found = made.get(int(problem.job))
    return f"{found[0].job}: {problem.message}" if found is not None else problem.message


def refusal(faults: Sequence[Fault], *, alone: bool) -> RequestError:
    """The faults as one error. `alone`: there was one request, so its place says nothing."""
    lines = [fault.message if alone else f"request {fault.place}: {fault.message}" for fault in faults]
    hints = [fault.hint for fault in faults if fault.hint]
    return RequestError("\n".join(lines), hints[0] if hints else None)
