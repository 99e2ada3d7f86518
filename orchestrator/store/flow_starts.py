"""Which runs does a step consist of? One, or one for each item; or first the one that finds out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from orchestrator.core.keys import group_key
from orchestrator.store.creation import NewRun
from orchestrator.store.flow_rows import StepRow, Templates
from orchestrator.store.flow_rules import CONDITION_REASON


class Expansion(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found that prepared a step: `items`, which of them are `wanted`, and `params` for each where they
    had to be rendered."""

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
    whole = msgspec.structs.replace(shift(templates.run, now), **place)
    if expansion is not None and expansion.prepared.get("items") is not None:
        items = expansion.prepared["items"]
    if not step.is_many:
        run = _with_params(whole, templates, expansion, 0)
        return [msgspec.structs.replace(run, item_index=0 if step.prepares else None)]
    return _runs_of_items(whole, step, templates, items or [], expansion)


def _runs_of_items(
    whole: NewRun, step: StepRow, templates: Templates, items: list[Any], expansion: Expansion | None
) -> list[NewRun]:
    """A run for each item; what is not wanted has one that says so, and takes nobody's turn."""
    found = expansion.prepared.get("wanted") if expansion is not None else None
    wanted = found or [True] * len(items)
    left = len(items) if step.max_parallel is None else step.max_parallel
    new = []
    for index, (item, is_wanted) in enumerate(zip(items, wanted, strict=True)):
        run = msgspec.structs.replace(whole, item_index=index, item=item)
        if is_wanted:
            waits = whole.waits or left <= 0
            run = msgspec.structs.replace(_with_params(run, templates, expansion, index), waits=waits)
            left -= 1
        else:
            run = msgspec.structs.replace(run, skip_reason=CONDITION_REASON)
        new.append(run)
    return new


def shift(run: NewRun, now: datetime) -> NewRun:
    """The run as if it had been created now: its other instants keep their distance."""
    by = now - run.created_at
    moved = {
        name: at + by
        for name in ("created_at", "due_at", "deadline_at", "expires_at", "unique_until")
        if (at := getattr(run, name)) is not None
    }
    return msgspec.structs.replace(run, **moved)


def _with_params(run: NewRun, templates: Templates, expansion: Expansion | None, index: int) -> NewRun:
    """The run with the parameters that were rendered for it, and the key that they make."""
    rendered = expansion.prepared.get("params") if expansion is not None else None
    if not rendered:
        return run
    params = {**(run.params or {}), **rendered[index]}
    key = run.group_key if templates.key is None else group_key(templates.key, params)
    return msgspec.structs.replace(run, params=params, group_key=key)
