"""How a workflow under way is kept: a row for itself, and one for each step, which say all that is needed to go on, so
that a changed plan doesn't disturb it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, insert, or_, select, update

from orchestrator.core.flows import OnFailure, Step, StepKind
from orchestrator.core.keys import KeyTemplate
from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import NewRun
from orchestrator.store.reactions import Reaction
from orchestrator.store.rows import as_record
from orchestrator.store.tables import flow_steps, flows, runs

Ended = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED})


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of a step are made of: as if it had started when its workflow did."""

    run: NewRun
    prepare: NewRun | None = None
    """For a step whose runs a worker has to prepare."""
    key: KeyTemplate | None = None
    """What the runs share the limits of their queue's keys by, where their parameters are known only then."""


class NewStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a workflow that begins."""

    step: Step
    templates: Templates
    items: list[Any] | None = None
    skip_reason: str | None = None


class NewFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that begins: its steps in order, and the runs that follow its end, by how it ends."""

    steps: tuple[NewStep, ...]
    followers: dict[RunState, tuple[NewRun, ...]] = {}
    reactions: dict[RunState, Reaction | None] = {}
    """What else its job wants done, by how it ends."""


class StepRow(msgspec.Struct, kw_only=True):
    """A step of a workflow under way. Of its runs, `total` are to be (none: nobody knows yet), `ended` have ended."""

    flow_id: int
    name: str
    kind: StepKind
    needs: list[str]
    needs_any: list[str]
    on_failure: OnFailure
    is_final: bool
    has_when: bool
    prepares: bool
    is_many: bool
    max_parallel: int | None
    state: RunState
    reason: str | None
    total: int | None
    ended: int
    succeeded: int
    failed: int
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in Ended


class FlowRow(msgspec.Struct, kw_only=True):
    """A workflow under way."""

    id: int
    job: str
    state: RunState
    flow_id: int | None
    """The workflow that it is itself a step of, and as which."""
    step: str | None
    item_index: int | None
    stopped: RunState | None
    """As what it will end, whatever its steps do from now on."""
    reason: str | None
    is_doomed: bool
    """A part of it is deleted already, as all of it will be."""
    steps: dict[str, StepRow] = {}
    before: dict[str, StepRow] = {}
    """The steps as they were read."""

    @property
    def changed(self) -> list[StepRow]:
        """The steps that are to be written."""
        return [step for name, step in self.steps.items() if step != self.before[name]]


def insert_flow(connection: Connection, flow_id: int, new: NewFlow) -> None:
    """Keep a workflow that begins."""
    consequences = {
        "followers": {state.value: found for state, found in new.followers.items() if found},
        "reactions": {state.value: found for state, found in new.reactions.items() if found is not None},
    }
    connection.execute(insert(flows), {"id": flow_id, **consequences})
    connection.execute(insert(flow_steps), [_step_values(flow_id, i, step) for i, step in enumerate(new.steps)])


def load_flows(connection: Connection, flow_ids: Collection[int]) -> dict[int, FlowRow]:
    """Workflows with their steps. They are locked: whoever goes on with one goes on alone."""
    found: dict[int, FlowRow] = {}
    for chunk in chunked(sorted(flow_ids)):
        for row in connection.execute(_FLOWS, {"ids": chunk}).mappings():
            found[row["id"]] = msgspec.convert({name: row[name] for name in _HEAD}, FlowRow)
        for row in connection.execute(_STEPS, {"ids": chunk}).mappings():
            if (flow := found.get(row["flow_id"])) is not None:
                flow.steps[row["name"]] = as_record(StepRow, row)
                flow.before[row["name"]] = copy(flow.steps[row["name"]])
    return found


def load_templates(connection: Connection, steps: Sequence[StepRow]) -> dict[tuple[int, str], tuple[Templates, Any]]:
    """What the runs of these steps are made of, and the items that are known."""
    found = {}
    for chunk in chunked(steps):
        wanted = or_(*(and_(flow_steps.c.flow_id == s.flow_id, flow_steps.c.name == s.name) for s in chunk))
        for flow_id, name, templates, items in connection.execute(_TEMPLATES.where(wanted)):
            found[flow_id, name] = (msgspec.convert(templates, Templates), items)
    return found


def save_steps(connection: Connection, steps: Iterable[StepRow]) -> None:
    """Write what changes while a workflow is under way."""
    rows = [{f"new_{name}": _plain(getattr(step, name)) for name in ("flow_id", "name", *_CHANGING)} for step in steps]
    if rows:
        connection.execute(_SAVE, rows)


def load_followers(connection: Connection, flow_id: int, state: RunState) -> list[NewRun]:
    """The runs that follow when a workflow ends in `state`."""
    kept = connection.execute(select(flows.c.followers).where(flows.c.id == flow_id)).scalar() or {}
    return msgspec.convert(kept.get(state.value, []), list[NewRun])


def load_reaction(connection: Connection, flow_id: int, state: RunState) -> Reaction | None:
    """What else is to be done when a workflow ends in `state`."""
    kept = connection.execute(select(flows.c.reactions).where(flows.c.id == flow_id)).scalar() or {}
    return msgspec.convert(kept[state.value], Reaction) if state.value in kept else None


_TEMPLATES = select(flow_steps.c.flow_id, flow_steps.c.name, flow_steps.c.templates, flow_steps.c["items"])
_CHANGING = ("state", "reason", "total", "ended", "succeeded", "failed", "started_at", "finished_at")
_HEAD = ("id", "job", "state", "flow_id", "step", "item_index", "stopped", "reason", "is_doomed")
_FLOWS = (
    select(*(runs.c[name] for name in _HEAD[:6]), flows.c.stopped, flows.c.reason, flows.c.is_doomed)
    .join(flows, flows.c.id == runs.c.id)
    .where(flows.c.id.in_(bindparam("ids", expanding=True)))
    .with_for_update()
)
_STEPS = (
    select(*(flow_steps.c[name] for name in StepRow.__struct_fields__))
    .where(flow_steps.c.flow_id.in_(bindparam("ids", expanding=True)))
    .order_by(flow_steps.c.flow_id, flow_steps.c.position)
)
_SAVE = (
    update(flow_steps)
    .where(flow_steps.c.flow_id == bindparam("new_flow_id"), flow_steps.c.name == bindparam("new_name"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGING})
)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, RunState) else value


def _step_values(flow_id: int, position: int, new: NewStep) -> dict[str, Any]:
    step = new.step
    skipped = new.skip_reason is not None
    return {
        "flow_id": flow_id,
        "name": step.name,
        "position": position,
        "kind": step.kind.value,
        "needs": step.needs,
        "needs_any": step.needs_any,
        "on_failure": step.on_failure.value,
        "is_final": step.is_final,
        "has_when": step.when is not None,
        "prepares": step.prepares,
        "is_many": step.is_many,
        "max_parallel": step.max_parallel,
        "state": (RunState.SKIPPED if skipped else RunState.WAITING).value,
        "reason": new.skip_reason,
        "ended": 0,
        "succeeded": 0,
        "failed": 0,
        "message": step.message or None,
        "items": new.items,
        "templates": new.templates,
    }
