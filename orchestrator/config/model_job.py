"""The shape of an entry under `jobs:`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.config.fields import Duration, Mapping, Name, Texts, wrong
from orchestrator.config.model_policies import Policies
from orchestrator.config.model_step import StepShape
from orchestrator.config.shapes import Shape, key

KINDS = ("cron", "every", "at")
_EVERY = "How often, in words: `10 minutes`, `monday at 09:00`, `5 to 10 minutes`."
_CRON = (
    "When it fires: a cron expression of 5 fields, or 6 with leading seconds; an alias like `@daily`; or one of "
    "NestJS's names like `EVERY_30_SECONDS`."
)
_AT = "The instant it fires, in ISO 8601: `2030-01-31T09:00`. Without an offset it is in the job's timezone."
_TIMEZONE = "The IANA timezone of its schedules, like `Europe/Berlin`."
_START = "No fire times before this instant, in ISO 8601."
_END = "No fire times from this instant on, in ISO 8601."
_JITTER = (
    "Each fire is put off by a random time up to this, to spread load; the fire time that is recorded stays exact."
)


class TriggerShape(Shape):
    """One schedule in its full form: exactly one of `cron`, `every` and `at`."""

    cron: Texts = key(_CRON)
    every: Texts = key(_EVERY)
    at: Texts = key(_AT)
    timezone: str = key(_TIMEZONE)
    start: str = key(_START)
    end: str = key(_END)
    jitter: Duration = key(_JITTER)

    @model_validator(mode="after")
    def _one_kind(self) -> TriggerShape:
        kinds = [kind for kind in KINDS if kind in self.model_fields_set]
        if len(kinds) != 1:
            found = " and ".join(f"`{kind}`" for kind in kinds) if kinds else "none"
            raise wrong("bad-trigger", f"a trigger needs exactly one of `cron`, `every` and `at`; this one has {found}")
        return self


class AfterShape(Shape):
    """Another job whose end fires this one."""

    job: str = Field(description="The other job's name.")
    on: Literal["success", "failure", "end"] = key("Which end of the other job's run counts.")


class BatchShape(Shape):
    """How runs are gathered into one call."""

    size: int = Field(description="A call is made as soon as so many runs wait.", ge=1, le=10_000)
    wait: Duration = key("A call is made with fewer once the first has waited so long; by default at once.")


def _afters(value: Any) -> Any:
    return [{"job": one} if isinstance(one, str) else one for one in (value if isinstance(value, list) else [value])]


_AfterInput = str | AfterShape | list[str | AfterShape]


class JobShape(Policies):
    """A job: what to call, when, and under which policies."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["call"]}, {"required": ["steps"]}]})

    call: str = key("The callable's name, like `email.send`: a function in a plugin, or registered with `@job`.")
    steps: Annotated[dict[Name, StepShape], Field(min_length=1)] = key(
        "A workflow instead of a single `call`: its steps by name."
    )
    finals: dict[Name, StepShape] = key(
        "Steps of a workflow that run when all others have ended, however they did: after a failure, after a "
        "cancellation.",
        alias="finally",
    )
    description: str = key("What it is for, shown in listings.")
    cron: Texts = key(_CRON + " A list means several schedules.")
    every: Texts = key(_EVERY + " A list means several schedules.")
    at: Texts = key(_AT + " A list means several instants.")
    triggers: list[TriggerShape] = key("Schedules in their full form, each with its own timezone, start, end, jitter.")
    timezone: str = key(_TIMEZONE + " By default the file's.")
    start: str = key(_START)
    end: str = key(_END)
    jitter: Duration = key(_JITTER)
    after: Annotated[list[AfterShape], BeforeValidator(_afters, json_schema_input_type=_AfterInput)] = key(
        "Fires when a run of another job ends: the job's name, or a mapping of `job` and `on`, or a list of those."
    )
    on_start: bool = key("Also run it once whenever the orchestrator starts.")
    batch: BatchShape = key(
        "Works off many waiting runs in one call: `{size: 100, wait: 2s}`. The callable takes a `Batch`, and ends each "
        "run by itself."
    )
    params: Mapping = key(
        "The callable's arguments by name; checked against its signature. Of a workflow: what its steps read as "
        "`flow.params`."
    )
    enabled: bool = key("`false` keeps the job out of the schedule; it can still be run by hand.")

    @model_validator(mode="after")
    def _one_kind(self) -> JobShape:
        own = [name for name in ("call", "steps") if name in self.model_fields_set]
        if len(own) == 2:
            raise wrong("bad-job", "a job has `call` or `steps`, not both", "make the call a step")
        if not own:
            raise wrong(
                "missing-key", "has no `call`", "name its callable: `call: module.function`; or give it `steps`"
            )
        if "finals" in self.model_fields_set and own != ["steps"]:
            raise wrong("bad-job", "`finally` belongs to a job with `steps`", "make the call a step")
        return self
