"""The shape of an entry under `queues:`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from orchestrator.config.fields import Span, wrong
from orchestrator.config.key_texts import KeyText
from orchestrator.config.rates import Rate
from orchestrator.config.shapes import Shape, key
from orchestrator.core.plan import Queue
from orchestrator.core.policies import Order, PerKey

LONGEST_AGING = timedelta(days=365)
"""So that the ranks of queues that are `lifo` stay apart from those of the others."""


class PerKeyShape(Shape):
    """Limits that runs with the same key share; keys take turns."""

    by: KeyText = Field(description="What makes the key, of a run's parameters: `{{ params.tenant }}`.")
    concurrency: int = key("How many attempts of one key may run at once.", ge=1)
    rate_limit: Rate = key("How many runs of one key may start in any period of that length: `10/1m`.")


class QueueShape(Shape):
    """A named lane of runs."""

    concurrency: int = key("How many attempts of its runs may run at once; no limit by default.", ge=1)
    order: Order = key(
        "Which of the waiting runs of one priority goes first: the oldest (`fifo`), or the newest (`lifo`).",
        strict=False,
    )
    aging: Span = key(
        "How much longer a run must have waited than another to weigh as much as one of the next higher priority: so "
        "nothing waits for ever behind what is urgent. At most a year."
    )
    rate_limit: Rate = key(
        "How many of its runs may start in any period of that length: `100/1m`, `5/s`. A start is an attempt that is "
        "given to a worker, retries included."
    )
    rate_limit_by: KeyText = key(
        "Makes `rate_limit` one for each key, made of a run's parameters: `{{ params.tenant }}`. The same as "
        "`per_key` with that `by` and `rate_limit`."
    )
    per_key: PerKeyShape = key(
        'Limits for each key, made of a run\'s parameters: `{by: "{{ params.tenant }}", concurrency: 2}`. The keys of '
        "such a queue take turns, however much waits of each."
    )

    @model_validator(mode="after")
    def _sound(self) -> QueueShape:
        said = self.model_fields_set
        if "aging" in said and self.aging > LONGEST_AGING:
            raise wrong("bad-value", "`aging` may be at most 365d", "a longer one makes no difference that is noticed")
        if "rate_limit_by" not in said:
            return self
        if "rate_limit" not in said:
            raise wrong("missing-key", "`rate_limit_by` needs a `rate_limit`", "add one: `rate_limit: 10/1m`")
        if "per_key" in said and "rate_limit" in self.per_key.model_fields_set:
            message = "`rate_limit_by` and `per_key.rate_limit` are two rates for the same thing"
            raise wrong("rate-twice", message, "leave out `rate_limit_by`: then `rate_limit` is the whole queue's")
        if "per_key" in said and self.per_key.by != self.rate_limit_by:
            message = "`rate_limit_by` and `per_key.by` make different keys; a queue has one kind"
            raise wrong("keys-differ", message, "make them the same, or move one of them to another queue")
        return self


def to_queue(name: str, shape: QueueShape) -> Queue:
    """The plan's queue; `rate_limit_by` is resolved."""
    said = shape.model_fields_set
    fields = {field: getattr(shape, field) for field in said - {"rate_limit_by", "per_key"}}
    per_key = {}
    if "per_key" in said:
        per_key = {field: getattr(shape.per_key, field) for field in shape.per_key.model_fields_set}
    if "rate_limit_by" in said:
        per_key |= {"by": shape.rate_limit_by, "rate_limit": fields.pop("rate_limit")}
    return Queue(name=name, **fields, per_key=PerKey(**per_key) if per_key else None)
