"""The shape of the policies that `defaults:` and every job may set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.config.fields import Duration, Limit, Name, Size, Span, Texts
from orchestrator.core.policies import Backoff, CatchUp, Isolation, Jitter, Overlap


class Shape(BaseModel):
    """Common to all: unknown keys are refused and nothing is converted. What isn't set stays out of
    `model_fields_set`; the None that such a field then holds means nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def key(description: str, **more: Any) -> Any:
    """A key that may be left out, described for editors and the reference."""
    return Field(default=None, description=description, **more)


class RetryShape(Shape):
    """When a failed attempt is followed by another, and after how long."""

    max_attempts: int = key("How many attempts a run gets, the first included.", ge=1, le=1000)
    backoff: Backoff = key("How the pause between attempts grows.", strict=False)
    delay: Duration = key("The pause after the first failed attempt.")
    max_delay: Duration = key("No pause is longer than this.")
    jitter: Jitter = key(
        "How much of a pause is random, so that failures don't return in step: `none` of it, all of it (`full`), or "
        "half of it (`equal`).",
        strict=False,
    )
    on: Texts = key(
        "Only these exceptions are retried, by name: `TimeoutError`, `smtplib.SMTPException`. A name covers its "
        "subclasses. Without it every exception is."
    )
    give_up_on: Texts = key("These exceptions end the run at once, whatever attempts are left.")


class RetentionShape(Shape):
    """How much of a job's finished runs is kept, with their attempts and logs."""

    age: Span = key("Runs that ended longer ago are deleted.")
    failed_age: Span = key("Failed runs wait for a person: they are deleted after this.")
    count: int = key("At most so many of the newest runs are kept, however young.", ge=1)


def _retry(value: Any) -> Any:
    if value is False:
        return {"max_attempts": 1}
    if type(value) is int:
        return {"max_attempts": value}
    return value


_RetryInput = RetryShape | Annotated[int, Field(ge=1, le=1000)] | Literal[False]


class Policies(Shape):
    """What `defaults:` sets for every job, and a job for itself."""

    queue: Name = key("The queue that its runs wait in.")
    priority: int = key(
        "0 to 9: within its queue, each level weighs as much as having waited the queue's `aging` longer.", ge=0, le=9
    )
    isolation: Isolation = key(
        "Where the callable runs: alone in a worker `process`, in a `thread` among others (for functions that mostly "
        "wait), or on the `async` worker's loop. By default `async` for `async def`, else what `@job` says, else "
        "`process`.",
        strict=False,
    )
    retry: Annotated[RetryShape, BeforeValidator(_retry, json_schema_input_type=_RetryInput)] = key(
        "What happens after a failed attempt: a mapping, or just the number of attempts, or `false` for a single one. "
        "Keys that a job leaves out come from `defaults`."
    )
    timeout: Limit = key("How long one attempt may take before it is stopped; `none` for no limit.")
    heartbeat: Limit = key(
        "How long an attempt may go without a sign of life (progress, a checkpoint, output, `ctx.heartbeat()`) before "
        "it is stopped as crashed; `none` for no limit."
    )
    grace: Duration = key("How long a stopped attempt gets to clean up before its worker is killed.")
    deadline: Limit = key("How long the whole run may take with all its attempts, from the moment it was due.")
    expires_in: Limit = key(
        "A run that has not started so long after it was due is skipped; `none` for never. One that has started is not "
        "affected: that is `deadline`."
    )
    overlap: Overlap = key(
        "What becomes of a fire time that arrives while an earlier run of the job is not finished: `skip` it, `queue` "
        "a run behind it, `replace` the earlier run, or `allow` both at once.",
        strict=False,
    )
    catch_up: CatchUp = key(
        "What becomes of fire times that passed while nothing was running: `skip` them, run the `last` one, or `all`.",
        strict=False,
    )
    catch_up_window: Span = key("Fire times missed longer ago than this are never caught up.")
    concurrency: int = key(
        "How many attempts of the job may run at once. Without it only the queue limits them; but a job with a "
        "schedule whose `overlap` isn't `allow` has 1.",
        ge=1,
    )
    at_most_once: bool = key(
        "Never repeat an attempt that may have begun: a run whose worker or machine died fails instead of being "
        "executed again."
    )
    memory_limit: Size = key("An attempt whose worker process uses more memory is killed.")
    log_limit: Size = key("How much output of an attempt is kept.")
    retention: RetentionShape = key("How long its history is kept. Keys that a job leaves out come from `defaults`.")
