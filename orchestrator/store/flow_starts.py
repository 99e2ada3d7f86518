"""Which runs does a step consist of? One, or one for each item; or first the one that finds out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from orchestrator.store.creation import NewRun
from orchestrator.store.flow_rows import StepRow, Templates


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found that prepared a step: `items`, and `params` for each where they had to be rendered."""

    flow_id: int
    step: str
    prepared: dict[str, Any]


def runs_of(
    step: StepRow, templates: Templates, items: list[Any] | None, expansion: Expansion | None, now: datetime
) -> list[NewRun]:
    """The runs to create for a step that starts, or that has been prepared."""
    place: dict[str, Any] = {"flow_id": step.flow_id, "step": step.name}
    if step.prepares and expansion is None:
        assert templates.prepare is not None  # noqa: S101 - it is made with the step
        return [msgspec.structs.replace(shift(templates.prepare, now), **place)]
    whole = shift(templates.run, now)
    if expansion is not None and expansion.prepared.get("items") is not None:
        items = expansion.prepared["items"]
    if not step.is_many:
        params = _params(whole, expansion, 0)
        index = 0 if step.prepares else None
        return [msgspec.structs.replace(whole, params=params, item_index=index, **place)]
    window = len(items or ()) if step.max_parallel is None else step.max_parallel
    return [
        msgspec.structs.replace(
            whole,
            params=_params(whole, expansion, index),
            item_index=index,
            item=item,
            waits=whole.waits or index >= window,
            **place,
        )
        for index, item in enumerate(items or ())
    ]


def shift(run: NewRun, now: datetime) -> NewRun:
    """The run as if it had been created now: its other instants keep their distance."""
    by = now - run.created_at
    moved = {
        name: at + by
        for name in ("created_at", "due_at", "deadline_at", "expires_at", "unique_until")
        if (at := getattr(run, name)) is not None
    }
    return msgspec.structs.replace(run, **moved)


def _params(run: NewRun, expansion: Expansion | None, index: int) -> dict[str, Any] | None:
    rendered = expansion.prepared.get("params") if expansion is not None else None
    if not rendered:
        return run.params
    return {**(run.params or {}), **rendered[index]}
