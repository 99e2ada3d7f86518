"""The shape of the policies that `defaults:` and every job may set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.config.fields import Duration, Limit, Name, Size, Span, Texts, wrong
from orchestrator.config.model_hooks import HookList, SlaShape
from orchestrator.config.shapes import Shape, key
from orchestrator.config.unique_by import UniqueBy
from orchestrator.core.policies import Backoff, CatchUp, Isolation, Jitter, OnConflict, Overlap


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


class UniqueShape(Shape):
    """When a run is a duplicate of another."""

    by: UniqueBy = key(
        "What duplicates have in common: parameters, like `[user_id]`, or a text like "
        "`{{ params.tenant }}-{{ params.user_id }}`. Without it, all parameters together. A run that lacks one of them "
        "is no duplicate of any."
    )
    window: Span = key(
        "A run is a duplicate for so long after the first was created, whether that is finished or not. Without it, "
        "while the first is unfinished.",
        alias="for",
    )
    on_conflict: OnConflict = key(
        "What becomes of a duplicate: it is not created (`ignore`); it takes the place of the one that still waits "
        "(`replace`); or it is not created and the time of `for` starts again (`extend`).",
        strict=False,
    )

    @model_validator(mode="after")
    def _something_to_extend(self) -> UniqueShape:
        if self.on_conflict is OnConflict.EXTEND and "window" not in self.model_fields_set:
            raise wrong("nothing-to-extend", "`on_conflict: extend` needs a time to extend", "add `for: 10m`")
        return self


def _unique(value: Any) -> Any:
    """`false` is kept as None: it only says that `defaults` don't count."""
    if value is None:
        raise wrong("no-value", "it has no value", "write true, or a mapping like {by: [user_id]}")
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


_UniqueInput = UniqueShape | bool


def _retry(value: Any) -> Any:
    if value is False:
        return {"max_attempts": 1}
    if type(value) is int:
        return {"max_attempts": value}
    return value


_RetryInput = RetryShape | Annotated[int, Field(ge=1, le=1000)] | Literal[False]


class StepPolicies(Shape):
    """The policies that a single step of a workflow may set, too."""

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


class Policies(StepPolicies):
    """What `defaults:` sets for every job, and a job for itself."""

    overlap: Overlap = key(
        "What becomes of a fire time that arrives while an earlier run of the job is not finished: `skip` it, `queue` "
        "a run behind it, `replace` the earlier run, or `allow` both at once.",
        strict=False,
    )
    unique: Annotated[UniqueShape | None, BeforeValidator(_unique, json_schema_input_type=_UniqueInput)] = key(
        "No two runs for the same thing: `true`, or a mapping that says what that means; `false` for a job that is to "
        "differ from `defaults`."
    )
    catch_up: CatchUp = key(
        "What becomes of fire times that passed while nothing was running: `skip` them, run the `last` one, or `all`.",
        strict=False,
    )
    catch_up_window: Span = key("Fire times missed longer ago than this are never caught up.")
    retention: RetentionShape = key("How long its history is kept. Keys that a job leaves out come from `defaults`.")
    on_success: HookList = key("What is done when a run has succeeded: a job, `{notify: NAME}`, or a list of those.")
    on_failure: HookList = key("What is done when a run has failed for good, whatever the reason.")
    on_retry: HookList = key("What is done when an attempt has failed and another one follows.")
    on_dead: HookList = key("What is done when a run has failed and used up all its attempts.")
    on_late: HookList = key("What is done when the job is late by its `sla`.")
    on_recovery: HookList = key("What is done at the first success after a failure, or after being late.")
    sla: SlaShape = key("When the job is late. Keys that a job leaves out come from `defaults`.")
