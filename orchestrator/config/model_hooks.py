"""The shapes of hooks, of notifiers and of what counts as late."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.config.fields import Duration, Mapping, Message, Messages, Span, wrong
from orchestrator.config.shapes import Shape, key

HOOKS = ("on_success", "on_failure", "on_retry", "on_dead", "on_late", "on_recovery")
"""The keys that hold hooks."""


class HookShape(Shape):
    """What is done when something happens to a job: another job runs, or somebody is told."""

    job: str = key("The job that is run. It gets to know what happened in its parameter `event`, if it has one.")
    params: Mapping = key(
        "Parameters of that run, over the job's own; their templates know `event`: `{{ event.job }}`."
    )
    notify: str = key("The notifier that is to tell of it.")

    @model_validator(mode="after")
    def _one_target(self) -> HookShape:
        targets = [name for name in ("job", "notify") if name in self.model_fields_set]
        if len(targets) != 1:
            hint = "write a job's name, or {notify: NAME}"
            raise wrong("bad-hook", "a hook needs exactly one of `job` and `notify`", hint)
        if "params" in self.model_fields_set and targets != ["job"]:
            raise wrong("bad-hook", "`params` are a job's: a message has none", "remove them, or name a `job`")
        return self


def _hooks(value: Any) -> Any:
    if value is None or value is False:
        return []
    return [{"job": one} if isinstance(one, str) else one for one in (value if isinstance(value, list) else [value])]


_HookInput = str | HookShape | list[str | HookShape]
HookList = Annotated[list[HookShape], BeforeValidator(_hooks, json_schema_input_type=_HookInput)]
"""One hook or several; a text is a job's name."""


class SlaShape(Shape):
    """When a job is late, which fires `on_late`."""

    start_within: Span = key("A run that hasn't started so long after it was due is late.")
    finish_within: Span = key("A run that hasn't finished so long after it was due, with all its attempts, is late.")
    success_every: Span = key("The job is late when it hasn't succeeded for so long.")


class GroupShape(Shape):
    """How events are put together into one message."""

    size: int = key(
        "A message tells of so many events at most; when there are so many it is sent at once.", ge=1, le=1000
    )
    wait: Duration = key("For how long a message waits for more to tell.")


class NotifierShape(Shape):
    """Whom to tell, and how."""

    urls: Messages = Field(
        description="Where messages go: URLs of [apprise](https://github.com/caronc/apprise), like "
        "`mailto://user:password@example.org` or `slack://…`. They may use `secrets`."
    )
    subject: Message = key("The subject: a template that knows `event` (the first one), `events` and `count`.")
    body: Message = key("The text: a template that knows `event` (the first one), `events` and `count`.")
    group: GroupShape = key("How events are put together into one message.")
    throttle: Span = key(
        "Two messages about the same thing of the same job are at least so far apart; what happens meanwhile is summed "
        "up in the second."
    )
