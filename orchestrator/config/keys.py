"""Which key did a person mean when they wrote one that isn't known here?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from orchestrator.config.model_file import FileShape, FragmentShape, ResourceShape, SecretShape, WorkersShape
from orchestrator.config.model_hooks import NotifierShape, SlaShape
from orchestrator.config.model_job import AfterShape, JobShape, TriggerShape
from orchestrator.config.model_policies import Policies, RetentionShape, RetryShape, UniqueShape
from orchestrator.config.model_queue import PerKeyShape, QueueShape
from orchestrator.config.model_step import StepShape
from orchestrator.config.shapes import Shape

_HABITS = {
    "schedule": "cron", "crontab": "cron", "interval": "every", "function": "call", "func": "call", "task": "call",
    "handler": "call", "command": "call", "args": "params", "kwargs": "params", "arguments": "params",
    "parameters": "params", "options": "with", "depends_on": "after", "depends": "after", "needs": "after",
    "retries": "retry", "tz": "timezone", "time_zone": "timezone", "max_instances": "concurrency",
    "max_concurrency": "concurrency", "concurrency_policy": "overlap", "misfire": "catch_up", "coalesce": "catch_up",
    "misfire_grace_time": "catch_up_window", "time_limit": "timeout", "max_retries": "max_attempts",
    "attempts": "max_attempts", "run_date": "at", "date": "at", "disabled": "enabled", "active": "enabled",
    "factory": "use", "environment": "vars", "variables": "vars", "includes": "include", "imports": "include",
    "tasks": "jobs", "default": "defaults", "limiter": "rate_limit", "rate": "rate_limit", "throttle": "rate_limit",
    "group": "per_key", "groups": "per_key", "partition": "per_key", "expires": "expires_in", "ttl": "expires_in",
    "expiry": "expires_in", "expiration": "expires_in", "lifo": "order", "fifo": "order", "deduplication": "unique",
    "dedupe": "unique", "debounce": "unique", "singleton": "unique", "window": "for", "period": "for",
}  # fmt: skip
"""What other tools call our keys."""
_IN_STEPS = {
    "after": "needs", "depends": "needs", "depends_on": "needs", "depends_any": "needs_any", "if": "when",
    "condition": "when", "loop": "foreach", "with_items": "foreach", "for_each": "foreach", "items": "foreach",
    "strategy": "matrix", "concurrency_limit": "max_parallel", "continue_on": "on_failure", "delay": "sleep",
    "approval": "approve", "sensor": "wait_for", "workflow": "job", "run": "call",
}  # fmt: skip
"""And those of steps."""
_HOMES: tuple[tuple[type[Shape], str], ...] = (
    (RetryShape, "`retry`"),
    (RetentionShape, "`retention`"),
    (UniqueShape, "`unique`"),
    (WorkersShape, "`workers` at the top of the file"),
    (JobShape, "a job under `jobs`"),
    (QueueShape, "an entry of `queues`"),
    (StepShape, "a step of a workflow, under a job's `steps`"),
    (ResourceShape, "an entry of `resources`"),
    (NotifierShape, "an entry of `notifiers`"),
    (SlaShape, "`sla`"),
    (FileShape, "the top of the file"),
)
_SMALL = (QueueShape, PerKeyShape, SecretShape, AfterShape, TriggerShape, WorkersShape)


def written(shape: type[Shape]) -> list[str]:
    """The keys of a shape as they are written in YAML."""
    return [field.alias or name for name, field in shape.model_fields.items()]


def hint_for(key: str, value: Any, shape: type[Shape]) -> str:
    """A suggestion for a key that `shape` doesn't have."""
    if shape in (FileShape, FragmentShape) and isinstance(value, dict) and "call" in value:
        return "a job belongs under `jobs`"
    return _hint(key, shape)


@lru_cache(maxsize=1024)
def _hint(key: str, shape: type[Shape]) -> str:
    known = written(shape)
    plain = _plain(key)
    if shape is StepShape and plain in _IN_STEPS:
        return f"did you mean `{_IN_STEPS[plain]}`?"
    meant = _HABITS.get(plain, plain)
    if meant in known:
        return f"did you mean `{meant}`?"
    if meant == "max_attempts" and "retry" in known:
        return "write `retry: {max_attempts: …}`"
    if shape is FragmentShape and meant in written(FileShape):
        return f"`{meant}` belongs in the main file"
    if (home := _home(meant, shape)) is not None:
        return f"`{meant}` belongs under {home}"
    if (close := close_to(plain, known)) is not None:
        return f"did you mean `{close}`?"
    near = close_to(plain, list(_all_keys()), cutoff=0.8)
    if near is not None and (home := _home(near, shape)) is not None:
        return f"did you mean `{near}`? It belongs under {home}"
    return f"known here: {', '.join(known)}"


def close_to(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that is most like `word`, if one is."""
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, 1, cutoff)
    return lower[found[0]] if found else None


def _home(key: str, shape: type[Shape]) -> str | None:
    if shape in (FileShape, FragmentShape) and key in Policies.model_fields:
        return "`defaults`, or a job under `jobs`"
    if shape is Policies and key in JobShape.model_fields:
        return "a job, not `defaults`: each job has its own"
    if shape is StepShape and key in JobShape.model_fields:
        return "the job itself, not its steps"
    if shape is RetryShape and key in JobShape.model_fields:
        return "the job itself, not its `retry`"
    if shape in _SMALL and key in Policies.model_fields:
        return "a job under `jobs`"
    for owner, place in _HOMES:
        if key in written(owner) and owner is not shape and not issubclass(shape, owner):
            return place
    return None


@cache
def _all_keys() -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for owner, _ in _HOMES for key in written(owner)))


def _plain(key: str) -> str:
    """`maxAttempts` and `max-attempts` as `max_attempts`."""
    spaced = "".join(
        f"_{c.lower()}" if c.isupper() and i and not key[i - 1].isupper() else c for i, c in enumerate(key)
    )
    return spaced.lower().replace("-", "_").replace(" ", "_").strip("_")
