"""How one run is executed in the foreground: by an engine that has no clockwork and claims this run only."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from orchestrator.core.clock import Clock
from orchestrator.core.plan import Job, Plan
from orchestrator.core.runs import Cause, Run
from orchestrator.engine.engine import Engine
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.newruns import new_run
from orchestrator.executors.contract import Executor
from orchestrator.store import queries
from orchestrator.store.creation import create_runs
from orchestrator.store.store import Store

HEAD_START = timedelta(seconds=10)
"""For other engines the run is due only after this, so that this process claims it; should it die, they take over."""
LOOK_EVERY = 0.2


async def run_once(
    plan: Plan, store: Store, executor: Executor, job_name: str, params: dict[str, Any], *, clock: Clock, emit: Emit
) -> Run:
    """Create one run of a job, execute it with its retries, and give it as it ended.

    `run.created` is emitted with the id before anything starts. Should another engine on the same store take one of
    the retries, this waits for it all the same. Cancelling the call interrupts the run and gives it back to the queue.
    """
    # Whoever asks for it here waits for it here: it is executed even if it is a duplicate of another.
    job = msgspec.structs.replace(plan.jobs[job_name], unique=None)
    new = new_run(job, Cause.MANUAL, clock.now(), delay=HEAD_START, params=params)
    run_id = store.write(create_runs, [new])[0].id
    assert run_id is not None  # noqa: S101 - only fires and followers can have been created by others
    emit(Event(name="run.created", at=clock.now(), fields={"job": job_name, "run_id": run_id}))
    alone = msgspec.structs.replace(plan, jobs=_needed(plan, job_name), notifiers={})
    engine = Engine(alone, store, executor, clock=clock, emit=emit, only_run=run_id)
    working = asyncio.create_task(engine.run())
    try:
        while not (run := await store.read_soon(queries.get_run, run_id)).state.finished:
            await asyncio.wait([working], timeout=LOOK_EVERY)
            if working.done():
                break
    finally:
        engine.hurry()
        await working
    return run


def _needed(plan: Plan, job_name: str) -> dict[str, Job]:
    """The job and, of a workflow, all that its steps run."""
    found: dict[str, Job] = {}
    ahead = [job_name]
    while ahead:
        name = ahead.pop()
        if name in plan.jobs and name not in found:
            job = found[name] = plan.jobs[name]
            ahead += [one for step in job.steps for one in (step.job, step.sub_job)]
    return found
