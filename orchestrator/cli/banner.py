"""What does `orchestrator run` say when it starts? What will run, when first, where, and how to stop it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from orchestrator import __version__
from orchestrator.cli.times import relative
from orchestrator.core.plan import Plan
from orchestrator.core.policies import Isolation

SHOWN_FIRES = 5


def banner(plan: Plan, database: str, next_fires: Mapping[str, datetime], now: datetime) -> str:
    """The lines that a person sees first, with an empty one behind them."""
    fields = [
        ("jobs", f"{_jobs(plan)}, from {plan.path}"),
        ("database", database),
        ("workers", _workers(plan)),
        ("timezone", plan.timezone),
        ("next", ""),
    ]
    lines = [f"orchestrator {__version__}, pid {os.getpid()}", *(f"  {name:<10}{text}" for name, text in fields)]
    fires = _fires(plan, next_fires, now)
    lines[-1] += fires[0]
    lines += [f"{'':<12}{fire}" for fire in fires[1:]]
    return "\n".join([*lines, "Ctrl-C stops it gracefully; a second one hurries.", ""])


def _jobs(plan: Plan) -> str:
    count = len(plan.declared)
    unusable = sum(job.unusable is not None for job in plan.declared)
    disabled = sum(not job.enabled for job in plan.declared)
    apart = [f"{unusable} unusable"] * bool(unusable) + [f"{disabled} disabled"] * bool(disabled)
    return f"{count} ({', '.join(apart)})" if apart else str(count)


def _workers(plan: Plan) -> str:
    used = {job.isolation for job in plan.jobs.values()}
    workers = plan.workers
    kinds = {
        Isolation.PROCESS: f"up to {workers.processes} processes",
        Isolation.ASYNC: f"{workers.async_limit} async calls",
        Isolation.THREAD: f"{workers.threads} threads",
    }
    return ", ".join(text for isolation, text in kinds.items() if isolation in used) or "none needed"


def _fires(plan: Plan, next_fires: Mapping[str, datetime], now: datetime) -> list[str]:
    soonest = heapq.nsmallest(SHOWN_FIRES, next_fires.items(), key=lambda fire: (fire[1], fire[0]))
    if not soonest:
        return ["nothing is scheduled: runs come from `orchestrator trigger`"]
    width = max(len(job) for job, _ in soonest)
    lines = []
    for name, at in soonest:
        local = at.astimezone(ZoneInfo(plan.jobs[name].timezone))
        lines.append(f"{name:<{width}}  {local:%a %Y-%m-%d %H:%M:%S %Z}  {relative(at, now)}")
    if more := len(next_fires) - len(soonest):
        lines.append(f"and {more} more: `orchestrator jobs` lists all")
    return lines
